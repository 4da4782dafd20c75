// SPDX-License-Identifier: Apache-2.0
#include "clr/optim/schedule.h"

#include <algorithm>
#include <cmath>

#include "clr/core/cosine_ramp.h"

namespace clr {

double schedule_factor(const ScheduleConfig& config, std::int64_t step, std::int64_t total_steps,
                       std::int64_t steps_per_epoch) {
  const auto per_epoch = static_cast<double>(steps_per_epoch);
  const std::int64_t warmup = std::llround(config.warmup_epochs * per_epoch);
  if (step < warmup) {
    return config.warmup_start +
           (1 - config.warmup_start) * static_cast<double>(step) / static_cast<double>(warmup);
  }
  switch (config.type) {
    case ScheduleType::cosine: {
      const std::int64_t rest = std::max<std::int64_t>(total_steps - warmup, 1);
      return cosine_ramp(1.0, config.final, step - warmup, rest);
    }
    case ScheduleType::linear: {
      const std::int64_t rest = std::max<std::int64_t>(total_steps - warmup, 1);
      const double done = static_cast<double>(step - warmup) / static_cast<double>(rest);
      return config.final + (1 - config.final) * (1 - done);
    }
    case ScheduleType::step: {
      const auto passed =
          std::count_if(config.milestones.begin(), config.milestones.end(),
                        [&](double epoch) { return step >= std::llround(epoch * per_epoch); });
      return std::pow(config.gamma, static_cast<double>(passed));
    }
    case ScheduleType::constant:
      break;
  }
  return 1.0;
}

}  // namespace clr
