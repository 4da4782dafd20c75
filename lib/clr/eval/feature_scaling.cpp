// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/feature_scaling.h"

#include <ATen/Functions.h>

#include <algorithm>

namespace clr {

FeatureScaling measure_scaling(const torch::Tensor& features, bool standardize) {
  constexpr std::int64_t kBlockRows = 4096;
  const torch::Tensor mean = features.mean(0);
  if (!standardize) return {at::zeros_like(mean), at::ones_like(mean)};
  torch::Tensor squares = at::zeros_like(mean);
  for (std::int64_t begin = 0; begin < features.size(0); begin += kBlockRows) {
    const auto rows = features.narrow(0, begin, std::min(kBlockRows, features.size(0) - begin));
    squares += (rows - mean).square().sum(0);
  }
  const torch::Tensor deviation = (squares / static_cast<double>(features.size(0))).sqrt();
  // The deviation of a constant is a rounding error, and dividing by that would make noise.
  return {mean, deviation.masked_fill(features.amin(0) == features.amax(0), 1.0)};
}

LinearHead fold_scaling(const torch::Tensor& weight, const torch::Tensor& bias,
                        const FeatureScaling& scaling) {
  const torch::Tensor raw = weight / scaling.deviation;
  return {raw.to(torch::kFloat32), (bias - at::mv(raw, scaling.mean)).to(torch::kFloat32)};
}

}  // namespace clr
