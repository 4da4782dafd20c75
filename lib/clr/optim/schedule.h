// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "clr/config/fields.h"

namespace clr {

enum class ScheduleType { cosine, linear, step, constant };
constexpr auto enum_names(ScheduleType) {
  return std::array{"cosine", "linear", "step", "constant"};
}

/// The `schedule` section. Values are factors of the effective learning rate.
struct ScheduleConfig {
  ScheduleType type = ScheduleType::cosine;
  double warmup_epochs = 0.0;
  double warmup_start = 0.0;
  double final = 0.0;
  std::vector<double> milestones;
  double gamma = 0.1;

  static void fields(auto&& f) {
    f("type", &ScheduleConfig::type, "shape after the warm-up");
    f("warmup_epochs", &ScheduleConfig::warmup_epochs, AtLeast{0}, "epochs of linear warm-up");
    f("warmup_start", &ScheduleConfig::warmup_start, In{0, 1},
      "factor that the warm-up starts from");
    f("final", &ScheduleConfig::final, In{0, 1}, "factor that cosine and linear end with");
    f("milestones", &ScheduleConfig::milestones, AtLeast{0},
      "step: epochs at which the rate drops");
    f("gamma", &ScheduleConfig::gamma, In{0, 1}, "step: factor of each drop");
  }
};

/// The factor of the learning rate at a step, as a pure function: per step, warm-up then shape.
///
/// Units:   step in [0, total_steps). Warm-up of round(warmup_epochs * steps_per_epoch) steps:
///          start + (1 - start) * step / warmup_steps, and 1 at the first step after it. Cosine
///          over the rest: final + (1 - final) * (1 + cos(pi * t)) / 2 with t = (step -
///          warmup_steps) / (total_steps - warmup_steps), so that `final` would be reached at
///          total_steps. Linear, likewise: final + (1 - final) * (1 - t). Step: gamma to the number of milestones passed, in epochs from step 0.
double schedule_factor(const ScheduleConfig& config, std::int64_t step, std::int64_t total_steps,
                       std::int64_t steps_per_epoch);

}  // namespace clr
