// SPDX-License-Identifier: Apache-2.0
// SwAV: each view predicts the other views' cluster assignments. A code q_v = sinkhorn(z_v C^T)
// shares the samples out among the K prototypes (unit rows of C) so that all get equally many;
//   loss = mean over v in A, w != v of cross_entropy(q_v, softmax(z_w C^T / temperature)),
// z of unit length, A the views of the first size, w all views. Source: arXiv:2006.09882 and
// facebookresearch/swav, main_swav.py.
//
// Where others differ:
// - The reference takes exp(scores / epsilon) as it is, which overflows for a small epsilon; here
//   the first iteration is done on logarithms. The codes are the same.
// - The reference cuts queue_length down to a multiple of the batch size; here any length will do.
// - lightly's SwaVLoss (1.6) is the same loss on scores, of shape [1]. On several GPUs it computes
//   codes from each GPU's own batch unless told to gather. It keeps neither prototypes nor queue:
//   normalising, freezing and filling are left to its caller; its examples run the head view by
//   view.
// - solo-learn fills its queue from the first step on and uses it from epoch_queue_starts on, full
//   or not; its prototypes have learned lengths (weight_norm) instead of unit rows; it freezes them
//   for epochs, not steps; each view is a forward of its own (view_forward: per_view).
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include "clr/dist/world.h"
#include "clr/loss/sinkhorn.h"
#include "clr/method/projecting_method.h"
#include "clr/method/view_metrics.h"

namespace clr {
namespace {

struct Options {
  double temperature = 0.1;
  double epsilon = 0.05;
  std::int64_t sinkhorn_iterations = 3;
  std::int64_t prototypes = 3000;
  std::int64_t freeze_prototypes_steps = 313;
  std::int64_t queue_length = 0;
  std::int64_t queue_from_epoch = 15;

  static void fields(auto&& f) {
    f("temperature", &Options::temperature, In{1e-3, 100}, "temperature of the predictions");
    f("epsilon", &Options::epsilon, In{1e-4, 100},
      "softness of the codes; smaller where training collapses to one code for all");
    f("sinkhorn_iterations", &Options::sinkhorn_iterations, In{1, 1000},
      "iterations that balance the codes");
    f("prototypes", &Options::prototypes, In{2, 1 << 20},
      "clusters; more than there may be classes");
    f("freeze_prototypes_steps", &Options::freeze_prototypes_steps, In{0, 1e9},
      "steps at the start during which the prototypes stay as they were drawn");
    f("queue_length", &Options::queue_length, In{0, 1 << 24},
      "earlier embeddings of each assigned view that join the batch when codes are computed, for "
      "batches smaller than the prototypes; 0 = none");
    f("queue_from_epoch", &Options::queue_from_epoch, In{0, 1e6},
      "epoch (from 0) at which the queue starts to fill; it is used once it is full");
  }
};

class Swav : public ProjectingMethod {
 public:
  Swav(const Options& options, const MethodContext& context)
      : ProjectingMethod(context), options_(options), view_forward_(context.view_forward) {
    const std::int64_t assigned = context.view_groups.front();
    if (assigned < 2) {
      throw Error(ErrorKind::config,
                  fmt::format("/augment/views: expected at least 2 views of the first size for "
                              "swav, got {}; these give each other their codes",
                              assigned));
    }
    const std::int64_t width = projector_->output_dim();
    // As torch.nn.Linear's weight but for the length of the rows.
    prototypes_ = register_parameter(
        "prototypes", unit_rows(at::empty({options.prototypes, width}).uniform_(-1, 1)));
    if (options.queue_length > 0) {
      queue_ = register_buffer("queue", at::zeros({assigned, options.queue_length, width}));
    }
  }

  void before_step(const StepContext& context) override {
    const torch::NoGradGuard no_grad;
    if (!frozen(context)) prototypes_.copy_(unit_rows(prototypes_));
    // No embedding is zero. Once full it stays so, and a GPU need not be asked again.
    if (queue_.defined() && !queue_full_ && context.epoch >= options_.queue_from_epoch) {
      queue_full_ = queue_[0][-1].any().item<bool>();
    }
  }

  /// Joint: a forward through the encoder for each size, and one through the head for all views.
  Embeddings embed(const Batch& batch) override {
    const auto head = [this](const torch::Tensor& h) {
      return unit_rows(for_loss(projector_->forward(h)));
    };
    Embeddings embeddings;
    if (view_forward_ == ViewForward::per_view) {
      for (std::size_t g = 0; g < batch.groups.size(); ++g) {
        embeddings.z.push_back(forward_views(batch.views(g), view_forward_, [&](const View& view) {
          return head(encoder_->forward(view));
        }));
      }
      return embeddings;
    }
    std::vector<torch::Tensor> features;
    std::vector<std::int64_t> rows;
    for (std::size_t g = 0; g < batch.groups.size(); ++g) {
      const ViewGroup views = batch.views(g);
      features.push_back(encoder_->forward(View{views.input.flatten(0, 1), views.flat_keys()}));
      rows.push_back(features.back().size(0));
    }
    const auto parts = head(at::cat(features)).split_with_sizes(rows);
    for (std::size_t g = 0; g < parts.size(); ++g) {
      embeddings.z.push_back(parts[g].unflatten(0, batch.groups[g].sizes().slice(0, 2)));
    }
    return embeddings;
  }

  StepOutput loss(const Embeddings& embeddings, const Batch& batch,
                  const StepContext& context) override {
    // Without a gradient the optimiser passes them over, momentum and weight decay included.
    const torch::Tensor prototypes = frozen(context) ? prototypes_.detach() : prototypes_;
    std::vector<torch::Tensor> scores;  // of each view, [N, K]
    for (const torch::Tensor& z : embeddings.z) {
      for (const torch::Tensor& view : z.unbind(0)) scores.push_back(at::linear(view, prototypes));
    }
    const auto assigned = static_cast<std::size_t>(embeddings.z.at(0).size(0));
    std::vector<torch::Tensor> codes;
    for (std::size_t v = 0; v < assigned; ++v) codes.push_back(codes_of(v, scores[v]));

    StepOutput output;
    for (std::size_t w = 0; w < scores.size(); ++w) {
      torch::Tensor wanted;  // cross-entropy is linear in it, so that one does for all codes
      for (std::size_t v = 0; v < assigned; ++v) {
        if (v != w) wanted = wanted.defined() ? wanted + codes[v] : codes[v];
      }
      const torch::Tensor part = at::cross_entropy_loss(scores[w] / options_.temperature, wanted);
      output.loss = output.loss.defined() ? output.loss + part : part;
    }
    output.loss = output.loss / static_cast<double>(assigned * (scores.size() - 1)) * share(batch);
    scores.resize(assigned);
    output.metrics = metrics(embeddings.z[0].detach(), scores, codes, share(batch));
    return output;
  }

  void after_step(const Embeddings& embeddings, const Batch& batch,
                  const StepContext& context) override {
    if (!queue_.defined() || context.epoch < options_.queue_from_epoch) return;
    const torch::NoGradGuard no_grad;
    // The newest come first.
    queue_.copy_(at::cat({gather(embeddings.z.at(0).detach(), batch, 1), queue_}, 1)
                     .narrow(1, 0, options_.queue_length));
  }

 private:
  bool frozen(const StepContext& context) const {
    return context.step < options_.freeze_prototypes_steps;
  }

  /// The codes of assigned view `view`, whose scores are given. [N, K], without a gradient.
  torch::Tensor codes_of(std::size_t view, const torch::Tensor& scores) const {
    const auto solve = [this](const torch::Tensor& all) {
      if (world().is_alone()) return sinkhorn(all, options_.epsilon, options_.sinkhorn_iterations);
      return sinkhorn(all, options_.epsilon, options_.sinkhorn_iterations,
                      [this](const torch::Tensor& sums) { return world().gather(sums); });
    };
    if (!queue_full_) return solve(scores);
    const torch::NoGradGuard no_grad;
    // All have the same queue; each brings its part.
    const auto [first, last] = world().share(options_.queue_length);
    const torch::Tensor earlier =
        at::linear(queue_[static_cast<std::int64_t>(view)].slice(0, first, last), prototypes_);
    // Cloned, or the queue's codes would be kept until the backward pass.
    return solve(at::cat({earlier, scores})).slice(0, earlier.size(0)).clone();
  }

  /// Over the assigned views. Codes are balanced by construction, so that a collapse shows in what
  /// is predicted and in codes that spread over all prototypes.
  std::vector<std::pair<std::string, torch::Tensor>> metrics(
      const torch::Tensor& z, const std::vector<torch::Tensor>& scores,
      const std::vector<torch::Tensor>& codes, double share) const {
    const torch::NoGradGuard no_grad;
    torch::Tensor predicted;
    std::vector<torch::Tensor> entropies;  // of a code, by view
    for (std::size_t v = 0; v < codes.size(); ++v) {
      const torch::Tensor mean = at::softmax(scores[v] / options_.temperature, 1).mean(0);
      predicted = predicted.defined() ? predicted + mean : mean;
      entropies.push_back(entropy(codes[v]).mean());
    }
    predicted = sum(predicted * share);
    const torch::Tensor spread = sum(at::stack(entropies) * share).exp().sum();
    const auto views = static_cast<double>(codes.size());
    return {{"positive_cosine", mean_view_cosine(z) * share},
            {"prototypes_in_use", equal_share(entropy(predicted / views).exp())},
            {"prototypes_per_code", equal_share(spread / views)}};
  }

  Options options_;
  ViewForward view_forward_;
  torch::Tensor prototypes_;  ///< [K, D]
  torch::Tensor queue_;       ///< [assigned views, queue_length, D]; undefined without a queue
  bool queue_full_ = false;   ///< what the queue says of itself, remembered
};

}  // namespace

MethodEntry swav_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "swav", "views predict each other's cluster assignments, prototypes shared out evenly",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<Swav>(options, context);
      });
}

}  // namespace clr
