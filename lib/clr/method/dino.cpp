// SPDX-License-Identifier: Apache-2.0
// DINO: a network learns to say of any view of an image what a slowly moving copy of it, centred and
// sharpened, says of the large ones: one of K prototypes, in shares. No negatives.
// Source: arXiv:2104.14294, algorithm 1, and facebookresearch/dino.
//
// Objective: the mean over teacher views t (those of the first size) and student views s != t, and over
// images, of the cross-entropy of softmax((g_t - center) / teacher_temp) and softmax(g_s / student_temp),
// g the products of an embedding of unit length and the prototypes.
//
// Its head: projector {"layers": 3, "hidden": 2048, "output": 256, "batch_norm": "none", "activation":
// "gelu"}, whose output is the bottleneck. optimizer.final_weight_decay is its weight-decay schedule,
// train.gradient_clip its clipping, which its code does parameter by parameter and clr over all.
//
// Where other code differs:
// - solo-learn's loss is of two views of one size.
// - The reference's head begins truncated normal (0.02), without biases' values; here as torch.nn.Linear
//   does, as every projection head. The prototypes begin as in the reference.
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "clr/dist/world.h"
#include "clr/loss/contrastive.h"
#include "clr/method/momentum_encoder.h"
#include "clr/method/projecting_method.h"
#include "clr/method/view_metrics.h"

namespace clr {
namespace {

struct Options : MomentumOptions {
  std::int64_t prototypes = 65536;
  double student_temp = 0.1;
  double warmup_teacher_temp = 0.04;
  double teacher_temp = 0.04;
  std::int64_t warmup_teacher_temp_epochs = 0;
  double center_momentum = 0.9;
  std::int64_t freeze_last_layer = 1;
  bool norm_last_layer = true;

  Options() {
    momentum = 0.996;
    final_momentum = 1.0;
  }

  static void fields(auto&& f) {
    base_fields<Options>(f);
    f("prototypes", &Options::prototypes, In{2, 1 << 20}, "outputs of the last layer");
    f("student_temp", &Options::student_temp, In{1e-3, 100}, "temperature of what is learned");
    f("warmup_teacher_temp", &Options::warmup_teacher_temp, In{1e-3, 100},
      "temperature of what is taught, in the first epoch");
    f("teacher_temp", &Options::teacher_temp, In{1e-3, 100},
      "temperature of what is taught, after the warm-up");
    f("warmup_teacher_temp_epochs", &Options::warmup_teacher_temp_epochs, In{0, 1e6},
      "epochs in which the teacher's temperature goes from the one to the other along a line");
    f("center_momentum", &Options::center_momentum, In{0, 0.99999},
      "share of itself that the center of the teacher's outputs keeps at each step");
    f("freeze_last_layer", &Options::freeze_last_layer, In{0, 1e6},
      "epochs at the start during which the prototypes stay as they were drawn");
    f("norm_last_layer", &Options::norm_last_layer,
      "prototypes of length 1; false: of lengths that are learned");
  }
};

class Dino : public ProjectingMethod {
 public:
  Dino(const Options& options, const MethodContext& context)
      : ProjectingMethod(context), options_(options), view_forward_(context.view_forward) {
    const int views = std::accumulate(context.view_groups.begin(), context.view_groups.end(), 0);
    if (views < 2) {
      throw Error(ErrorKind::config,
                  fmt::format("/augment/views: expected at least 2 views for dino, got {}", views));
    }
    target_ = register_module("target",
                              std::make_shared<MomentumEncoder>(context, *encoder_, *projector_));
    const std::int64_t width = projector_->output_dim();
    // As torch.nn.utils.weight_norm of a linear layer: its weight for directions, whose steps are the
    // larger the shorter they are, and lengths, 1 to begin with.
    const double bound = 1 / std::sqrt(static_cast<double>(width));
    prototypes_ = register_parameter(
        "prototypes", at::empty({options.prototypes, width}).uniform_(-bound, bound));
    lengths_ = register_parameter("prototype_lengths", at::ones({options.prototypes, 1}),
                                  /*requires_grad=*/!options.norm_last_layer);
    target_prototypes_ = register_buffer("target_prototypes", prototypes_.detach().clone());
    target_lengths_ = register_buffer("target_prototype_lengths", lengths_.detach().clone());
    center_ = register_buffer("center", at::zeros({options.prototypes}));
  }

  void before_step(const StepContext& context) override {
    // Weights may have been loaded since the target was made.
    if (context.step > 0) return;
    const torch::NoGradGuard no_grad;
    target_->copy(*encoder_, *projector_);
    target_prototypes_.copy_(prototypes_);
    target_lengths_.copy_(lengths_);
  }

  /// Unit rows: the student's of each size, then the teacher's of the first.
  Embeddings embed(const Batch& batch) override {
    Embeddings embeddings;
    for (std::size_t g = 0; g < batch.groups.size(); ++g) {
      const torch::Tensor z = forward_views(batch.views(g), view_forward_,
                                            [this](const View& view) { return project(view); });
      embeddings.z.push_back(unit_rows(for_loss(z).flatten(0, 1)).view_as(z));
    }
    const torch::Tensor taught = forward_views(
        batch.views(0), view_forward_, [this](const View& view) { return target_->forward(view); });
    embeddings.z.push_back(unit_rows(for_loss(taught).flatten(0, 1)).view_as(taught));
    return embeddings;
  }

  /// Memory: for each view N * K floats, three times.
  StepOutput loss(const Embeddings& embeddings, const Batch& batch,
                  const StepContext& context) override {
    const torch::Tensor taught = teacher_logits(embeddings);  // [T, N, K]
    const double temperature = teacher_temperature(context.epoch);
    const torch::Tensor wanted = at::softmax((taught - center_) / temperature, -1);
    // Without a gradient the optimiser passes them over, momentum and weight decay included.
    const bool frozen = context.epoch < options_.freeze_last_layer;
    const torch::Tensor weight =
        frozen ? effective(prototypes_, lengths_).detach() : effective(prototypes_, lengths_);
    const std::int64_t teachers = taught.size(0);
    const torch::Tensor all = wanted.sum(0);
    StepOutput output;
    std::int64_t view = 0;
    for (std::size_t g = 0; g + 1 < embeddings.z.size(); ++g) {
      for (const torch::Tensor& z : embeddings.z[g].unbind(0)) {
        // Cross-entropy is linear in what is wanted, so that one does for all teacher views.
        const torch::Tensor others = view < teachers ? all - wanted[view] : all;
        const torch::Tensor part =
            at::cross_entropy_loss(at::linear(z, weight) / options_.student_temp, others);
        output.loss = output.loss.defined() ? output.loss + part : part;
        ++view;
      }
    }
    output.loss = output.loss / static_cast<double>(teachers * view - std::min(teachers, view)) *
                  share(batch);
    output.metrics = metrics(embeddings, wanted, batch);
    options_.add_metric(output, context, world().size());
    if (options_.warmup_teacher_temp_epochs > 0) {
      output.metrics.emplace_back("teacher_temp",
                                  torch::tensor(temperature / world().size(), torch::kFloat64));
    }
    return output;
  }

  void after_step(const Embeddings& embeddings, const Batch& batch,
                  const StepContext& context) override {
    const torch::NoGradGuard no_grad;
    // Of the teacher that the loss saw.
    const torch::Tensor mean = sum(teacher_logits(embeddings).flatten(0, 1).mean(0) * share(batch));
    center_.lerp_(mean.to(center_.scalar_type()), 1 - options_.center_momentum);
    const double momentum = options_.momentum_at(context);
    target_->follow(*encoder_, *projector_, momentum);
    target_prototypes_.lerp_(prototypes_, 1 - momentum);
    target_lengths_.lerp_(lengths_, 1 - momentum);
  }

 private:
  static torch::Tensor effective(const torch::Tensor& prototypes, const torch::Tensor& lengths) {
    return unit_rows(prototypes) * lengths;
  }

  torch::Tensor teacher_logits(const Embeddings& embeddings) const {
    const torch::NoGradGuard no_grad;
    return at::linear(embeddings.z.back().detach(), effective(target_prototypes_, target_lengths_));
  }

  double teacher_temperature(std::int64_t epoch) const {
    const std::int64_t epochs = options_.warmup_teacher_temp_epochs;
    if (epoch >= epochs) return options_.teacher_temp;
    const double t =
        epochs == 1 ? 0.0 : static_cast<double>(epoch) / static_cast<double>(epochs - 1);
    return options_.warmup_teacher_temp +
           (options_.teacher_temp - options_.warmup_teacher_temp) * t;
  }

  /// A collapse shows as a teacher that says the same of all (prototypes_in_use near 1, whatever the
  /// center takes away) or nothing (prototypes_per_image near K).
  std::vector<std::pair<std::string, torch::Tensor>> metrics(const Embeddings& embeddings,
                                                             const torch::Tensor& wanted,
                                                             const Batch& batch) const {
    const torch::NoGradGuard no_grad;
    const torch::Tensor mean = sum(wanted.flatten(0, 1).mean(0) * share(batch));
    const torch::Tensor spread = sum(entropy(wanted).mean() * share(batch)).exp();
    const torch::Tensor z = embeddings.z.at(0).detach();
    std::vector<std::pair<std::string, torch::Tensor>> found;
    if (z.size(0) > 1) found.emplace_back("positive_cosine", mean_view_cosine(z) * share(batch));
    found.emplace_back("prototypes_in_use", equal_share(entropy(mean).exp()));
    found.emplace_back("prototypes_per_image", equal_share(spread));
    return found;
  }

  Options options_;
  ViewForward view_forward_;
  std::shared_ptr<MomentumEncoder> target_;
  torch::Tensor prototypes_;         ///< [K, D]
  torch::Tensor lengths_;            ///< [K, 1]
  torch::Tensor target_prototypes_;  ///< the teacher's
  torch::Tensor target_lengths_;
  torch::Tensor center_;  ///< [K]
};

}  // namespace

MethodEntry dino_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "dino", "any view foretells what a slowly moving network, centred and sharpened, says of it",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<Dino>(options, context);
      });
}

}  // namespace clr
