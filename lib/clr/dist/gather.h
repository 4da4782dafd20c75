// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "clr/dist/world.h"

namespace clr {

/// World::gather with a gradient: each process gets the sum of what all processes' losses ask of
/// its rows. So the sum of all losses goes back through all rows, as in one process.
///
/// Shapes:  x [counts[rank], ...] -> [sum of counts, ...].
/// Memory:  the result; backward a gradient as large.
/// Source:  GatherLayer of SimCLR's PyTorch ports; torch.distributed.nn.functional.all_gather.
torch::Tensor gather_rows(const std::shared_ptr<World>& world, const torch::Tensor& x,
                          const std::vector<std::int64_t>& counts);

}  // namespace clr
