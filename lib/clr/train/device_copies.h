// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Stream.h>
#include <torch/types.h>

#include <optional>

#include "clr/core/batch.h"

namespace clr {

/// Brings batches to the device they are trained on.
///
/// On a GPU copies run on a stream of their own, beside the step before: the stream that trains
/// waits for them, the processor does not. The loader's memory is page-locked there
/// (LoaderOptions::pinned), and its allocator keeps it until the copy is done.
class DeviceCopies {
 public:
  explicit DeviceCopies(const torch::Device& device);

  /// Replaces the tensors of a batch by those on the device.
  void move(Batch& batch) const;

 private:
  torch::Device device_;
  std::optional<c10::Stream> stream_;  ///< nothing: the CPU
};

}  // namespace clr
