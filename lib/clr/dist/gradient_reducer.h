// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "clr/dist/world.h"

namespace clr {

/// Gradients that become the sum over all processes, bucket by bucket while the backward pass is
/// still under way.
///
/// Buckets hold parameters from the last to the first, as their gradients come; they are sent in
/// this order in all processes, each as soon as it and all before it are complete. The sums are the
/// same bytes in all processes, and in a run that is resumed. Parameters without a gradient (in all
/// processes) stay without one.
/// Memory:  once the parameters'.
/// Source:  arXiv:2006.15704 (PyTorch's DistributedDataParallel).
class GradientReducer {
 public:
  static constexpr std::int64_t kBucketBytes = 4 << 20;

  /// Hooks itself into the parameters, each of which one reducer at a time may have.
  GradientReducer(std::shared_ptr<World> world, std::vector<torch::Tensor> parameters,
                  std::int64_t bucket_bytes = kBucketBytes);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// The backward pass that follows is the step's last: what it completes is sent.
  void expect();

  /// Sends what is left, waits for all.
  void finish();

 private:
  struct Bucket;
  void complete(std::size_t parameter);
  void fill(std::size_t parameter);
  void send_ready();

  std::shared_ptr<World> world_;
  std::vector<torch::Tensor> parameters_;  ///< in the buckets' order
  std::vector<std::size_t> bucket_of_;
  std::vector<torch::Tensor> slots_;  ///< each parameter's place in its bucket, of its strides
  std::vector<bool> filled_;
  std::vector<Bucket> buckets_;
  std::size_t sent_ = 0;
  bool expecting_ = false;
};

}  // namespace clr
