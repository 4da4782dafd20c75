// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "clr/config/fields.h"
#include "clr/method/method.h"
#include "clr/model/mlp_head.h"

namespace clr {

/// The head that makes one view's embedding predict the other's: as wide as the embedding at both
/// ends. Only training has it.
struct PredictorOptions {
  std::int64_t layers = 2;
  std::int64_t hidden = 4096;
  HeadBatchNorm batch_norm = HeadBatchNorm::hidden;
  bool bias = true;

  static void fields(auto&& f) {
    f("layers", &PredictorOptions::layers, In{1, 3}, "linear layers");
    f("hidden", &PredictorOptions::hidden, In{1, 1 << 20}, "width of the hidden layers");
    f("batch_norm", &PredictorOptions::batch_norm,
      "after no layer, the hidden layers, or all (the last one without scale and shift)");
    f("bias", &PredictorOptions::bias, "biases in the layers that no batch norm follows");
  }
};

std::shared_ptr<MlpHead> make_predictor(const PredictorOptions& options, std::int64_t width);

/// Predictions [V, N, D] of a group's views, with a graph, then the projections that they are made of,
/// without one; as losses take them.
Embeddings predictions_and_projections(const ViewGroup& group, ViewForward mode,
                                       const std::function<torch::Tensor(const View&)>& project,
                                       MlpHead& predictor);

}  // namespace clr
