// SPDX-License-Identifier: Apache-2.0
// The two passes of an antialiased resize on rows of 8-bit pixels, for the fused executor.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace clr {

/// Values that resize_rows_across may read past the end of a source row.
constexpr std::size_t kRowPadding = 64;

/// The vertical pass: to[i] = sum over k < count of weights[k * weight_stride] * from[k * stride +
/// i], interleaved as it is. `count` >= 1.
void mix_rows(const std::uint8_t* from, std::size_t stride, const float* weights,
              std::size_t weight_stride, int count, std::size_t values, float* to);

/// Interleaved pixels to three planes.
void split_channels(const float* __restrict pixels, std::size_t count, float* __restrict red,
                    float* __restrict green, float* __restrict blue);

/// Instructions that the horizontal pass has a form for.
enum class VectorSet { plain, avx2, avx512 };

/// The widest that this processor has.
VectorSet best_vector_set();

/// The horizontal pass on a row of three planes: to[c][i] = sum over k < count of
/// weights[k * out + i] * from[c][start[i] + k], held to [0, 1].
///
/// `start` rises or falls; kRowPadding values behind the end of each source row can be read.
/// The bytes do not depend on `set`, which the processor must have: permuted registers where 16 (8)
/// neighbours' sources lie within four (two) of them, else gathers.
void resize_row_across(VectorSet set, const std::array<const float*, 3>& from, const int* start,
                       const float* weights, int count, int out, const std::array<float*, 3>& to);

}  // namespace clr
