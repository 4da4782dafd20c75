// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>

#include "clr/data/dataset.h"
#include "clr/data/record_cache.h"
#include "clr/train/run_config.h"

namespace clr {

struct MemoryEstimate {
  std::int64_t parameters = 0;  ///< of everything that is trained
  std::int64_t encoder_parameters = 0;
  CachePlan cache;          ///< what data.cache will hold, in the memory of the CPU
  double peak_bytes = 0.0;  ///< resident set on the CPU, the cache in it; device memory on CUDA
  double bytes_per_image = 0.0;  ///< that one more image in the batch adds to it, about
  double available_bytes = 0.0;
};

/// Estimates what a run will need at its peak, by doing it small: two smaller batches go through
/// the networks and back, and the line through what they took is carried to the whole batch, or to
/// a micro-batch where there are any; the loss is measured alone at its full size; optimiser state
/// the loader's buffers and data.cache are counted.
///
/// `config` is resolved. Takes seconds.
MemoryEstimate estimate_memory(const RunConfig& config, std::shared_ptr<const Dataset> dataset,
                               const torch::Device& device);

}  // namespace clr
