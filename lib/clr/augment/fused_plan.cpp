// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/fused_plan.h"

namespace clr {

std::optional<FusedPlan> plan_fused(std::span<const std::optional<Stage>> stages, Size size) {
  if (stages.empty() || !stages[0] || stages[0]->kind != StageKind::crop) return std::nullopt;
  FusedPlan plan;
  plan.size = size;
  plan.crop = {0, *stages[0]};
  for (std::size_t i = 1; i < stages.size(); ++i) {
    // The kinds are numbered in the canonical order.
    if (!stages[i] || stages[i]->kind <= stages[i - 1]->kind) return std::nullopt;
    const FusedPlan::Step step{i, *stages[i]};
    switch (step.stage.kind) {
      case StageKind::crop:
        return std::nullopt;
      case StageKind::flip:
        plan.flip = step;
        break;
      case StageKind::jitter:
        plan.jitter = step;
        break;
      case StageKind::gray:
        plan.gray = step;
        break;
      case StageKind::blur:
        plan.blur = step;
        break;
      case StageKind::solarize:
        plan.solarize = step;
        break;
      case StageKind::normalize:
        plan.normalize = step;
        break;
    }
  }
  return plan;
}

}  // namespace clr
