// SPDX-License-Identifier: Apache-2.0
// Adversarial training with contrast for texts (ATCL): beside two views of a text, a third that is the
// first with its embeddings moved where the contrast suffers most, in one step (FGM) or several (PGD).
//
// Objective: NT-Xent(z0, z1) + weight * NT-Xent(z0, z_adv), with e the embeddings of the first view's
// tokens, g the gradient of the former with respect to them, and z_adv made of e + epsilon * g / |g|,
// token by token (arXiv:2109.09075; Miyato et al., arXiv:1605.07725, for the step). Of several steps each
// is 2.5 / steps as long, and what leaves the ball of radius epsilon is put back on it (arXiv:1706.06083).
//
// Differs from the reference: it moves word embeddings of a language model trained by cross entropy; here
// e is what the first layer is given, positions and layer norm included. Dropout of the third view is the
// first's, so that nothing but the step tells them apart. With epsilon = 0 there is no third view:
// SimCLR.
// Cost: of one step, a third view and a backward pass of the first more than SimCLR.
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <vector>

#include "clr/core/error.h"
#include "clr/loss/nt_xent.h"
#include "clr/method/projecting_method.h"
#include "clr/method/view_metrics.h"
#include "clr/model/text_encoder.h"

namespace clr {
namespace {

struct Options {
  double temperature = 0.1;
  double epsilon = 1.0;
  double weight = 1.0;
  std::int64_t steps = 1;

  static void fields(auto&& f) {
    f("temperature", &Options::temperature, In{1e-3, 100}, "temperature of both losses");
    f("epsilon", &Options::epsilon, In{0, 1000},
      "how far the embedding of each token moves; 0: not at all, SimCLR");
    f("weight", &Options::weight, AtLeast{0},
      "weight of the contrast with the moved view (lambda)");
    f("steps", &Options::steps, In{1, 100}, "steps of the move; 1: FGM, more: PGD");
  }
};

/// Puts the buffers of a module, batch norm's running statistics, back as they were.
class StatisticsKept {
 public:
  explicit StatisticsKept(const torch::nn::Module& module) : buffers_(module.buffers()) {
    for (const torch::Tensor& buffer : buffers_) before_.push_back(buffer.clone());
  }
  ~StatisticsKept() {
    // Not copied into: graphs hold them, and would take them for changed.
    for (std::size_t i = 0; i < buffers_.size(); ++i) buffers_[i].set_data(before_[i]);
  }
  StatisticsKept(const StatisticsKept&) = delete;
  StatisticsKept& operator=(const StatisticsKept&) = delete;

 private:
  std::vector<torch::Tensor> buffers_;
  std::vector<torch::Tensor> before_;
};

class Atcl : public ProjectingMethod {
 public:
  Atcl(const Options& options, const MethodContext& context)
      : ProjectingMethod(context),
        options_(options),
        view_forward_(context.view_forward),
        text_encoder_(require_text_encoder(*encoder_, "atcl")) {
    require_two_views(context.view_groups, "atcl");
    if (context.micro_batch > 0 && options.epsilon > 0) {
      throw Error(ErrorKind::config,
                  fmt::format("/train/micro_batch: expected 0 for atcl, whose third view needs the "
                              "whole batch's gradient, got {}",
                              context.micro_batch));
    }
    loss_options_.backend = context.loss_backend;
    loss_options_.half_precision = context.half_precision;
  }

  Embeddings embed(const Batch& batch) override {
    if (options_.epsilon == 0) return {{project_views(batch, view_forward_)}};
    const torch::AutoGradMode with_gradient(true);
    const ViewGroup group = batch.views(0);
    const bool keyed = group.keys.defined();
    const PackedTokens first =
        pack_tokens(View{group.input[0], keyed ? group.keys[0] : torch::Tensor()});
    const View second{group.input[1], keyed ? group.keys[1] : torch::Tensor()};
    const torch::Tensor e = text_encoder_.embed_tokens(first);
    const torch::Tensor h1 = encoder_->forward(second);
    const torch::Tensor z = project_both(text_encoder_.features(first, e), h1);
    const torch::Tensor moved = e + delta(first, e, z, h1.detach(), batch);
    const torch::Tensor third = projector_->forward(text_encoder_.features(first, moved));
    return {{torch::cat({z, for_loss(third).unsqueeze(0)})}};
  }

  StepOutput loss(const Embeddings& embeddings, const Batch& batch, const StepContext&) override {
    const torch::Tensor& z = embeddings.z.at(0);
    StepOutput output;
    output.loss = contrast(z[0], z[1], batch);
    const torch::Tensor unit = unit_rows(z.detach().flatten(0, 1)).view_as(z);
    output.metrics = {{"positive_cosine", mean_view_cosine(unit.narrow(0, 0, 2)) * share(batch)}};
    if (z.size(0) > 2) {
      const torch::Tensor adversarial = contrast(z[0], z[2], batch);
      output.loss = output.loss + options_.weight * adversarial;
      output.metrics.emplace_back("adversarial_loss", adversarial.detach());
      output.metrics.emplace_back("adversarial_cosine",
                                  (unit[0] * unit[2]).sum(1).mean() * share(batch));
    }
    return output;
  }

 private:
  torch::Tensor contrast(const torch::Tensor& a, const torch::Tensor& b, const Batch& batch) const {
    TwoViewOptions options = loss_options_;
    options.shared = shared(batch);
    return nt_xent(a, b, options_.temperature, options);
  }

  /// [2, N, D].
  torch::Tensor project_both(const torch::Tensor& h0, const torch::Tensor& h1) {
    const torch::Tensor z = view_forward_ == ViewForward::joint
                                ? projector_->forward(torch::cat({h0, h1})).unflatten(0, {2, -1})
                                : torch::stack({projector_->forward(h0), projector_->forward(h1)});
    return for_loss(z);
  }

  /// Where e [T, D], of which z [2, N, D] was made, goes: rows of length epsilon at most, 0 where there
  /// is no gradient.
  torch::Tensor delta(const PackedTokens& first, const torch::Tensor& e, const torch::Tensor& z,
                      const torch::Tensor& h1, const Batch& batch) {
    const double length =
        options_.epsilon * std::min(1.0, 2.5 / static_cast<double>(options_.steps));
    torch::Tensor delta = torch::zeros_like(e);
    torch::Tensor at = e;
    torch::Tensor seen = z;
    const StatisticsKept kept(*this);  // Further passes are no part of the training.
    for (std::int64_t step = 0; step < options_.steps; ++step) {
      if (step > 0) {
        at = (e.detach() + delta).set_requires_grad(true);
        seen = project_both(text_encoder_.features(first, at), h1);
      }
      const torch::Tensor gradient = torch::autograd::grad({contrast(seen[0], seen[1], batch)},
                                                           {at}, {}, /*retain_graph=*/true)[0];
      const torch::Tensor norm = gradient.norm(2, {1}, true);
      const torch::Tensor way =
          torch::where(norm.gt(0), gradient / norm, torch::zeros_like(gradient));
      const torch::Tensor there = delta + length * way;
      delta = there * (options_.epsilon / there.norm(2, {1}, true)).clamp_max(1.0);
    }
    return delta;
  }

  Options options_;
  ViewForward view_forward_;
  TextEncoder& text_encoder_;
  TwoViewOptions loss_options_;
};

}  // namespace

MethodEntry atcl_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "atcl", "texts: SimCLR with a third view, moved against it in the embedding space",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<Atcl>(options, context);
      });
}

}  // namespace clr
