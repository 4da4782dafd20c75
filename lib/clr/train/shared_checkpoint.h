// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "clr/dist/world.h"
#include "clr/train/checkpoint.h"

namespace clr {

/// What rank 0 has read, in all processes: the others need not see the run's folder.
std::optional<Checkpoint> share_checkpoint(World& world, std::optional<Checkpoint> content);

}  // namespace clr
