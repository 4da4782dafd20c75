// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "clr/dist/world.h"

/// A port of this machine that nobody uses.
std::uint16_t free_port();

/// Runs `part` in `size` threads, each with a world of its own in which it is one of `size`
/// processes; gives what each threw (empty: nothing), by rank.
std::vector<std::string> in_worlds(int size,
                                   const std::function<void(std::shared_ptr<clr::World>)>& part,
                                   const clr::WorldOptions& options = {});
