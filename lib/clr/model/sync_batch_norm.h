// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <memory>

#include "clr/dist/world.h"

namespace clr {

/// Batch norm of [n, C, ...] in training mode, by mean and variance of the rows of all processes.
///
/// Statistics are float32 for 16-bit x, else of x's type; they join in the order of processes, so
/// that all have the same bytes. weight and bias (both or neither defined) get this process's part
/// of their gradients, to be summed with the others'. running_mean and running_var, if defined, move
/// by `momentum`, the variance unbiased.
/// Memory:  forward x in the type of the statistics, backward a gradient of it.
/// Source:  torch.nn.SyncBatchNorm.
torch::Tensor sync_batch_norm(const std::shared_ptr<World>& world, const torch::Tensor& x,
                              const torch::Tensor& weight, const torch::Tensor& bias,
                              const torch::Tensor& running_mean, const torch::Tensor& running_var,
                              double momentum, double epsilon);

}  // namespace clr
