// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace clr {

class World;

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

  /// In training mode, `splits` groups of the rows, in their order and of equal size as far as that
  /// goes, are normalised by their own statistics; the running ones become the mean of what each
  /// group alone would have left. Fewer groups where one would have less than 2 rows.
  ///
  /// Source: SplitBatchNorm of MoCo's CIFAR demo, a stand-in for batch norm on `splits` GPUs; its
  ///         groups are every splits-th row.
  void set_splits(std::int64_t splits) { splits_ = splits; }

  /// In training mode the rows are those of all processes (sync_batch_norm.h). With splits, which
  /// must be a multiple of the processes, each has its part of the groups.
  void set_world(std::shared_ptr<World> world);

  torch::Tensor weight;  ///< undefined if not affine
  torch::Tensor bias;
  torch::Tensor running_mean;
  torch::Tensor running_var;
  torch::Tensor num_batches_tracked;

 private:
  torch::Tensor forward_split(const torch::Tensor& x, std::int64_t groups, bool counting);

  bool frozen_ = false;
  std::int64_t splits_ = 1;
  std::shared_ptr<World> world_;  ///< null: the rows are all there are
};

/// Lets several forward passes count as one in the running statistics of a module's batch norms.
///
/// take() after each pass, finish() after the last: the running statistics are then the mean, by
/// weight, of those that each pass alone would have left, and num_batches_tracked is what one pass
/// alone would have left.
class PooledStatistics {
 public:
  explicit PooledStatistics(const torch::nn::Module& module);

  /// Notes what a pass left and puts back what was there before the first. weight > 0.
  void take(std::int64_t weight);

  /// Throws:  c10::Error without a take() before it.
  void finish();

 private:
  std::vector<torch::Tensor> buffers_;  ///< running_mean, running_var of each batch norm
  std::vector<torch::Tensor> before_;
  std::vector<torch::Tensor> mean_;
  std::vector<torch::Tensor> counts_;  ///< num_batches_tracked of each batch norm
  std::vector<torch::Tensor> counts_before_;
  std::vector<torch::Tensor> counts_after_;
  std::int64_t weight_ = 0;  ///< of all passes so far
};

/// Running statistics become the mean of those that all processes have, by weight: where each
/// normalises by its own rows, they move as if these were passes that count as one.
void average_statistics(const torch::nn::Module& module, World& world, std::int64_t weight);

}  // namespace clr
