// SPDX-License-Identifier: Apache-2.0
#include "clr/model/mlp_head.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>

namespace clr {

MlpHead::MlpHead(std::int64_t input, const MlpHeadConfig& config)
    : config_(config), output_dim_(config.layers == 0 ? input : config.output) {
  std::int64_t width = input;
  for (std::int64_t k = 1; k <= config.layers; ++k) {
    const bool last = k == config.layers;
    const bool normalized = config.batch_norm == HeadBatchNorm::all ||
                            (config.batch_norm == HeadBatchNorm::hidden && !last);
    const std::int64_t next = last ? config.output : config.hidden;
    const std::string number = std::to_string(k);
    // A bias before batch norm is subtracted again with the mean.
    linears_.push_back(register_module(
        "linear" + number,
        torch::nn::Linear(torch::nn::LinearOptions(width, next).bias(config.bias && !normalized))));
    norms_.push_back(normalized ? register_module("bn" + number, std::make_shared<BatchNorm>(
                                                                     next, /*affine=*/!last))
                                : nullptr);
    width = next;
  }
}

torch::Tensor MlpHead::forward(const torch::Tensor& h) { return forward_to(h, config_.layers); }

torch::Tensor MlpHead::forward_to(const torch::Tensor& h, std::int64_t layers) {
  TORCH_CHECK(layers >= 0 && layers <= config_.layers, "expected 0 to ", config_.layers,
              " layers, got ", layers);
  torch::Tensor x = h;
  for (std::int64_t k = 0; k < layers; ++k) {
    const auto index = static_cast<std::size_t>(k);
    x = linears_[index]->forward(x);
    if (norms_[index]) x = norms_[index]->forward(x);
    if (k + 1 < config_.layers)
      x = config_.activation == HeadActivation::gelu ? at::gelu(x) : at::relu(x);
  }
  return x;
}

}  // namespace clr
