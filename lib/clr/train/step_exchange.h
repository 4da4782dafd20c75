// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "clr/core/batch.h"
#include "clr/dist/world.h"

namespace clr {

/// Why a run is to end after a step.
enum class StopReason : std::int64_t { none, signal, guard };

/// What processes tell each other of each batch (or part of one) before it goes through the
/// networks: their images, what could not be read, and whether to stop, so that all do after the
/// same step.
class StepExchange {
 public:
  explicit StepExchange(std::shared_ptr<World> world) : world_(std::move(world)) {}

  /// Fills in batch.counts, and makes batch.bad everyone's. `wish`: this process's.
  void exchange(Batch& batch, StopReason wish);

  /// Someone's wish, known to all. Of one process, its own.
  StopReason agreed(StopReason own) const { return world_->is_alone() ? own : agreed_; }

 private:
  std::shared_ptr<World> world_;
  StopReason agreed_ = StopReason::none;
};

}  // namespace clr
