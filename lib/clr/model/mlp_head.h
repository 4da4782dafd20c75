// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "clr/config/fields.h"
#include "clr/model/batch_norm.h"

namespace clr {

enum class HeadBatchNorm { none, hidden, all };
constexpr auto enum_names(HeadBatchNorm) { return std::array{"none", "hidden", "all"}; }

enum class HeadActivation { relu, gelu };
constexpr auto enum_names(HeadActivation) { return std::array{"relu", "gelu"}; }

/// A multi-layer perceptron: the `projector` section, and prediction heads.
struct MlpHeadConfig {
  std::int64_t layers = 2;
  std::int64_t hidden = 2048;
  std::int64_t output = 128;
  HeadBatchNorm batch_norm = HeadBatchNorm::hidden;
  bool bias = true;
  HeadActivation activation = HeadActivation::relu;

  static void fields(auto&& f) {
    f("layers", &MlpHeadConfig::layers, In{0, 3}, "linear layers; 0 = the features themselves");
    f("hidden", &MlpHeadConfig::hidden, In{1, 1 << 20}, "width of the hidden layers");
    f("output", &MlpHeadConfig::output, In{1, 1 << 20}, "width of the embedding");
    f("batch_norm", &MlpHeadConfig::batch_norm,
      "after no layer, the hidden layers, or all (the last one without scale and shift)");
    f("bias", &MlpHeadConfig::bias, "biases in the layers that no batch norm follows");
    f("activation", &MlpHeadConfig::activation, "between the layers");
  }
};

/// Projection head g: linear layers, each with its batch norm if any, and an activation between
/// them.
///
/// Names: linear1.weight, bn1.weight, linear2.weight, ... The linear layers start as
/// torch.nn.Linear does.
class MlpHead : public torch::nn::Module {
 public:
  MlpHead(std::int64_t input, const MlpHeadConfig& config);

  /// Embeddings [N, output]; with 0 layers the input itself.
  torch::Tensor forward(const torch::Tensor& h);

  /// The output of the first `layers` layers with their batch norm and activation, as SimCLR v2
  /// fine-tunes from; layers = 0 is the input, all of them equals forward().
  ///
  /// Shapes:  h [N, input] -> [N, input], [N, hidden] or [N, output].
  /// Throws:  c10::Error for layers below 0 or above the head's.
  torch::Tensor forward_to(const torch::Tensor& h, std::int64_t layers);

  std::int64_t layers() const { return config_.layers; }
  std::int64_t output_dim() const { return output_dim_; }

 private:
  MlpHeadConfig config_;
  std::int64_t output_dim_;
  std::vector<torch::nn::Linear> linears_;
  std::vector<std::shared_ptr<BatchNorm>> norms_;  ///< null where a layer has none
};

}  // namespace clr
