// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/probe_data.h"

#include <fmt/format.h>

#include "clr/core/error.h"

namespace clr {

void check_probe_data(const torch::Tensor& features, const torch::Tensor& labels,
                      std::int64_t classes) {
  TORCH_CHECK(features.dim() == 2 && labels.dim() == 1 && features.size(0) == labels.size(0) &&
                  features.size(0) > 0 && labels.scalar_type() == torch::kInt64,
              "probe: features ", features.sizes(), ", labels ", labels.sizes(), " ",
              torch::toString(labels.scalar_type()));
  const auto low = labels.min().item<std::int64_t>();
  const auto high = labels.max().item<std::int64_t>();
  TORCH_CHECK(low >= 0 && high < classes, "probe: labels outside [0, ", classes, ")");
  if (low == high) {
    throw Error(ErrorKind::data,
                fmt::format("probe: expected at least two classes among the training images, got "
                            "class {} alone",
                            low));
  }
}

bool can_hold_out(const torch::Tensor& labels) {
  return at::bincount(labels).max().item<std::int64_t>() > 1;
}

Split held_out_split(const torch::Tensor& labels, double fraction, std::uint64_t seed,
                     const std::string& purpose) {
  const torch::Tensor own = labels.contiguous();
  const auto* first = own.const_data_ptr<std::int64_t>();
  Split split = stratified_split({first, first + own.size(0)}, fraction, seed);
  if (split.second.empty()) {
    throw Error(ErrorKind::data,
                fmt::format("probe: expected a class with two or more training images, to hold one "
                            "out and {}, got one image a class",
                            purpose));
  }
  return split;
}

}  // namespace clr
