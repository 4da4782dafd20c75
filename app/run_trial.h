// SPDX-License-Identifier: Apache-2.0
// A few steps of a run that is only planned.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "clr/data/dataset.h"
#include "clr/train/run_config.h"

namespace clr {

struct RunTrial {
  std::int64_t batch_size = 0;        ///< of the trial: the run's, or smaller where steps are long
  std::int64_t steps = 0;             ///< that were timed
  double images_per_s = 0.0;          ///< of training, as the run will have it
  double data_wait = 0.0;             ///< share of it spent waiting for data
  double loader_images_per_s = 0.0;   ///< of the loader alone, on the whole machine
  double network_images_per_s = 0.0;  ///< of training, its waiting for data left out

  /// "compute is the limit: 1 % of the time waits for data". By the waiting: on a CPU the loader
  /// and the networks share the cores, and each alone is faster than both.
  std::string limit() const;
};

/// Loads, and trains in a scratch folder, for some ten seconds in all.
/// Throws:  what training throws.
RunTrial try_run(const RunConfig& config, const std::shared_ptr<const Dataset>& dataset,
                 const c10::Device& device, int loader_threads);

}  // namespace clr
