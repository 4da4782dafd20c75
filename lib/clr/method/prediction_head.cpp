// SPDX-License-Identifier: Apache-2.0
#include "clr/method/prediction_head.h"

#include <ATen/ops/cat.h>

#include <vector>

namespace clr {

std::shared_ptr<MlpHead> make_predictor(const PredictorOptions& options, std::int64_t width) {
  return std::make_shared<MlpHead>(width, MlpHeadConfig{options.layers, options.hidden, width,
                                                        options.batch_norm, options.bias});
}

Embeddings predictions_and_projections(const ViewGroup& group, ViewForward mode,
                                       const std::function<torch::Tensor(const View&)>& project,
                                       MlpHead& predictor) {
  std::vector<torch::Tensor> projections;
  const torch::Tensor predictions = forward_views(group, mode, [&](const View& view) {
    const torch::Tensor z = project(view);
    projections.push_back(z.detach());
    return predictor.forward(z);
  });
  return {{for_loss(predictions), for_loss(at::cat(projections).view_as(predictions))}};
}

}  // namespace clr
