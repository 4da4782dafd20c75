// SPDX-License-Identifier: Apache-2.0
// Losses of two views, measured: what `clr bench loss` times and how.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace clr {

/// A way to compute NT-Xent.
struct LossForm {
  std::string name;
  std::function<torch::Tensor(const torch::Tensor&, const torch::Tensor&)> loss;
  double largest_error = 0;  ///< allowed to its gradient, relative to float64's
  bool tf32 = false;         ///< products of float32 on a GPU may round to TF32
};

/// What was measured of a form.
struct LossRow {
  std::string implementation;
  double loss = 0;
  double gradient_error = 0;  ///< relative, of float64's
  std::vector<double> milliseconds{};
  std::int64_t extra_bytes = 0;                  ///< of tensors, over inputs and returned gradients
  std::optional<std::int64_t> extra_resident{};  ///< the same by the process's peak; none on a GPU
};

struct LossValue {
  double loss;
  torch::Tensor gradient;  ///< [2N, D], float64, on the CPU
};

/// Begins to count the bytes of tensors on the CPU; before the first tensor that is to be counted.
void count_tensor_bytes();

/// Forward and backward of a form on x [2N, D], both views one after the other.
LossValue evaluate(const LossForm& form, const torch::Tensor& x);

/// Fills the row's memory by one run.
void measure_memory(LossRow& row, const LossForm& form, const torch::Tensor& x);

/// Adds the milliseconds of one run to the row.
void measure_time(LossRow& row, const LossForm& form, const torch::Tensor& x);

/// GFLOP/s of the fastest product of two square matrices: of 2,048 rows on a CPU, float32, by the
/// better library; of 8,192 on a GPU, in `type`, without TF32.
double product_rate(const torch::Device& device, torch::ScalarType type);

}  // namespace clr
