// SPDX-License-Identifier: Apache-2.0
#include "clr/method/momentum_encoder.h"

#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_lerp.h>

#include <fmt/format.h>

#include <vector>

#include "clr/core/cosine_ramp.h"

namespace clr {
namespace {

std::vector<torch::Tensor> joined(std::vector<torch::Tensor> tensors,
                                  const std::vector<torch::Tensor>& more) {
  tensors.insert(tensors.end(), more.begin(), more.end());
  return tensors;
}

}  // namespace

void MomentumOptions::validate(const Place& place) const {
  if (final_momentum == 0 || final_momentum >= momentum) return;
  (place / "final_momentum")
      .fail(fmt::format("expected 0 or at least momentum = {}, got {}", momentum, final_momentum));
}

double MomentumOptions::momentum_at(const StepContext& context) const {
  if (!ramped() || context.total_steps <= 0) return momentum;
  return cosine_ramp(momentum, final_momentum, context.step, context.total_steps);
}

void MomentumOptions::add_metric(StepOutput& output, const StepContext& context,
                                 int processes) const {
  if (!ramped()) return;
  output.metrics.emplace_back("momentum",
                              torch::tensor(momentum_at(context) / processes, torch::kFloat64));
}

MomentumEncoder::MomentumEncoder(const MethodContext& context, const Encoder& encoder,
                                 const MlpHead& projector) {
  encoder_ = register_module("encoder", context.make_encoder());
  projector_ = register_module(
      "projector", std::make_shared<MlpHead>(encoder_->feature_dim(), context.projector));
  for (auto& parameter : parameters()) parameter.set_requires_grad(false);
  copy(encoder, projector);
}

torch::Tensor MomentumEncoder::forward(const View& view) {
  const torch::NoGradGuard no_grad;
  return projector_->forward(encoder_->forward(View{view.input, {}}));
}

void MomentumEncoder::copy(const Encoder& encoder, const MlpHead& projector) {
  const torch::NoGradGuard no_grad;
  at::_foreach_copy_(parameters(), joined(encoder.parameters(), projector.parameters()));
  // A vision transformer has none.
  const std::vector<torch::Tensor> own = buffers();
  if (!own.empty()) at::_foreach_copy_(own, joined(encoder.buffers(), projector.buffers()));
}

void MomentumEncoder::follow(const Encoder& encoder, const MlpHead& projector, double momentum) {
  const torch::NoGradGuard no_grad;
  at::_foreach_lerp_(parameters(), joined(encoder.parameters(), projector.parameters()),
                     1 - momentum);
}

}  // namespace clr
