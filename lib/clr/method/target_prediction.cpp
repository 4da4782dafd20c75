// SPDX-License-Identifier: Apache-2.0
#include "clr/method/target_prediction.h"

#include "clr/dist/world.h"

namespace clr {

TargetPrediction::TargetPrediction(const MomentumOptions& momentum,
                                   const PredictorOptions& predictor, const MethodContext& context,
                                   const std::string& method)
    : ProjectingMethod(context), momentum_(momentum) {
  require_two_views(context.view_groups, method);
  predictor_ = register_module("predictor", make_predictor(predictor, projector_->output_dim()));
  target_ =
      register_module("target", std::make_shared<MomentumEncoder>(context, *encoder_, *projector_));
}

void TargetPrediction::before_step(const StepContext& context) {
  // Weights may have been loaded since the target was made.
  if (context.step == 0) target_->copy(*encoder_, *projector_);
}

Embeddings TargetPrediction::embed(const Batch& batch) {
  const ViewGroup views = batch.views(0);
  const torch::Tensor predictions =
      forward_views(views, ViewForward::per_view,
                    [this](const View& view) { return predictor_->forward(project(view)); });
  const torch::Tensor targets = forward_views(
      views, ViewForward::per_view, [this](const View& view) { return target_->forward(view); });
  return {{for_loss(predictions), for_loss(targets)}};
}

void TargetPrediction::after_step(const Embeddings&, const Batch&, const StepContext& context) {
  target_->follow(*encoder_, *projector_, momentum_.momentum_at(context));
}

void TargetPrediction::add_momentum(StepOutput& output, const StepContext& context) const {
  momentum_.add_metric(output, context, world().size());
}

}  // namespace clr
