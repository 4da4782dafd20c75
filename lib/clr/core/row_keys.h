// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "clr/core/batch.h"

namespace clr {

/// Gives each row of a batch a key for the draws that networks make (drop path): a function of seed,
/// epoch, dataset index and view alone. So a row's draws do not depend on its batch, on the process that
/// holds it, or on how often it is embedded.
void set_row_keys(Batch& batch, std::uint64_t seed);

}  // namespace clr
