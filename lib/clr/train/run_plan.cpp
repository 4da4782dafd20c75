// SPDX-License-Identifier: Apache-2.0
#include "clr/train/run_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "clr/core/log.h"

namespace clr {
namespace {

std::int64_t power_of_two_up_to(std::int64_t value) {
  return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(value)));
}

}  // namespace

std::int64_t largest_batch(const MemoryEstimate& estimate, std::int64_t batch_size) {
  const double free = 0.9 * estimate.available_bytes - estimate.peak_bytes;
  const double images = static_cast<double>(batch_size) + free / estimate.bytes_per_image;
  return power_of_two_up_to(
      static_cast<std::int64_t>(std::clamp(images, 2.0, static_cast<double>(1 << 20))));
}

std::optional<SmallSetAdvice> small_set_advice(const RunConfig& config, std::int64_t images) {
  constexpr std::int64_t kSmall = 50000;
  constexpr std::int64_t kFewest = 16;  // two steps of the smallest batch
  constexpr std::int64_t kSteps = 10000;
  if (images < kFewest || images >= kSmall || !config.method.options.contains("temperature"))
    return std::nullopt;
  SmallSetAdvice advice;
  advice.batch_size = power_of_two_up_to(std::clamp<std::int64_t>(images / 8, 8, 512));
  const std::int64_t per_epoch = std::max<std::int64_t>(1, images / advice.batch_size);
  advice.epochs = std::clamp<std::int64_t>((kSteps + per_epoch - 1) / per_epoch, 100, 1000);
  advice.temperature = advice.epochs > 300 ? 0.5 : 0.2;
  advice.reasons = {
      fmt::format("batch {}: an epoch of {} steps, each with {} negatives", advice.batch_size,
                  per_epoch, format_count(2 * advice.batch_size - 2)),
      fmt::format("{} epochs: {} steps; 100 epochs of CIFAR-10 at a batch of 512 are 9,800",
                  advice.epochs, format_count(per_epoch * advice.epochs)),
      advice.epochs > 300
          ? "temperature 0.5: on CIFAR-10 the best beyond 300 epochs at every batch (SimCLR, B.9)"
          : "temperature 0.2: lower ones learn faster in few epochs; beyond 300 epochs 0.5 is "
            "better "
            "(SimCLR, B.9)",
      "optimizer.scaling sqrt: at small batches better than linear (SimCLR, table B.1)"};
  return advice;
}

}  // namespace clr
