// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "clr/method/method.h"

namespace clr {

/// A method that has an encoder and a projection head, made and registered before anything else of it.
class ProjectingMethod : public Method {
 public:
  Encoder& encoder() override { return *encoder_; }
  MlpHead* projector() override { return projector_.get(); }

 protected:
  explicit ProjectingMethod(const MethodContext& context);

  /// Embeddings [N, D] of a view.
  torch::Tensor project(const View& view) { return projector_->forward(encoder_->forward(view)); }

  /// Embeddings [V, N, D] of the views of the first size, as losses take them.
  torch::Tensor project_views(const Batch& batch, ViewForward mode);

  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<MlpHead> projector_;
};

}  // namespace clr
