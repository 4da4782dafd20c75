// SPDX-License-Identifier: Apache-2.0
#include "clr/method/view_metrics.h"

#include <ATen/ops/xlogy.h>

namespace clr {

torch::Tensor mean_view_cosine(const torch::Tensor& unit) {
  const auto views = static_cast<double>(unit.size(0));
  // |sum of the views|^2 holds each view with itself (1) and each ordered pair.
  return (unit.sum(0).square().sum(1).mean() - views) / (views * (views - 1));
}

torch::Tensor entropy(const torch::Tensor& probabilities) {
  return -at::xlogy(probabilities, probabilities).sum(-1);
}

}  // namespace clr
