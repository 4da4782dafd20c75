// SPDX-License-Identifier: Apache-2.0
#include "clr/model/embedding_augment.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "clr/core/rng.h"

namespace clr {
namespace {

Rng rng_of(const PackedTokens& packed, std::int64_t row, OpId op, std::uint64_t place) {
  return Rng(static_cast<std::uint64_t>(packed.keys[static_cast<std::size_t>(row)]), {place, 0, 0},
             op);
}

/// Calls visit(row, first token) for each row, on all threads.
template <typename Visit>
void for_each_row(const PackedTokens& packed, const Visit& visit) {
  std::vector<std::int64_t> first(packed.lengths.size() + 1, 0);
  for (std::size_t row = 0; row < packed.lengths.size(); ++row)
    first[row + 1] = first[row] + packed.lengths[row];
  at::parallel_for(0, packed.size(), 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      visit(row, first[static_cast<std::size_t>(row)]);
  });
}

torch::Tensor floats(const torch::Tensor& x, torch::IntArrayRef sizes) {
  return at::empty(sizes, torch::dtype(torch::kFloat32).pinned_memory(x.is_cuda()));
}

torch::Tensor like(const torch::Tensor& drawn, const torch::Tensor& x) {
  return drawn.to(x.device(), x.scalar_type(), /*non_blocking=*/true);
}

/// [T, 1]: 0 for tokens that are cut off.
torch::Tensor kept_tokens(const torch::Tensor& x, const PackedTokens& packed, double p) {
  torch::Tensor kept = floats(x, {x.size(0), 1});
  auto* out = kept.data_ptr<float>();
  for_each_row(packed, [&](std::int64_t row, std::int64_t first) {
    const std::int64_t length = packed.lengths[static_cast<std::size_t>(row)];
    for (std::int64_t i = 0; i < length; ++i) {
      const bool end = i == 0 || i == length - 1;
      const Rng rng = rng_of(packed, row, OpId::token_cutoff, static_cast<std::uint64_t>(i));
      out[first + i] = end || rng.uniform(0) >= p ? 1.0F : 0.0F;
    }
  });
  return like(kept, x);
}

/// [T, D]: 0 for features that the token's text is without.
torch::Tensor kept_features(const torch::Tensor& x, const PackedTokens& packed, double p) {
  const std::int64_t width = x.size(1);
  torch::Tensor kept = floats(x, {packed.size(), width});
  auto* out = kept.data_ptr<float>();
  for_each_row(packed, [&](std::int64_t row, std::int64_t) {
    for (std::int64_t d = 0; d < width; ++d) {
      const Rng rng = rng_of(packed, row, OpId::feature_cutoff, static_cast<std::uint64_t>(d));
      out[row * width + d] = rng.uniform(0) >= p ? 1.0F : 0.0F;
    }
  });
  return like(kept, x).index_select(0, packed.rows);
}

/// [T, D], normal with deviation 1, by Box and Muller: two numbers of two draws.
torch::Tensor normal_noise(const torch::Tensor& x, const PackedTokens& packed) {
  const std::int64_t width = x.size(1);
  torch::Tensor noise = floats(x, x.sizes());
  auto* out = noise.data_ptr<float>();
  for_each_row(packed, [&](std::int64_t row, std::int64_t first) {
    const std::int64_t count = packed.lengths[static_cast<std::size_t>(row)] * width;
    float* const values = out + first * width;
    for (std::int64_t i = 0; i < count; i += 2) {
      const Rng rng = rng_of(packed, row, OpId::embedding_noise, static_cast<std::uint64_t>(i / 2));
      // In (0, 1]: its logarithm is finite.
      const double length = std::sqrt(-2.0 * std::log(1.0 - static_cast<double>(rng.uniform(0))));
      const double angle = 2.0 * std::numbers::pi * static_cast<double>(rng.uniform(1));
      values[i] = static_cast<float>(length * std::cos(angle));
      if (i + 1 < count) values[i + 1] = static_cast<float>(length * std::sin(angle));
    }
  });
  return like(noise, x);
}

}  // namespace

torch::Tensor EmbeddingAugment::apply(const torch::Tensor& x, const PackedTokens& packed) const {
  torch::Tensor result = x;
  if (feature_cutoff > 0) result = result * kept_features(x, packed, feature_cutoff);
  if (token_cutoff > 0) result = result * kept_tokens(x, packed, token_cutoff);
  if (noise > 0) result = result + noise * normal_noise(x, packed);
  return result;
}

torch::Tensor EmbeddingAugment::positions(const PackedTokens& packed) const {
  if (!position_shuffle) return packed.positions;
  torch::Tensor shuffled = packed.positions.cpu().clone();
  auto* out = shuffled.data_ptr<std::int64_t>();
  for_each_row(packed, [&](std::int64_t row, std::int64_t first) {
    const std::int64_t inner = packed.lengths[static_cast<std::size_t>(row)] - 2;
    std::int64_t* const own = out + first + 1;
    for (std::int64_t i = inner - 1; i > 0; --i) {  // Fisher and Yates
      const Rng rng = rng_of(packed, row, OpId::position_shuffle, static_cast<std::uint64_t>(i));
      std::swap(own[i], own[rng.integer(0, static_cast<std::uint32_t>(i + 1))]);
    }
  });
  return shuffled.to(packed.positions.device());
}

}  // namespace clr
