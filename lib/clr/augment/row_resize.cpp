// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/row_resize.h"

#include <algorithm>

#include "clr/augment/pixel_math.h"
#include "clr/core/multiversion.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define CLR_X86 1
#endif

namespace clr {
namespace {

void resize_row_plain(const std::array<const float*, 3>& from, const int* start,
                      const float* weights, int count, int first, int out,
                      const std::array<float*, 3>& to) {
  for (std::size_t c = 0; c < 3; ++c) {
    for (int i = first; i < out; ++i) {
      float sum = weights[i] * from[c][start[i]];
      for (int k = 1; k < count; ++k) {
        sum += weights[static_cast<std::ptrdiff_t>(k) * out + i] * from[c][start[i] + k];
      }
      to[c][i] = clamp_unit(sum);
    }
  }
}

#ifdef CLR_X86

// GCC 12 finds the placeholders of its own intrinsics uninitialized.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

__attribute__((target("avx2"))) void resize_row_avx2(const std::array<const float*, 3>& from,
                                                     const int* start, const float* weights,
                                                     int count, int out,
                                                     const std::array<float*, 3>& to) {
  constexpr int kWidth = 8;
  const __m256 zero = _mm256_setzero_ps();
  const __m256 one = _mm256_set1_ps(1.0F);
  const int whole = out - out % kWidth;
  for (int i = 0; i < whole; i += kWidth) {
    const int base = std::min(start[i], start[i + kWidth - 1]);
    const int span = std::max(start[i], start[i + kWidth - 1]) - base;
    const __m256i index = _mm256_sub_epi32(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(start + i)), _mm256_set1_epi32(base));
    const __m256 upper = _mm256_castsi256_ps(_mm256_cmpgt_epi32(index, _mm256_set1_epi32(7)));
    for (std::size_t c = 0; c < 3; ++c) {
      __m256 sum = zero;
      for (int k = 0; k < count; ++k) {
        const float* source = from[c] + base + k;
        __m256 values;
        if (span < kWidth) {
          values = _mm256_permutevar8x32_ps(_mm256_loadu_ps(source), index);
        } else if (span < 2 * kWidth) {
          // The permutation takes an index modulo 8.
          values = _mm256_blendv_ps(
              _mm256_permutevar8x32_ps(_mm256_loadu_ps(source), index),
              _mm256_permutevar8x32_ps(_mm256_loadu_ps(source + kWidth), index), upper);
        } else {
          values = _mm256_i32gather_ps(source, index, 4);
        }
        const __m256 product = _mm256_mul_ps(
            _mm256_loadu_ps(weights + static_cast<std::ptrdiff_t>(k) * out + i), values);
        sum = k == 0 ? product : _mm256_add_ps(sum, product);
      }
      _mm256_storeu_ps(to[c] + i, _mm256_min_ps(one, _mm256_max_ps(zero, sum)));
    }
  }
  resize_row_plain(from, start, weights, count, whole, out, to);
}

__attribute__((target("avx512f"))) void resize_row_avx512(const std::array<const float*, 3>& from,
                                                          const int* start, const float* weights,
                                                          int count, int out,
                                                          const std::array<float*, 3>& to) {
  constexpr int kWidth = 16;
  const __m512 zero = _mm512_setzero_ps();
  const __m512 one = _mm512_set1_ps(1.0F);
  for (int i = 0; i < out; i += kWidth) {
    const int lanes = std::min(kWidth, out - i);
    const auto mask = static_cast<__mmask16>((1U << lanes) - 1U);
    const int base = std::min(start[i], start[i + lanes - 1]);
    const int span = std::max(start[i], start[i + lanes - 1]) - base;
    const __m512i index = _mm512_maskz_sub_epi32(mask, _mm512_maskz_loadu_epi32(mask, start + i),
                                                 _mm512_set1_epi32(base));
    const __mmask16 upper = _mm512_cmpgt_epi32_mask(index, _mm512_set1_epi32(31));
    for (std::size_t c = 0; c < 3; ++c) {
      __m512 sum = zero;
      for (int k = 0; k < count; ++k) {
        const float* source = from[c] + base + k;
        __m512 values;
        if (span < kWidth) {
          values = _mm512_permutexvar_ps(index, _mm512_loadu_ps(source));
        } else if (span < 4 * kWidth) {
          // The permutation takes an index modulo 32.
          values = _mm512_permutex2var_ps(_mm512_loadu_ps(source), index,
                                          _mm512_loadu_ps(source + kWidth));
          if (span >= 2 * kWidth) {
            values = _mm512_mask_mov_ps(
                values, upper,
                _mm512_permutex2var_ps(_mm512_loadu_ps(source + 2 * kWidth), index,
                                       _mm512_loadu_ps(source + 3 * kWidth)));
          }
        } else {
          values = _mm512_mask_i32gather_ps(zero, mask, index, source, 4);
        }
        const __m512 product = _mm512_mul_ps(
            _mm512_maskz_loadu_ps(mask, weights + static_cast<std::ptrdiff_t>(k) * out + i),
            values);
        sum = k == 0 ? product : _mm512_add_ps(sum, product);
      }
      _mm512_mask_storeu_ps(to[c] + i, mask, _mm512_min_ps(one, _mm512_max_ps(zero, sum)));
    }
  }
}

#pragma GCC diagnostic pop

#endif

}  // namespace

CLR_MULTIVERSION void mix_rows(const std::uint8_t* from, std::size_t stride, const float* weights,
                               std::size_t weight_stride, int count, std::size_t values,
                               float* to_values) {
  float* __restrict to = to_values;
  const std::uint8_t* __restrict a = from;
  const float first = weights[0];
  if (count == 1) {
    for (std::size_t i = 0; i < values; ++i) to[i] = first * static_cast<float>(a[i]);
    return;
  }
  const auto weight = [&](int k) { return weights[static_cast<std::size_t>(k) * weight_stride]; };
  const auto row = [&](int k) { return from + static_cast<std::size_t>(k) * stride; };
  // Two or three rows at a time: fewer trips of the sums to the cache and back.
  int k = 2;
  const std::uint8_t* __restrict b = row(1);
  const float second = weight(1);
  if (count % 2 == 1) {
    const std::uint8_t* __restrict c = row(2);
    const float third = weight(2);
    for (std::size_t i = 0; i < values; ++i) {
      to[i] = first * static_cast<float>(a[i]) + second * static_cast<float>(b[i]) +
              third * static_cast<float>(c[i]);
    }
    k = 3;
  } else {
    for (std::size_t i = 0; i < values; ++i) {
      to[i] = first * static_cast<float>(a[i]) + second * static_cast<float>(b[i]);
    }
  }
  for (; k < count; k += 2) {
    const std::uint8_t* __restrict c = row(k);
    const std::uint8_t* __restrict d = row(k + 1);
    const float third = weight(k);
    const float fourth = weight(k + 1);
    for (std::size_t i = 0; i < values; ++i) {
      to[i] = to[i] + third * static_cast<float>(c[i]) + fourth * static_cast<float>(d[i]);
    }
  }
}

CLR_MULTIVERSION void split_channels(const float* __restrict pixels, std::size_t count,
                                     float* __restrict red, float* __restrict green,
                                     float* __restrict blue) {
  for (std::size_t i = 0; i < count; ++i) {
    red[i] = pixels[3 * i];
    green[i] = pixels[3 * i + 1];
    blue[i] = pixels[3 * i + 2];
  }
}

VectorSet best_vector_set() {
#ifdef CLR_X86
  static const VectorSet best = __builtin_cpu_supports("avx512f") ? VectorSet::avx512
                                : __builtin_cpu_supports("avx2")  ? VectorSet::avx2
                                                                  : VectorSet::plain;
  return best;
#else
  return VectorSet::plain;
#endif
}

void resize_row_across(VectorSet set, const std::array<const float*, 3>& from, const int* start,
                       const float* weights, int count, int out, const std::array<float*, 3>& to) {
#ifdef CLR_X86
  if (set == VectorSet::avx512) return resize_row_avx512(from, start, weights, count, out, to);
  if (set == VectorSet::avx2) return resize_row_avx2(from, start, weights, count, out, to);
#endif
  resize_row_plain(from, start, weights, count, 0, out, to);
}

}  // namespace clr
