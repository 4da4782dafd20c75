// SPDX-License-Identifier: Apache-2.0
// Runs kernels that are written with clr/loss/simt.cuh on the host: every thread of a block is a
// fiber, warp-wide instructions wait for their 32 lanes, barriers for the block. What hardware
// leaves open is chosen against the kernel: copies arrive as late as they may, shared memory begins
// as NaNs, warps run in an order drawn from a seed. Reading or overwriting shared memory that an
// instruction of another thread may still be filling or reading is an error.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace clr::simt::emulator {

struct Shape {
  std::int64_t blocks_x = 1;
  std::int64_t blocks_y = 1;
  std::int64_t blocks_z = 1;
  int threads = 1;
  std::int64_t shared_bytes = 0;
};

/// Calls `thread` for every thread of every block, one block after the other.
/// Throws:  std::runtime_error with what a kernel did that no GPU would do reliably.
void run(const Shape& shape, std::uint64_t seed, const std::function<void()>& thread);

/// Eight rows read at once whose banks were not all different, since the last call.
std::int64_t take_bank_conflicts();

/// What `Passes` launches with.
class Launch {
 public:
  explicit Launch(std::uint64_t seed = 0) : seed_(seed) {}

  template <class Kernel>
  void run(const auto& grid, std::int64_t shared_bytes,
           const typename Kernel::Arguments& arguments) {
    emulator::run({grid.x, grid.y, grid.z, Kernel::kThreads, shared_bytes}, seed_,
                  [&] { Kernel::run(arguments); });
  }

 private:
  std::uint64_t seed_;
};

}  // namespace clr::simt::emulator
