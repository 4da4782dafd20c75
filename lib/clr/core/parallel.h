// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

namespace clr {

/// Calls work(i) once for each i in [0, count) on `threads` threads, in about ascending order, and
/// watch(done) on the calling thread now and then, with how many are done.
///
/// Throws:  what work() threw, of the lowest i that threw; those above it may then be left out.
void parallel_for(std::int64_t count, int threads, const std::function<void(std::int64_t)>& work,
                  const std::function<void(std::int64_t)>& watch = {});

}  // namespace clr
