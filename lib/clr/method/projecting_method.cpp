// SPDX-License-Identifier: Apache-2.0
#include "clr/method/projecting_method.h"

namespace clr {

ProjectingMethod::ProjectingMethod(const MethodContext& context)
    : encoder_(register_module("encoder", context.make_encoder())),
      projector_(register_module(
          "projector", std::make_shared<MlpHead>(encoder_->feature_dim(), context.projector))) {}

torch::Tensor ProjectingMethod::project_views(const Batch& batch, ViewForward mode) {
  return for_loss(
      forward_views(batch.views(0), mode, [this](const View& view) { return project(view); }));
}

}  // namespace clr
