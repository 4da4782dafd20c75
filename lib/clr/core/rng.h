// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

namespace clr {

/// Philox4x32-10: a counter-based generator, so that every draw is a pure function of its address.
///
/// Shapes:  four 32-bit words from a four-word counter and a two-word key.
/// Source:  Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key) {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53U;
  constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57U;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9U;
  constexpr std::uint32_t kWeyl1 = 0xBB67AE85U;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter[0];
    const std::uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

/// Who draws. The number is part of the address of every draw, so it never changes once released:
/// switching an operation off, or adding one, shifts no other's draws.
enum class OpId : std::uint32_t {
  epoch_order = 0,
  replacement = 1,
  random_resized_crop = 2,
  horizontal_flip = 3,
  color_jitter = 4,
  grayscale = 5,
  gaussian_blur = 6,
  solarize = 7,
  initialization = 8,
  step = 9,
  holdout = 10,
  subset = 11,
  knn_slice = 12,
  shape = 13,
  shape_background = 14,
  step_order = 15,
  shard_order = 16,
  network = 17,
  drop_path = 18,
  dropout = 19,
  bootstrap = 20,
  text_source = 21,
  words = 22,
  token_delete = 23,
  token_swap = 24,
  token_repeat = 25,
  token_mask = 26,
  span_delete = 27,
  sentence_shuffle = 28,
  token_cutoff = 29,
  feature_cutoff = 30,
  position_shuffle = 31,
  embedding_noise = 32,
  token_prediction = 33,
  skip_gram = 34,
  // 35 to 62 are free; an operation without draws needs none.
  none = 63,
};

/// The address of one image's draws: the dataset index (not the position in the batch), the view,
/// the epoch.
struct RngAddress {
  std::uint64_t index = 0;  ///< below 2^56
  std::uint32_t view = 0;   ///< below 2^8
  std::uint32_t epoch = 0;
};

/// Draws at numbered places: `uniform(k)` is the same number however often and in whatever order it
/// is asked for.
///
/// An operation owns 256 draws an occurrence in its chain: slot = (op + 64 * occurrence) * 256 +
/// draw.
class Rng {
 public:
  constexpr Rng(std::uint64_t seed, RngAddress address, OpId op, std::uint32_t occurrence = 0)
      : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
        counter_{
            static_cast<std::uint32_t>(address.index),
            (static_cast<std::uint32_t>(address.index >> 32) & 0xFFFFFFU) | (address.view << 24),
            address.epoch, (static_cast<std::uint32_t>(op) + 64U * occurrence) * 256U} {}

  /// 32 random bits. draw < 256.
  constexpr std::uint32_t bits(std::uint32_t draw) const {
    auto counter = counter_;
    counter[3] += draw;
    return philox4x32(counter, key_)[0];
  }

  /// 64 random bits, the first 32 of which are bits(draw).
  constexpr std::uint64_t bits64(std::uint32_t draw) const {
    auto counter = counter_;
    counter[3] += draw;
    const auto words = philox4x32(counter, key_);
    return (static_cast<std::uint64_t>(words[0]) << 32) | words[1];
  }

  /// A number in [0, 1), a multiple of 2^-24: the same on every device.
  constexpr float uniform(std::uint32_t draw) const {
    return static_cast<float>(bits(draw) >> 8) * 0x1p-24F;
  }

  /// A number in [low, high).
  constexpr double uniform(std::uint32_t draw, double low, double high) const {
    return low + (high - low) * static_cast<double>(uniform(draw));
  }

  /// An integer in [0, count), count >= 1.
  constexpr std::uint32_t integer(std::uint32_t draw, std::uint32_t count) const {
    return static_cast<std::uint32_t>((static_cast<std::uint64_t>(bits(draw)) * count) >> 32);
  }

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
};

/// A keyed permutation of [0, size) with random access: position -> index, in O(1) memory.
///
/// A balanced Feistel network over the next even power of two, walked until it lands inside [0,
/// size).
class Permutation {
 public:
  /// The order of `epoch` under `seed`. size >= 1.
  Permutation(std::uint64_t seed, std::uint32_t epoch, std::uint64_t size,
              OpId op = OpId::epoch_order)
      : seed_(seed), epoch_(epoch), size_(size), op_(op) {
    while ((std::uint64_t{1} << (2 * half_bits_)) < size) ++half_bits_;
  }

  std::uint64_t operator()(std::uint64_t position) const {
    std::uint64_t value = position;
    do {
      value = feistel(value);
    } while (value >= size_);
    return value;
  }

 private:
  std::uint64_t feistel(std::uint64_t value) const {
    const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
    std::uint64_t left = value >> half_bits_;
    std::uint64_t right = value & mask;
    for (std::uint32_t round = 0; round < 6; ++round) {
      const Rng rng(seed_, {right, 0, epoch_}, op_);
      const std::uint64_t next = left ^ (rng.bits64(round) & mask);
      left = right;
      right = next;
    }
    return (left << half_bits_) | right;
  }

  std::uint64_t seed_;
  std::uint32_t epoch_;
  std::uint64_t size_;
  OpId op_;
  int half_bits_ = 1;
};

}  // namespace clr
