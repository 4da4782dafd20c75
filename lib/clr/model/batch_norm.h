// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>

namespace clr {

/// Batch normalisation of [N, C] or [N, C, H, W] over all dimensions but C, as torch.nn.BatchNorm1d
/// and BatchNorm2d compute it: eps 1e-5, momentum 0.1, running variance unbiased.
///
/// Names: weight, bias (both only if affine), running_mean, running_var, num_batches_tracked,
/// shaped and initialised as PyTorch's. In evaluation mode the running statistics are used.
class BatchNorm : public torch::nn::Module {
 public:
  explicit BatchNorm(std::int64_t channels, bool affine = true);

  torch::Tensor forward(const torch::Tensor& x);

  /// While frozen, training mode normalises by the batch's statistics as ever, but leaves the
  /// running ones and num_batches_tracked alone.
  void set_frozen(bool frozen) { frozen_ = frozen; }

  torch::Tensor weight;  ///< undefined if not affine
  torch::Tensor bias;
  torch::Tensor running_mean;
  torch::Tensor running_var;
  torch::Tensor num_batches_tracked;

 private:
  bool frozen_ = false;
};

}  // namespace clr
