// SPDX-License-Identifier: Apache-2.0
#include "clr/core/rng.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "support/catch.h"

namespace clr {
namespace {

using Words = std::array<std::uint32_t, 4>;

CATCH_TEST_CASE("philox4x32 gives Random123's known answers", "[core]") {
  CATCH_CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) ==
              Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CATCH_CHECK(
      philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
      Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CATCH_CHECK(
      philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
      Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

// Released seeds stay reproducible only while this layout stays.
CATCH_TEST_CASE("the address of a draw is its counter and the seed its key", "[core]") {
  const std::uint64_t seed = 0x1122334455667788;
  const RngAddress address{0x00aabbccddeeff01, 7, 9};
  const Rng rng(seed, address, OpId::color_jitter, 2);
  const Words words =
      philox4x32({0xddeeff01, 0x07aabbcc, 9, (4 + 64 * 2) * 256 + 5}, {0x55667788, 0x11223344});
  CATCH_CHECK(rng.bits(5) == words[0]);
  CATCH_CHECK(rng.bits64(5) == ((std::uint64_t{words[0]} << 32) | words[1]));
  CATCH_CHECK(rng.uniform(5) == std::ldexp(static_cast<float>(words[0] >> 8), -24));
  CATCH_CHECK(rng.integer(5, 10) == static_cast<std::uint32_t>(words[0] / 4294967296.0 * 10));
}

CATCH_TEST_CASE("neighbouring addresses draw different numbers", "[core]") {
  std::set<std::uint64_t> seen;
  std::size_t count = 0;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    for (std::uint64_t index = 0; index < 3; ++index) {
      for (std::uint32_t view = 0; view < 3; ++view) {
        for (std::uint32_t epoch = 0; epoch < 3; ++epoch) {
          for (std::uint32_t op = 0; op < 64; ++op) {
            for (std::uint32_t occurrence = 0; occurrence < 2; ++occurrence) {
              const Rng rng(seed, {index, view, epoch}, OpId{op}, occurrence);
              for (std::uint32_t draw : {0U, 1U, 255U}) {
                seen.insert(rng.bits64(draw));
                ++count;
              }
            }
          }
        }
      }
    }
  }
  CATCH_CHECK(seen.size() == count);
}

CATCH_TEST_CASE("uniform draws have a uniform's mean, variance and histogram", "[core]") {
  constexpr int kCount = 200000;
  constexpr int kBins = 64;
  double sum = 0;
  double squares = 0;
  double products = 0;
  double previous = 0.5;
  std::array<int, kBins> bins{};
  float low = 1;
  float high = 0;
  for (int i = 0; i < kCount; ++i) {
    const Rng rng(42, {static_cast<std::uint64_t>(i), 1, 3}, OpId::grayscale);
    const float x = rng.uniform(0);
    low = std::min(low, x);
    high = std::max(high, x);
    sum += x;
    squares += (x - 0.5) * (x - 0.5);
    products += (x - 0.5) * (previous - 0.5);
    previous = x;
    ++bins[static_cast<std::size_t>(x * kBins)];
  }
  CATCH_CHECK(low >= 0.0F);
  CATCH_CHECK(high < 1.0F);
  // Five standard errors each.
  const double root = std::sqrt(static_cast<double>(kCount));
  CATCH_CHECK(std::abs(sum / kCount - 0.5) < 5 * std::sqrt(1.0 / 12) / root);
  CATCH_CHECK(std::abs(squares / kCount - 1.0 / 12) < 5 * std::sqrt(1.0 / 180) / root);
  CATCH_CHECK(std::abs(products / kCount) < 5 / 12.0 / root);
  double chi_square = 0;
  for (const int bin : bins) {
    const double expected = static_cast<double>(kCount) / kBins;
    chi_square += (bin - expected) * (bin - expected) / expected;
  }
  CATCH_CHECK(chi_square < kBins - 1 + 5 * std::sqrt(2.0 * (kBins - 1)));
  CATCH_CHECK(chi_square > kBins - 1 - 5 * std::sqrt(2.0 * (kBins - 1)));
}

CATCH_TEST_CASE("ranges and integers stay inside and reach both ends", "[core]") {
  std::set<std::uint32_t> integers;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const Rng rng(7, {i, 0, 0}, OpId::step);
    const double x = rng.uniform(3, -2.0, 5.0);
    CATCH_REQUIRE(x >= -2.0);
    CATCH_REQUIRE(x < 5.0);
    CATCH_REQUIRE(rng.uniform(4, 3.0, 3.0) == 3.0);
    CATCH_REQUIRE(rng.integer(5, 1) == 0);
    integers.insert(rng.integer(6, 7));
  }
  CATCH_CHECK(integers == std::set<std::uint32_t>{0, 1, 2, 3, 4, 5, 6});
}

CATCH_TEST_CASE("a permutation is a bijection at every size", "[core]") {
  std::vector<std::uint64_t> sizes;
  for (std::uint64_t size = 1; size <= 130; ++size) sizes.push_back(size);
  for (const std::uint64_t size : {255, 256, 257, 1000, 1023, 1024, 1025, 4096, 4097, 50000}) {
    sizes.push_back(size);
  }
  for (const std::uint64_t size : sizes) {
    const Permutation permutation(1234, 5, size);
    std::vector<bool> seen(size, false);
    for (std::uint64_t position = 0; position < size; ++position) {
      const std::uint64_t index = permutation(position);
      CATCH_REQUIRE(index < size);
      CATCH_REQUIRE(!seen[index]);
      seen[index] = true;
    }
  }
}

CATCH_TEST_CASE("a permutation of a huge range stays inside it", "[core]") {
  const std::uint64_t size = (std::uint64_t{1} << 40) + 3;
  const Permutation permutation(1, 0, size);
  std::set<std::uint64_t> seen;
  for (std::uint64_t position = 0; position < 1000; ++position) {
    const std::uint64_t index = permutation(position);
    CATCH_REQUIRE(index < size);
    seen.insert(index);
  }
  CATCH_CHECK(seen.size() == 1000);
}

/// Share of positions that go to the same index in two orders of `size`.
double agreement(const Permutation& a, const Permutation& b, std::uint64_t size) {
  int same = 0;
  for (std::uint64_t i = 0; i < size; ++i) same += a(i) == b(i) ? 1 : 0;
  return same / static_cast<double>(size);
}

CATCH_TEST_CASE("seed, epoch and purpose each make another order", "[core]") {
  const std::uint64_t size = 5000;
  const Permutation base(1, 2, size);
  CATCH_CHECK(agreement(base, Permutation(1, 2, size), size) == 1.0);
  CATCH_CHECK(agreement(base, Permutation(2, 2, size), size) < 0.003);
  CATCH_CHECK(agreement(base, Permutation(1, 3, size), size) < 0.003);
  CATCH_CHECK(agreement(base, Permutation(1, 2, size, OpId::subset), size) < 0.003);
}

// Of a random order, index(i) is uncorrelated with i, and neighbours land |a - b| = size / 3 apart
// on average.
CATCH_TEST_CASE("an order looks random", "[core]") {
  const std::uint64_t size = 20000;
  double correlation = 0;
  double distance = 0;
  for (std::uint32_t epoch = 0; epoch < 5; ++epoch) {
    const Permutation permutation(9, epoch, size);
    double previous = static_cast<double>(permutation(size - 1)) / size;
    for (std::uint64_t i = 0; i < size; ++i) {
      const double x = static_cast<double>(permutation(i)) / size;
      correlation += (x - 0.5) * (static_cast<double>(i) / size - 0.5) * 12;
      distance += std::abs(x - previous);
      previous = x;
    }
  }
  const double count = 5.0 * size;
  CATCH_CHECK(std::abs(correlation / count) < 5 / std::sqrt(count));
  CATCH_CHECK(std::abs(distance / count - 1.0 / 3) < 5 * 0.24 / std::sqrt(count));
}

}  // namespace
}  // namespace clr
