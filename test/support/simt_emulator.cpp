// SPDX-License-Identifier: Apache-2.0
#include "support/simt_emulator.h"

#include <c10/util/Half.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "clr/loss/simt.cuh"

namespace clr::simt {
namespace {

using emulator::Shape;

constexpr std::size_t kStackBytes = 256 << 10;
constexpr std::uint32_t kBase = 1024;  // address of the first byte of shared memory
constexpr int kChunk = 16;
constexpr int kManyWarps = -2;

float from_half(std::uint16_t bits) { return c10::detail::fp16_ieee_to_fp32_value(bits); }
std::uint16_t to_half(float x) { return c10::detail::fp16_ieee_from_fp32_value(x); }

/// What threads do to 16 bytes of shared memory.
struct Access {
  int pending = -1;  ///< thread whose copy has not been waited for
  std::int64_t written = -1;
  int writer = -1;
  std::int64_t read = -1;  ///< time (number of the barrier) of the last reading
  int reader = -1;         ///< its warp, or kManyWarps
};

struct Copy {
  Address to;
  const void* from;
};

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<unsigned char[]> stack;
  bool done = false;
  bool waits = false;  ///< for its warp or for the block
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> groups;
};

enum class Instruction { none, shuffle, load, load_transposed, multiply };

/// A warp-wide instruction: what the lanes that have come brought with them.
struct Warp {
  Instruction instruction = Instruction::none;
  int mask = 0;
  int arrived = 0;
  std::array<double, kWarp> values{};
  std::array<Address, kWarp> rows{};
  std::array<std::uint32_t*, kWarp> words{};
  std::array<float*, kWarp> d{};
  std::array<const std::uint32_t*, kWarp> a{};
  std::array<std::array<std::uint32_t, 2>, kWarp> b{};
};

class Block {
 public:
  Block(const Shape& shape, std::uint64_t seed, const std::function<void()>& thread)
      : shape_(shape), seed_(seed * 2 + 1), thread_(thread) {
    fibers_.resize(static_cast<std::size_t>(shape.threads));
    for (auto& fiber : fibers_) fiber.stack.reset(new unsigned char[kStackBytes]);
    warps_.resize((fibers_.size() + kWarp - 1) / kWarp);
    const auto chunks = static_cast<std::size_t>((shape.shared_bytes + kChunk - 1) / kChunk);
    memory_.reset(static_cast<unsigned char*>(std::aligned_alloc(128, (chunks + 8) / 8 * 128)));
    access_.resize(chunks);
  }

  void run(int x, int y, int z) {
    block_ = {x, y, z};
    std::memset(memory_.get(), 0xff, access_.size() * kChunk);
    std::fill(access_.begin(), access_.end(), Access{});
    std::fill(warps_.begin(), warps_.end(), Warp{});
    time_ = 0;
    at_barrier_ = 0;
    for (auto& fiber : fibers_) {
      fiber.done = fiber.waits = false;
      fiber.open.clear();
      fiber.groups.clear();
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = fiber.stack.get();
      fiber.context.uc_stack.ss_size = kStackBytes;
      fiber.context.uc_link = nullptr;
      makecontext(&fiber.context, &Block::enter, 0);
    }
    std::vector<std::size_t> order(warps_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    for (bool any = true; any && failure_.empty();) {
      any = false;
      shuffle(order);
      // A warp runs until all its threads wait for the others.
      for (const std::size_t warp : order) {
        for (bool ran = true; ran && failure_.empty();) {
          ran = false;
          const std::size_t end = std::min(fibers_.size(), (warp + 1) * kWarp);
          for (std::size_t t = warp * kWarp; t < end && failure_.empty(); ++t) {
            if (fibers_[t].done || fibers_[t].waits) continue;
            current_ = static_cast<int>(t);
            swapcontext(&scheduler_, &fibers_[t].context);
            any = ran = true;
          }
        }
      }
    }
    const bool all =
        std::all_of(fibers_.begin(), fibers_.end(), [](const Fiber& fiber) { return fiber.done; });
    if (failure_.empty() && !all) {
      failure_ = "threads wait for others that have ended, or that wait somewhere else";
    }
    if (!failure_.empty()) throw std::runtime_error(failure_);
  }

  int thread() const { return current_; }
  int block(std::size_t dimension) const { return block_[dimension]; }
  const Shape& shape() const { return shape_; }
  unsigned char* memory() const { return memory_.get(); }
  Address address_of(const void* in_shared) const {
    return kBase +
           static_cast<Address>(static_cast<const unsigned char*>(in_shared) - memory_.get());
  }

  void barrier() {
    ++at_barrier_;
    fibers_[index()].waits = true;
    release_barrier();
    pause();
  }

  void copy(Address to, const void* from) {
    if (reinterpret_cast<std::uintptr_t>(from) % kChunk != 0)
      fail("a copy from no multiple of 16 bytes");
    Access& access = at(to);
    if (access.pending >= 0) fail("a copy to where another copy is under way");
    if (access.read == time_ && access.reader != current_ / kWarp) {
      fail("a copy to where another warp may still be reading");
    }
    access.pending = current_;
    fibers_[index()].open.push_back({to, from});
  }
  void commit() {
    Fiber& fiber = fibers_[index()];
    fiber.groups.push_back(std::move(fiber.open));
    fiber.open.clear();
  }
  void wait(int newest) {
    Fiber& fiber = fibers_[index()];
    while (fiber.groups.size() > static_cast<std::size_t>(newest)) {
      for (const Copy& copy : fiber.groups.front()) {
        std::memcpy(memory_.get() + (copy.to - kBase), copy.from, kChunk);
        Access& access = at(copy.to);
        access.pending = -1;
        access.written = time_;
        access.writer = current_;
      }
      fiber.groups.pop_front();
    }
  }

  /// Brings a lane to a warp-wide instruction; returns when all lanes have come and it is done.
  template <class Bring>
  void join(Instruction instruction, int mask, Bring bring) {
    Warp& warp = warps_[index() / kWarp];
    if (warp.arrived == 0) {
      warp.instruction = instruction;
      warp.mask = mask;
    } else if (warp.instruction != instruction || warp.mask != mask) {
      fail("lanes of a warp at different instructions");
    }
    bring(warp, index() % kWarp);
    if (++warp.arrived < kWarp) {
      fibers_[index()].waits = true;
      pause();
      return;
    }
    execute(warp);
    warp.arrived = 0;
    const std::size_t first = index() / kWarp * kWarp;
    for (std::size_t t = first; t < first + kWarp; ++t) fibers_[t].waits = false;
  }

 private:
  static void enter();

  std::size_t index() const { return static_cast<std::size_t>(current_); }
  void pause() { swapcontext(&fibers_[index()].context, &scheduler_); }

  [[noreturn]] void fail(const std::string& what) {
    failure_ = "block (" + std::to_string(block_[0]) + ", " + std::to_string(block_[1]) + ", " +
               std::to_string(block_[2]) + "), thread " + std::to_string(current_) + ": " + what;
    for (;;) pause();
  }

  void release_barrier() {
    const auto left = std::count_if(fibers_.begin(), fibers_.end(),
                                    [](const Fiber& fiber) { return !fiber.done; });
    if (at_barrier_ == 0 || at_barrier_ < left) return;
    at_barrier_ = 0;
    ++time_;
    for (auto& fiber : fibers_) fiber.waits = false;
  }

  Access& at(Address address) {
    if (address % kChunk != 0) fail("an address in shared memory that is no multiple of 16");
    const std::size_t chunk = (address - kBase) / kChunk;
    if (address < kBase || chunk >= access_.size()) fail("an address outside shared memory");
    return access_[chunk];
  }

  void execute(Warp& warp) {
    switch (warp.instruction) {
      case Instruction::shuffle: {
        const auto before = warp.values;
        for (std::size_t lane = 0; lane < kWarp; ++lane) {
          warp.values[lane] = before[lane ^ static_cast<std::size_t>(warp.mask)];
        }
        break;
      }
      case Instruction::load:
      case Instruction::load_transposed:
        load(warp);
        break;
      case Instruction::multiply:
        multiply(warp);
        break;
      case Instruction::none:
        break;
    }
  }

  /// PTX ISA, ldmatrix: lanes 8k to 8k + 7 name the rows of matrix k.
  void load(Warp& warp) {
    const int this_warp = current_ / kWarp;
    for (std::size_t matrix = 0; matrix < 4; ++matrix) {
      unsigned banks = 0;
      for (std::size_t row = 0; row < 8; ++row) {
        const Address address = warp.rows[8 * matrix + row];
        Access& access = at(address);
        if (access.pending >= 0) fail("reads what is being copied and has not been waited for");
        if (access.written == time_ && access.writer / kWarp != this_warp) {
          fail("reads what another warp has copied, without a barrier in between");
        }
        access.reader = access.read == time_ && access.reader != this_warp ? kManyWarps : this_warp;
        access.read = time_;
        banks |= 1U << (address / kChunk % 8);
      }
      if (banks != 0xff) ++bank_conflicts;
    }
    for (std::size_t lane = 0; lane < kWarp; ++lane) {
      for (std::size_t matrix = 0; matrix < 4; ++matrix) {
        const auto element = [&](std::size_t row, std::size_t column) {
          std::uint16_t half = 0;
          std::memcpy(&half, memory_.get() + (warp.rows[8 * matrix + row] - kBase) + 2 * column, 2);
          return static_cast<std::uint32_t>(half);
        };
        const std::size_t i = lane / 4;
        const std::size_t j = lane % 4 * 2;
        warp.words[lane][matrix] = warp.instruction == Instruction::load
                                       ? element(i, j) | element(i, j + 1) << 16
                                       : element(j, i) | element(j + 1, i) << 16;
      }
    }
  }

  /// PTX ISA, mma.m16n8k16 with .f16 operands. The sum is rounded towards zero, as tensor cores'
  /// are.
  static void multiply(Warp& warp) {
    std::array<std::array<float, 16>, 16> a{};
    std::array<std::array<float, 8>, 16> b{};
    for (std::size_t lane = 0; lane < kWarp; ++lane) {
      const std::size_t group = lane / 4;
      const std::size_t in_group = lane % 4;
      for (std::size_t i = 0; i < 8; ++i) {
        const std::size_t row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
        const std::size_t column = in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
        a[row][column] =
            from_half(static_cast<std::uint16_t>(warp.a[lane][i / 2] >> (i % 2 * 16) & 0xffff));
      }
      for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t row = in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0);
        b[row][group] =
            from_half(static_cast<std::uint16_t>(warp.b[lane][i / 2] >> (i % 2 * 16) & 0xffff));
      }
    }
    for (std::size_t lane = 0; lane < kWarp; ++lane) {
      for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t row = lane / 4 + (i < 2 ? 0 : 8);
        const std::size_t column = lane % 4 * 2 + (i & 1);
        double sum = static_cast<double>(warp.d[lane][i]);
        for (std::size_t k = 0; k < 16; ++k) {
          sum += static_cast<double>(a[row][k]) * static_cast<double>(b[k][column]);
        }
        auto rounded = static_cast<float>(sum);
        if (std::abs(static_cast<double>(rounded)) > std::abs(sum)) {
          rounded = std::nextafter(rounded, 0.0F);
        }
        warp.d[lane][i] = rounded;
      }
    }
  }

  void shuffle(std::vector<std::size_t>& order) {
    for (std::size_t i = order.size(); i > 1; --i) {
      seed_ = seed_ * 6364136223846793005ULL + 1442695040888963407ULL;
      std::swap(order[i - 1], order[static_cast<std::size_t>(seed_ >> 33) % i]);
    }
  }

  struct Free {
    void operator()(unsigned char* memory) const { std::free(memory); }
  };

  Shape shape_;
  std::uint64_t seed_;
  const std::function<void()>& thread_;
  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  std::unique_ptr<unsigned char, Free> memory_;
  std::vector<Access> access_;
  std::array<int, 3> block_{};
  ucontext_t scheduler_{};
  int current_ = 0;
  std::int64_t time_ = 0;  ///< barriers passed
  std::int64_t at_barrier_ = 0;
  std::string failure_;

 public:
  static inline std::int64_t bank_conflicts = 0;
};

// The block that runs. Kernels take no such argument: on a GPU there is none.
Block* running = nullptr;

void Block::enter() {
  running->thread_();
  running->fibers_[running->index()].done = true;
  running->release_barrier();
  running->pause();
}

}  // namespace

namespace emulator {

void run(const Shape& shape, std::uint64_t seed, const std::function<void()>& thread) {
  Block block(shape, seed, thread);
  running = &block;
  for (int z = 0; z < shape.blocks_z; ++z) {
    for (int y = 0; y < shape.blocks_y; ++y) {
      for (int x = 0; x < shape.blocks_x; ++x) block.run(x, y, z);
    }
  }
  running = nullptr;
}

std::int64_t take_bank_conflicts() { return std::exchange(Block::bank_conflicts, 0); }

}  // namespace emulator

int thread() { return running->thread(); }
int block_x() { return running->block(0); }
int block_y() { return running->block(1); }
int block_z() { return running->block(2); }
int blocks_x() { return static_cast<int>(running->shape().blocks_x); }
unsigned char* shared() { return running->memory(); }
void barrier() { running->barrier(); }

float shuffle_xor(float value, int mask) {
  return static_cast<float>(shuffle_xor(static_cast<double>(value), mask));
}
double shuffle_xor(double value, int mask) {
  std::array<double, kWarp>* values = nullptr;
  const auto lane = static_cast<std::size_t>(running->thread() % kWarp);
  running->join(Instruction::shuffle, mask, [&](Warp& warp, std::size_t at) {
    warp.values[at] = value;
    values = &warp.values;
  });
  return (*values)[lane];
}

Address address_of(const void* in_shared) { return running->address_of(in_shared); }
void copy_async(Address to, const void* from) { running->copy(to, from); }
void commit_copies() { running->commit(); }
void wait_for_copies_but(int newest) { running->wait(newest); }

void load_matrices(std::uint32_t (&to)[4], Address row) {
  running->join(Instruction::load, 0, [&](Warp& warp, std::size_t lane) {
    warp.words[lane] = to;
    warp.rows[lane] = row;
  });
}
void load_matrices_transposed(std::uint32_t (&to)[4], Address row) {
  running->join(Instruction::load_transposed, 0, [&](Warp& warp, std::size_t lane) {
    warp.words[lane] = to;
    warp.rows[lane] = row;
  });
}
void multiply(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  running->join(Instruction::multiply, 0, [&](Warp& warp, std::size_t lane) {
    warp.d[lane] = d;
    warp.a[lane] = a;
    warp.b[lane] = {b0, b1};
  });
}

float exp2(float x) {
  const float result = std::exp2(x);
  return result < 0x1p-126F ? 0.0F : result;  // NaN stays
}

std::uint32_t pack_halves(float first, float second) {
  return to_half(first) | static_cast<std::uint32_t>(to_half(second)) << 16;
}
float first_half(std::uint32_t pair) {
  return from_half(static_cast<std::uint16_t>(pair & 0xffff));
}
float second_half(std::uint32_t pair) { return from_half(static_cast<std::uint16_t>(pair >> 16)); }

}  // namespace clr::simt
