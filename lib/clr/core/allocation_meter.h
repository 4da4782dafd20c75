// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace clr {

/// Counts what LibTorch's allocators hand out on this thread, from its making on.
class AllocationMeter : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, std::int64_t size, std::size_t, std::size_t, c10::Device) override {
    present_ += size;
    peak_ = std::max(peak_, present_);
  }
  bool memoryProfilingEnabled() const override { return true; }

  double peak() const { return static_cast<double>(peak_); }

 private:
  std::int64_t present_ = 0;
  std::int64_t peak_ = 0;
};

/// Most bytes of LibTorch's allocators that were taken at one time while `work` ran, beyond what
/// was held before.
template <class Work>
double peak_of(Work work) {
  const auto meter = std::make_shared<AllocationMeter>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
  work();
  return meter->peak();
}

}  // namespace clr
