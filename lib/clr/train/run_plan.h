// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "clr/train/memory_estimate.h"
#include "clr/train/run_config.h"

namespace clr {

/// The largest power of two that `train.batch_size` can be with the memory that there is (a tenth of
/// it left free), 2 where nothing fits; by the line through the estimate.
std::int64_t largest_batch(const MemoryEstimate& estimate, std::int64_t batch_size);

/// What to set for a small set, and why.
struct SmallSetAdvice {
  std::int64_t batch_size = 0;
  std::int64_t epochs = 0;
  double temperature = 0.0;
  std::vector<std::string> reasons;  ///< a sentence each
};

/// For fewer than 50,000 images, and methods with a temperature; nothing otherwise.
///
/// batch_size: the largest power of two up to 512 and an eighth of the images, at least 8.
/// epochs: as many as give 10,000 steps, within 100 to 1,000: what 100 epochs of CIFAR-10 at a batch
/// of 512 are. temperature: 0.5 beyond 300 epochs, else 0.2.
/// Source:  arXiv:2002.05709, appendix B.9 (temperature, batch and epochs on CIFAR-10), table B.1
///          (learning rate by the square root of the batch).
std::optional<SmallSetAdvice> small_set_advice(const RunConfig& config, std::int64_t images);

}  // namespace clr
