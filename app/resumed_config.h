// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "clr/config/load.h"
#include "clr/dist/world.h"

namespace clr {

/// With `resume` holds the configuration `own` against the one that the run in `out` was started
/// with, and merges it into the document under the name `source`, with what that run had resolved or
/// drawn (but no more threads than are this process's share of the machine, if it shares it). Rank 0 alone reads the folder, and its `resume` counts. Returns whether there is a run to go on with.
/// Throws:  as check_resumed_config(); Error{checkpoint} for a config.json that cannot be read.
bool follow_resumed_config(World& world, bool resume, const std::filesystem::path& out, Json own,
                           ConfigDocument& document, const std::string& source);

}  // namespace clr
