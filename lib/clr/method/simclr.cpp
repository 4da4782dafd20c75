// SPDX-License-Identifier: Apache-2.0
// SimCLR: two views of an image attract, all other rows of the batch repel. Source:
// arXiv:2002.05709.
#include <ATen/ops/linalg_vector_norm.h>

#include "clr/loss/nt_xent.h"
#include "clr/method/method.h"

namespace clr {
namespace {

struct Options {
  double temperature = 0.5;

  static void fields(auto&& f) {
    f("temperature", &Options::temperature, In{1e-3, 100}, "temperature of the NT-Xent loss");
  }
};

/// Mean cosine of the pairs, and of all rows that are no pair: the latter by way of the sum of all
/// unit rows, in O(N * D).
std::pair<torch::Tensor, torch::Tensor> mean_cosines(const torch::Tensor& z) {
  const torch::Tensor unit = z / at::linalg_vector_norm(z, 2, {2}, true).clamp_min(1e-12);
  const auto n = static_cast<double>(z.size(1));
  const torch::Tensor pairs = (unit[0] * unit[1]).sum();
  const torch::Tensor all = unit.flatten(0, 1).sum(0).square().sum();
  return {pairs / n, (all - unit.square().sum() - 2 * pairs) / (4 * n * (n - 1))};
}

class SimClr : public Method {
 public:
  SimClr(const Options& options, const MethodContext& context)
      : temperature_(options.temperature), view_forward_(context.view_forward) {
    loss_options_.backend = context.loss_backend;
    loss_options_.half_precision = context.half_precision;
    require_two_views(context.view_groups, "simclr");
    encoder_ = register_module("encoder", context.make_encoder());
    projector_ = register_module(
        "projector", std::make_shared<MlpHead>(encoder_->feature_dim(), context.projector));
  }

  Embeddings embed(const Batch& batch) override {
    const torch::Tensor z = forward_views(
        batch.groups.at(0), view_forward_,
        [this](const View& view) { return projector_->forward(encoder_->forward(view)); });
    return {{for_loss(z)}};
  }

  StepOutput loss(const Embeddings& embeddings, const Batch&, const StepContext&) override {
    const torch::Tensor& z = embeddings.z.at(0);
    StepOutput output;
    output.loss = nt_xent(z[0], z[1], temperature_, loss_options_);
    const auto [positive, negative] = mean_cosines(z.detach());
    output.metrics = {{"positive_cosine", positive}, {"negative_cosine", negative}};
    return output;
  }

  Encoder& encoder() override { return *encoder_; }
  MlpHead* projector() override { return projector_.get(); }

 private:
  double temperature_;
  TwoViewOptions loss_options_;
  ViewForward view_forward_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<MlpHead> projector_;
};

}  // namespace

MethodEntry simclr_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "simclr", "two views attract, the rest of the batch repels (NT-Xent)",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<SimClr>(options, context);
      });
}

}  // namespace clr
