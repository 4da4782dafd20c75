// SPDX-License-Identifier: Apache-2.0
// Contrastive log-sums and their gradients on tensor cores, tile by tile (docs/kernels.md).
//
// Each kernel is a struct: its arguments, its number of threads, and run(), which is what one
// thread does. contrastive_passes.cuh puts them in order.
#pragma once

#include <cstdint>
#include <limits>

#include "clr/loss/contrastive_tiles.cuh"

namespace clr::kernels {

using simt::kWarp;

constexpr double kLn2 = 0.6931471805599453;
constexpr float kNothing = -std::numeric_limits<float>::infinity();
constexpr double kNothingWide = -std::numeric_limits<double>::infinity();
constexpr float kLargestFloat = std::numeric_limits<float>::max();
constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarp;  // of all kernels with tiles

/// Rows as a matrix product takes them: halves, and what rounding to halves left over as halves
/// again.
struct Operand {
  const std::uint16_t* high;
  std::int64_t low;     ///< from a high half to its low half
  std::int64_t stride;  ///< padded width
};

CLR_HOST_DEVICE int smaller(int a, int b) { return a < b ? a : b; }

/// Number of this thread in a one-dimensional grid.
template <int kThreads>
CLR_DEVICE std::int64_t global_thread() {
  return static_cast<std::int64_t>(simt::block_x()) * kThreads + simt::thread();
}

// --- operands ----------------------------------------------------------------------------------

/// float32 rows to an Operand, zeros around them.
struct Prepare {
  static constexpr int kThreads = 256;
  static constexpr int kRegisters = 128;
  static constexpr int kChunk = 8;
  struct Arguments {
    const float* rows;
    std::int64_t count, width, column_count;
    const double* inverse_temperature;
    std::uint16_t* high;
    std::int64_t low, stride;
    int* online;  ///< set to `start`, unless null
    int start;
  };

  static std::int64_t blocks(std::int64_t count, std::int64_t stride) {
    return divide_up(padded(count) * (stride / kChunk), kThreads);
  }

  CLR_DEVICE static void run(const Arguments& a) {
    const std::int64_t index = global_thread<kThreads>();
    if (index == 0 && a.online != nullptr) *a.online = a.start;
    const std::int64_t row = index / (a.stride / kChunk);
    const std::int64_t first = index % (a.stride / kChunk) * kChunk;
    if (row >= padded(a.count)) return;
    const auto scale =
        static_cast<float>(scales_of(*a.inverse_temperature, a.column_count).operand);
    CLR_UNROLL
    for (int k = 0; k < kChunk; k += 2) {
      float x[2] = {0.0F, 0.0F};
      CLR_UNROLL
      for (int e = 0; e < 2; ++e) {
        const std::int64_t column = first + k + e;
        if (row < a.count && column < a.width) x[e] = a.rows[row * a.width + column] * scale;
      }
      const std::uint32_t high = simt::pack_halves(x[0], x[1]);
      const std::int64_t at = row * a.stride + first + k;
      *reinterpret_cast<std::uint32_t*>(a.high + at) = high;
      if (a.low != 0) {
        *reinterpret_cast<std::uint32_t*>(a.high + a.low + at) =
            simt::pack_halves(x[0] - simt::first_half(high), x[1] - simt::second_half(high));
      }
    }
  }
};

/// Starts copying rows of one plane to shared memory.
template <int kRows>
CLR_DEVICE void load_plane(simt::Address to, const std::uint16_t* from, std::int64_t stride) {
  // A thread's rows are kThreads / 8 apart, a multiple of 8: their chunks are permuted alike.
  const int row = simt::thread() / 8;
  const int chunk = simt::thread() % 8;
  to += row_start(row) ^ chunk_bits(chunk);
  from += row * stride + chunk * 8;
  CLR_UNROLL
  for (int i = 0; i < kRows; i += kThreads / 8) {
    simt::copy_async(to + i * 128, from);
    from += kThreads / 8 * stride;
  }
}

/// The same of both halves of an operand.
template <int kRows, bool kExact>
CLR_DEVICE void load_planes(simt::Address to, int low, const Operand& from, std::int64_t row,
                            int plane) {
  const std::uint16_t* const high = from.high + row * from.stride + plane * kPlane;
  load_plane<kRows>(to, high, from.stride);
  if constexpr (kExact) load_plane<kRows>(to + low, high + from.low, from.stride);
}

// --- products ----------------------------------------------------------------------------------

/// result [16 kM, 8 kN] += rows times columns transposed, over the 64 numbers of a plane.
///
/// Shared:  `rows` and `columns` are planes; low halves lie `rows_low` and `columns_low` bytes
///          further.
template <int kM, int kN, bool kExact>
CLR_DEVICE void multiply_plane(float (&result)[kM][kN][4], simt::Address rows, int rows_low,
                               int first_row, simt::Address columns, int columns_low,
                               int first_column) {
  const int lane = simt::thread() % kWarp;
  const int a_start = row_start(first_row + a_row(lane)) ^ chunk_bits(a_chunk(lane));
  const int b_start = row_start(first_column + b_row(lane)) ^ chunk_bits(b_chunk(lane));
  // Of wide products, four steps at once would want more registers than there are.
  CLR_UNROLL_BY(kM == 2 ? 2 : 4)
  for (int k = 0; k < kPlane / 16; ++k) {
    std::uint32_t high[kM][4];
    std::uint32_t low[kExact ? kM : 1][4];
    const simt::Address a_at = rows + (a_start ^ chunk_bits(2 * k));
    const simt::Address b_at = columns + (b_start ^ chunk_bits(2 * k));
    CLR_UNROLL
    for (int m = 0; m < kM; ++m) {
      const simt::Address at = a_at + 16 * m * 128;
      simt::load_matrices(high[m], at);
      if constexpr (kExact) simt::load_matrices(low[m], at + rows_low);
    }
    CLR_UNROLL
    for (int n = 0; n < kN; n += 2) {
      const simt::Address at = b_at + 8 * n * 128;
      std::uint32_t b[4];
      simt::load_matrices(b, at);
      CLR_UNROLL
      for (int m = 0; m < kM; ++m) {
        if constexpr (kExact) {
          simt::multiply(result[m][n], low[m], b[0], b[1]);
          simt::multiply(result[m][n + 1], low[m], b[2], b[3]);
        }
        simt::multiply(result[m][n], high[m], b[0], b[1]);
        simt::multiply(result[m][n + 1], high[m], b[2], b[3]);
      }
      if constexpr (kExact) {
        simt::load_matrices(b, at + columns_low);
        CLR_UNROLL
        for (int m = 0; m < kM; ++m) {
          simt::multiply(result[m][n], high[m], b[0], b[1]);
          simt::multiply(result[m][n + 1], high[m], b[2], b[3]);
        }
      }
    }
  }
}

/// Weights [16 kM, 8 kN] of a tile, as the operand a of a product over the tile's columns.
template <int kM, int kN, bool kExact>
struct Weights {
  std::uint32_t high[kM][kN / 2][4];
  std::uint32_t low[kExact ? kM : 1][kN / 2][4];

  /// From a result of multiply_plane: a lane's numbers of two neighbouring 16 x 8 results are those
  /// it gives as a 16 x 16 operand.
  CLR_DEVICE void take(const float (&from)[kM][kN][4]) {
    CLR_UNROLL
    for (int m = 0; m < kM; ++m) {
      CLR_UNROLL
      for (int k = 0; k < kN / 2; ++k) {
        CLR_UNROLL
        for (int r = 0; r < 4; ++r) {
          const float x = from[m][2 * k + r / 2][2 * (r % 2)];
          const float y = from[m][2 * k + r / 2][2 * (r % 2) + 1];
          high[m][k][r] = simt::pack_halves(x, y);
          if constexpr (kExact) {
            low[m][k][r] = simt::pack_halves(x - simt::first_half(high[m][k][r]),
                                             y - simt::second_half(high[m][k][r]));
          }
        }
      }
    }
  }
};

/// result [16 kM, 64] += weights [16 kM, 8 kN] times the 8 kN rows of a plane.
///
/// Each tile's products are summed by themselves before they join the result: tensor cores round
/// their sums towards zero, which would pull a long one away from the truth.
template <int kM, int kN, bool kExact>
CLR_DEVICE void add_weighted_plane(float (&result)[kM][8][4],
                                   const Weights<kM, kN, kExact>& weights, simt::Address rows,
                                   int rows_low) {
  const int start = row_start(simt::thread() % kWarp);
  CLR_UNROLL
  for (int n = 0; n < 8; ++n) {
    float sum[kM][4] = {};
    CLR_UNROLL
    for (int k = 0; k < kN / 4; ++k) {
      // Of 32 rows the eight columns n: two operands of 16 x 8.
      const simt::Address at = rows + (start ^ chunk_bits(n)) + 32 * k * 128;
      std::uint32_t b[4];
      simt::load_matrices_transposed(b, at);
      CLR_UNROLL
      for (int m = 0; m < kM; ++m) {
        if constexpr (kExact) {
          simt::multiply(sum[m], weights.low[m][2 * k], b[0], b[1]);
          simt::multiply(sum[m], weights.low[m][2 * k + 1], b[2], b[3]);
        }
        simt::multiply(sum[m], weights.high[m][2 * k], b[0], b[1]);
        simt::multiply(sum[m], weights.high[m][2 * k + 1], b[2], b[3]);
      }
      if constexpr (kExact) {
        simt::load_matrices_transposed(b, at + rows_low);
        CLR_UNROLL
        for (int m = 0; m < kM; ++m) {
          simt::multiply(sum[m], weights.high[m][2 * k], b[0], b[1]);
          simt::multiply(sum[m], weights.high[m][2 * k + 1], b[2], b[3]);
        }
      }
    }
    CLR_UNROLL
    for (int m = 0; m < kM; ++m) {
      CLR_UNROLL
      for (int r = 0; r < 4; ++r) result[m][n][r] += sum[m][r];
    }
  }
}

/// Makes exponents of a warp's [16 kM, 8 kN] tile -inf where a column is left out of a row's sum.
/// kRuled: there are ids or a limit. `swapped`: the kernel's rows are the problem's columns.
template <bool kRuled, int kM, int kN>
CLR_DEVICE void leave_out(float (&exponents)[kM][kN][4], const Rules& rules, const Scales& scales,
                          bool swapped, int row, int column) {
  const bool check = swapped ? tile_leaves_out(rules, column, 8 * kN, row, 16 * kM)
                             : tile_leaves_out(rules, row, 16 * kM, column, 8 * kN);
  if (!kRuled && !check) return;
  // Of unshifted exponents, as they come from the product.
  const auto limit = static_cast<float>(static_cast<double>(rules.cosine_limit) * scales.kappa *
                                        kOperand * kOperand);
  const int lane = simt::thread() % kWarp;
  CLR_UNROLL
  for (int m = 0; m < kM; ++m) {
    CLR_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int i = row + 16 * m + fragment_row(lane, 2 * h);
      LeftOut left_out = left_out_of(rules, swapped, i);
      // Relative to the lane's first column.
      const int first = column + fragment_column(lane, 0);
      left_out.self -= first;
      left_out.pair -= first;
      left_out.end -= first;
      CLR_UNROLL
      for (int n = 0; n < kN; ++n) {
        CLR_UNROLL
        for (int r = 0; r < 2; ++r) {
          float& exponent = exponents[m][n][2 * h + r];
          bool out = left_out.has(8 * n + r);
          if constexpr (kRuled) {
            const int j = first + 8 * n + r;
            out = out || exponent > limit || ids_leave_out(rules, swapped ? j : i, swapped ? i : j);
          }
          if (out) exponent = kNothing;
        }
      }
    }
  }
}

// --- forward -----------------------------------------------------------------------------------

/// Sums of exponentials over groups of 128 x 128 tiles. Of a symmetric problem the groups on and
/// above the diagonal: each tile serves its rows and its columns. Each group writes its sums to a
/// slot of its own.
template <bool kExact, bool kRuled>
struct ForwardTiles {
  static constexpr int kThreads = kernels::kThreads;
  static constexpr int kRegisters = 240;
  static constexpr int kPlaneBytes = kTile * kPlane * 2;
  static constexpr int kOperandBytes = kPlaneBytes * (kExact ? 2 : 1);
  static constexpr int kStageBytes = 2 * kOperandBytes;
  static constexpr int kStages = 2;

  struct Arguments {
    Operand rows, columns;
    Rules rules;
    const double* inverse_temperature;
    bool symmetric, column_sums;
    Groups row_groups, column_groups;
    float* row_partials;     ///< [column groups, padded rows]
    float* column_partials;  ///< [row groups, padded columns], or null
  };

  static std::int64_t blocks(const Arguments& a) {
    const std::int64_t rows = a.row_groups.count;
    return a.symmetric ? rows * (rows + 1) / 2 : rows * a.column_groups.count;
  }
  static std::int64_t shared_bytes(const Groups& rows, const Groups& columns) {
    return kStages * kStageBytes + (4 + rows.size + columns.size) * kTile * std::int64_t{4};
  }

  /// What is loaded and multiplied next: a plane of a tile of the group.
  struct Step {
    int row, column;  ///< tiles
    int plane;
  };

  CLR_DEVICE static void run(const Arguments& a) {
    const simt::Address stages = simt::address_of(simt::shared());
    auto* const row_scratch = reinterpret_cast<float*>(simt::shared() + kStages * kStageBytes);
    float* const column_scratch = row_scratch + 2 * kTile;
    float* const row_totals = column_scratch + 2 * kTile;
    float* const column_totals = row_totals + a.row_groups.size * kTile;
    const int thread = simt::thread();

    int row_group = 0;
    int column_group = 0;
    if (a.symmetric) {
      pair_at(simt::block_x(), row_group, column_group);
    } else {
      row_group = simt::block_x() / a.column_groups.count;
      column_group = simt::block_x() % a.column_groups.count;
    }
    const bool diagonal = a.symmetric && row_group == column_group;
    const int first_row = row_group * a.row_groups.size;
    const int first_column = column_group * a.column_groups.size;
    const int end_row = smaller(first_row + a.row_groups.size, a.row_groups.tiles);
    const int end_column = smaller(first_column + a.column_groups.size, a.column_groups.tiles);
    for (int i = thread; i < (a.row_groups.size + a.column_groups.size) * kTile; i += kThreads) {
      row_totals[i] = 0.0F;
    }

    const int planes = static_cast<int>(a.rows.stride / kPlane);
    const auto load = [&](const Step& step, int stage) {
      const simt::Address to = stages + stage * kStageBytes;
      load_planes<kTile, kExact>(to, kPlaneBytes, a.rows,
                                 static_cast<std::int64_t>(step.row) * kTile, step.plane);
      load_planes<kTile, kExact>(to + kOperandBytes, kPlaneBytes, a.columns,
                                 static_cast<std::int64_t>(step.column) * kTile, step.plane);
    };
    const auto advance = [&](Step& step) {
      if (++step.plane < planes) return;
      step.plane = 0;
      if (++step.column < end_column) return;
      ++step.row;
      step.column = diagonal ? step.row : first_column;
    };

    const Scales scales = scales_of(*a.inverse_temperature, a.rules.columns);
    const int warp_row = thread / kWarp / 2 * 64;
    const int warp_column = thread / kWarp % 2 * 64;
    Step step{first_row, first_column, 0};
    load(step, 0);
    simt::commit_copies();
    float product[4][8][4] = {};
    for (int stage = 0; step.row < end_row; stage ^= 1) {
      Step next = step;
      advance(next);
      if (next.row < end_row) load(next, stage ^ 1);
      simt::commit_copies();
      simt::wait_for_copies<1>();
      simt::barrier();
      const simt::Address rows = stages + stage * kStageBytes;
      multiply_plane<4, 8, kExact>(product, rows, kPlaneBytes, warp_row, rows + kOperandBytes,
                                   kPlaneBytes, warp_column);
      if (step.plane + 1 == planes) {
        const bool both = a.symmetric ? step.row != step.column : a.column_sums;
        const int row = step.row * kTile + warp_row;
        const int column = step.column * kTile + warp_column;
        leave_out<kRuled>(product, a.rules, scales, false, row, column);
        add_up(product, scales.shift, both, row_scratch, column_scratch);
        simt::barrier();
        row_totals[(step.row - first_row) * kTile + thread] +=
            row_scratch[thread] + row_scratch[kTile + thread];
        if (both) {
          // In a group on the diagonal, the columns' rows are among the group's rows.
          float* const totals = diagonal ? row_totals : column_totals;
          totals[(step.column - first_column) * kTile + thread] +=
              column_scratch[thread] + column_scratch[kTile + thread];
        }
        CLR_UNROLL
        for (int m = 0; m < 4; ++m) {
          CLR_UNROLL
          for (int n = 0; n < 8; ++n) {
            CLR_UNROLL
            for (int r = 0; r < 4; ++r) product[m][n][r] = 0.0F;
          }
        }
      }
      // The stage is loaded anew in the next round, the scratch written anew.
      simt::barrier();
      step = next;
    }

    const std::int64_t row_count = static_cast<std::int64_t>(a.row_groups.tiles) * kTile;
    const std::int64_t column_count = static_cast<std::int64_t>(a.column_groups.tiles) * kTile;
    for (int i = thread; i < (end_row - first_row) * kTile; i += kThreads) {
      a.row_partials[column_group * row_count + first_row * kTile + i] = row_totals[i];
    }
    float* const columns_to = a.symmetric ? a.row_partials : a.column_partials;
    if (!diagonal && columns_to != nullptr) {
      for (int i = thread; i < (end_column - first_column) * kTile; i += kThreads) {
        columns_to[row_group * column_count + first_column * kTile + i] = column_totals[i];
      }
    }
  }

 private:
  static_assert(kThreads == kTile);

  /// Exponentials of a tile; their sums over each warp's 64 columns, and rows, to the scratch.
  CLR_DEVICE static void add_up(const float (&product)[4][8][4], float shift, bool both,
                                float* row_scratch, float* column_scratch) {
    const int thread = simt::thread();
    const int lane = thread % kWarp;
    const int warp_row = thread / kWarp / 2 * 64;
    const int warp_column = thread / kWarp % 2 * 64;
    float columns[16] = {};
    CLR_UNROLL
    for (int m = 0; m < 4; ++m) {
      float rows[2] = {};
      CLR_UNROLL
      for (int n = 0; n < 8; ++n) {
        CLR_UNROLL
        for (int r = 0; r < 4; ++r) {
          const float e = simt::exp2(product[m][n][r] * kToExponent - shift);
          rows[r / 2] += e;
          columns[2 * n + r % 2] += e;
        }
      }
      // The four lanes that share a row.
      CLR_UNROLL
      for (int h = 0; h < 2; ++h) {
        rows[h] += simt::shuffle_xor(rows[h], 1);
        rows[h] += simt::shuffle_xor(rows[h], 2);
        if (lane % 4 == 0) {
          row_scratch[warp_column / 64 * kTile + warp_row + 16 * m + fragment_row(lane, 2 * h)] =
              rows[h];
        }
      }
    }
    if (!both) return;
    // The eight lanes that share columns: in three rounds each gives away half of what it still
    // has, and ends with the sums of two columns.
    halve<8>(columns, lane, 16);
    halve<4>(columns, lane, 8);
    halve<2>(columns, lane, 4);
    const int n =
        ((lane & 16) != 0 ? 4 : 0) + ((lane & 8) != 0 ? 2 : 0) + ((lane & 4) != 0 ? 1 : 0);
    float* const to = column_scratch + warp_row / 64 * kTile + warp_column + 8 * n;
    to[fragment_column(lane, 0)] = columns[0];
    to[fragment_column(lane, 1)] = columns[1];
  }

  template <int kLeft>
  CLR_DEVICE static void halve(float (&values)[16], int lane, int mask) {
    const bool upper = (lane & mask) != 0;
    CLR_UNROLL
    for (int i = 0; i < kLeft; ++i) {
      const float mine = upper ? values[i + kLeft] : values[i];
      const float given = upper ? values[i] : values[i + kLeft];
      values[i] = mine + simt::shuffle_xor(given, mask);
    }
  }
};

/// Adds up the slots, and says if a sum cannot be trusted.
struct Finalize {
  static constexpr int kThreads = 128;
  static constexpr int kRegisters = 128;
  struct Arguments {
    const float* partials;  ///< [slots, padded count]
    std::int64_t slots, count, column_count;
    const double* inverse_temperature;
    double* sums;
    int* online;
  };

  CLR_DEVICE static void run(const Arguments& a) {
    const std::int64_t row = global_thread<kThreads>();
    if (row >= a.count || *a.online == 2) return;
    const Scales scales = scales_of(*a.inverse_temperature, a.column_count);
    double sum = 0;
    for (std::int64_t slot = 0; slot < a.slots; ++slot) {
      sum += static_cast<double>(a.partials[slot * padded(a.count) + row]);
    }
    if (lost(scales, sum)) *a.online = 1;
    a.sums[row] = ::log(sum) + static_cast<double>(scales.shift) * kLn2;
  }
};

/// Products of 64 x 64 tiles, plane by plane through two stages: for operands of any width.
template <bool kExact>
struct SmallTile {
  static constexpr int kRows = 64;
  static constexpr int kPlaneBytes = kRows * kPlane * 2;
  static constexpr int kOperandBytes = kPlaneBytes * (kExact ? 2 : 1);
  static constexpr int kBytes = 2 * 2 * kOperandBytes;

  /// The tile at these rows and columns; a warp has 16 rows of it. All of the block's threads take
  /// part, and are done with the shared memory at the end.
  CLR_DEVICE static void multiply(float (&product)[1][8][4], simt::Address shared,
                                  const Operand& rows, int row, const Operand& columns,
                                  int column) {
    const int planes = static_cast<int>(rows.stride / kPlane);
    const auto load = [&](int plane) {
      const simt::Address to = shared + plane % 2 * 2 * kOperandBytes;
      load_planes<kRows, kExact>(to, kPlaneBytes, rows, row, plane);
      load_planes<kRows, kExact>(to + kOperandBytes, kPlaneBytes, columns, column, plane);
    };
    CLR_UNROLL
    for (int n = 0; n < 8; ++n) {
      CLR_UNROLL
      for (int r = 0; r < 4; ++r) product[0][n][r] = 0.0F;
    }
    load(0);
    simt::commit_copies();
    for (int plane = 0; plane < planes; ++plane) {
      if (plane + 1 < planes) load(plane + 1);
      simt::commit_copies();
      simt::wait_for_copies<1>();
      simt::barrier();
      const simt::Address from = shared + plane % 2 * 2 * kOperandBytes;
      multiply_plane<1, 8, kExact>(product, from, kPlaneBytes, simt::thread() / kWarp * 16,
                                   from + kOperandBytes, kPlaneBytes, 0);
      simt::barrier();
    }
  }
};

/// Log-sums of 64 rows with a running maximum: any temperature. Runs where `online` asks for it.
template <bool kExact, bool kRuled>
struct ForwardOnline {
  static constexpr int kThreads = kernels::kThreads;
  static constexpr int kRegisters = 240;
  static constexpr int kRows = SmallTile<kExact>::kRows;
  struct Arguments {
    Operand rows, columns;
    Rules rules;
    bool swapped;
    const double* inverse_temperature;
    const int* online;
    double* sums;
  };

  CLR_DEVICE static void run(const Arguments& a) {
    if (*a.online == 0) return;
    const int lane = simt::thread() % kWarp;
    const int row = simt::block_x() * kRows;
    const int warp_row = row + simt::thread() / kWarp * 16;
    const int row_count = a.swapped ? a.rules.columns : a.rules.rows;
    const int column_count = a.swapped ? a.rules.rows : a.rules.columns;
    const Scales scales = scales_of(*a.inverse_temperature, a.rules.columns);
    float largest[2] = {kNothing, kNothing};
    double sums[2] = {0, 0};  // of this lane's columns
    for (int column = 0; column < column_count; column += kRows) {
      float product[1][8][4];
      SmallTile<kExact>::multiply(product, simt::address_of(simt::shared()), a.rows, row, a.columns,
                                  column);
      leave_out<kRuled>(product, a.rules, scales, a.swapped, warp_row, column);
      float most[2] = {largest[0], largest[1]};
      CLR_UNROLL
      for (int n = 0; n < 8; ++n) {
        CLR_UNROLL
        for (int r = 0; r < 4; ++r) {
          float& exponent = product[0][n][r];
          exponent *= kToExponent;
          if (exponent > most[r / 2]) most[r / 2] = exponent;
        }
      }
      CLR_UNROLL
      for (int h = 0; h < 2; ++h) {
        CLR_UNROLL
        for (int mask = 1; mask <= 2; mask *= 2) {
          const float other = simt::shuffle_xor(most[h], mask);
          if (other > most[h]) most[h] = other;
        }
        // Where nothing is left yet, any reference will do but the one that makes inf - inf.
        const float reference = most[h] == kNothing ? 0.0F : most[h];
        float sum = 0.0F;
        CLR_UNROLL
        for (int n = 0; n < 8; ++n) {
          sum += simt::exp2(product[0][n][2 * h] - reference);
          sum += simt::exp2(product[0][n][2 * h + 1] - reference);
        }
        sums[h] = sums[h] * static_cast<double>(simt::exp2(largest[h] - reference)) +
                  static_cast<double>(sum);
        largest[h] = most[h];
      }
    }
    CLR_UNROLL
    for (int h = 0; h < 2; ++h) {
      sums[h] += simt::shuffle_xor(sums[h], 1);
      sums[h] += simt::shuffle_xor(sums[h], 2);
      const int at = warp_row + fragment_row(lane, 2 * h);
      if (lane % 4 == 0 && at < row_count) {
        const double reference = largest[h] == kNothing ? 0.0 : static_cast<double>(largest[h]);
        a.sums[at] = ::log(sums[h]) + reference * kLn2;
      }
    }
  }
};

// --- backward ----------------------------------------------------------------------------------

/// What an exponential is multiplied with, of a row or a column: first * 2^exponent; of the online
/// form first * 2^(exponent - second).
struct SlopeWeights {
  float* first;
  float* second;
};

/// Largest slope of each block's share, and whether a log-sum asks for the online form.
struct Largest {
  static constexpr int kThreads = 256;
  static constexpr int kRegisters = 128;
  static constexpr int kMostBlocks = 128;
  struct Arguments {
    const double* slopes[2];
    const double* sums[2];
    std::int64_t counts[2];
    std::int64_t column_count;
    const double* inverse_temperature;
    double* largest;  ///< [blocks]
    int* online;
  };

  static std::int64_t blocks(std::int64_t rows, std::int64_t columns) {
    const std::int64_t wanted = divide_up(rows + columns, kThreads);
    return wanted < kMostBlocks ? wanted : kMostBlocks;
  }
  static constexpr std::int64_t kSharedBytes = kThreads * 8;

  CLR_DEVICE static void run(const Arguments& a) {
    const Scales scales = scales_of(*a.inverse_temperature, a.column_count);
    double most = 0;
    for (int side = 0; side < 2; ++side) {
      if (a.slopes[side] == nullptr) continue;
      for (std::int64_t i = global_thread<kThreads>(); i < a.counts[side];
           i += static_cast<std::int64_t>(simt::blocks_x()) * kThreads) {
        const double size = ::fabs(a.slopes[side][i]);
        if (size > most) most = size;
        const double exponent = a.sums[side][i] / kLn2 - static_cast<double>(scales.shift);
        if (scales.shift > 0 && lost(scales, ::exp2(exponent))) *a.online = 1;
      }
    }
    most = block_largest(most);
    if (simt::thread() == 0) a.largest[simt::block_x()] = most;
  }

  /// The largest of the block's values, for all its threads.
  CLR_DEVICE static double block_largest(double value) {
    auto* const values = reinterpret_cast<double*>(simt::shared());
    values[simt::thread()] = value;
    simt::barrier();
    for (int half = kThreads / 2; half > 0; half /= 2) {
      if (simt::thread() < half && values[simt::thread() + half] > values[simt::thread()]) {
        values[simt::thread()] = values[simt::thread() + half];
      }
      simt::barrier();
    }
    return values[0];
  }
};

/// Slopes and log-sums to SlopeWeights, zeros beyond their ends.
struct Weigh {
  static constexpr int kThreads = Largest::kThreads;
  static constexpr int kRegisters = 128;
  struct Arguments {
    Largest::Arguments of;
    std::int64_t blocks;  ///< of Largest
    SlopeWeights weights[2];
    std::int64_t padded_counts[2];  ///< 0: none wanted
    double* scale;                  ///< what slopes were multiplied with
  };

  CLR_DEVICE static void run(const Arguments& a) {
    const int thread = simt::thread();
    const double largest = Largest::block_largest(thread < a.blocks ? a.of.largest[thread] : 0.0);
    const double scale = slope_scale(largest);
    std::int64_t index = global_thread<kThreads>();
    if (index == 0) *a.scale = scale;
    int side = 0;
    if (index >= a.padded_counts[0]) {
      index -= a.padded_counts[0];
      side = 1;
    }
    if (index >= a.padded_counts[side]) return;
    const Scales scales = scales_of(*a.of.inverse_temperature, a.of.column_count);
    float first = 0.0F;
    float second = kLargestFloat;
    if (index < a.of.counts[side] && a.of.slopes[side] != nullptr) {
      const double slope = a.of.slopes[side][index] * scale;
      const double sum = a.of.sums[side][index] / kLn2;
      // A sum of nothing has no terms to weigh.
      if (sum != kNothingWide) {
        if (*a.of.online == 0) {
          first = static_cast<float>(slope * ::exp2(static_cast<double>(scales.shift) - sum));
        } else {
          first = static_cast<float>(slope);
          second = static_cast<float>(sum);
        }
      }
    }
    a.weights[side].first[index] = first;
    a.weights[side].second[index] = second;
  }
};

/// What the kernels of the backward pass share: their rows' gradients, as sums over their columns.
struct BackwardArguments {
  Operand rows, columns;
  Rules rules;
  bool swapped;
  const double* inverse_temperature;
  const int* online;
  SlopeWeights row_weights, column_weights;
  int columns_padded;    ///< to a multiple of 64
  int columns_per_part;  ///< a multiple of 64
  float* partials;       ///< [parts, padded rows, stride]
  std::int64_t padded_rows;
};

/// Gradients of 64 kM rows: their operand stays in shared memory, 64 columns at a time go by. For
/// widths up to 256, where exponents need no running maximum.
template <int kM, int kPlanes, bool kExact, bool kRuled>
struct BackwardRows {
  static constexpr int kThreads = kernels::kThreads;
  static constexpr int kRows = 64 * kM;
  static constexpr int kColumns = kPlanes == 4 ? 32 : 64;  // wide results leave few registers
  static constexpr int kN = kColumns / 8;
  static constexpr int kHalves = kExact ? 2 : 1;
  static constexpr int kRowPlane = kRows * kPlane * 2;
  static constexpr int kColumnPlane = kColumns * kPlane * 2;
  // Weights of two rows are kept in registers; there are none left for four.
  static constexpr bool kKeepWeights = kM == 1;
  static constexpr int kRowBytes = kPlanes * kRowPlane * kHalves + (kKeepWeights ? 0 : kRows * 4);
  static constexpr int kColumnBytes = kPlanes * kColumnPlane * kHalves;
  static constexpr int kStageBytes = kColumnBytes + kColumns * 4;
  // Two stages where they leave room for a second block, or on a small GPU for the first.
  static constexpr int kStages = kRowBytes + 2 * kStageBytes <= 100 * 1024 ? 2 : 1;
  static constexpr std::int64_t kSharedBytes = kRowBytes + kStages * kStageBytes;
  // Tried out: what the compiler may use it fills, and in some of these overfills.
  static constexpr int kRegisters = kExact && kPlanes == 2    ? 176
                                    : kExact && kPlanes == 4  ? 208
                                    : kM == 2 && kPlanes == 2 ? 240
                                                              : 255;
  using Arguments = BackwardArguments;

  CLR_DEVICE static void run(const Arguments& a) {
    if (*a.online != 0) return;
    const simt::Address own = simt::address_of(simt::shared());
    const simt::Address stages = own + kRowBytes;
    const int thread = simt::thread();
    const int lane = thread % kWarp;
    const int warp_row = thread / kWarp * 16 * kM;
    const int row = simt::block_x() * kRows;
    const int first = simt::block_z() * a.columns_per_part;
    const int end = smaller(first + a.columns_per_part, a.columns_padded);
    const Scales scales = scales_of(*a.inverse_temperature, a.rules.columns);

    const auto load = [&](int column, int stage) {
      const simt::Address to = stages + stage * kStageBytes;
      CLR_UNROLL
      for (int p = 0; p < kPlanes; ++p) {
        load_planes<kColumns, kExact>(to + p * kColumnPlane, kPlanes * kColumnPlane, a.columns,
                                      column, p);
      }
      if (thread < kColumns / 4) {
        simt::copy_async(to + kColumnBytes + thread * 16,
                         a.column_weights.first + column + thread * 4);
      }
    };
    CLR_UNROLL
    for (int p = 0; p < kPlanes; ++p) {
      load_planes<kRows, kExact>(own + p * kRowPlane, kPlanes * kRowPlane, a.rows, row, p);
    }
    float kept[2] = {};
    if constexpr (kKeepWeights) {
      CLR_UNROLL
      for (int h = 0; h < 2; ++h) {
        kept[h] = a.row_weights.first[row + warp_row + fragment_row(lane, 2 * h)];
      }
    } else if (thread < kRows / 4) {
      simt::copy_async(own + kRowBytes - kRows * 4 + thread * 16,
                       a.row_weights.first + row + thread * 4);
    }
    if (first < end) load(first, 0);
    simt::commit_copies();

    float result[kPlanes][kM][8][4] = {};
    for (int column = first, stage = 0; column < end; column += kColumns) {
      if constexpr (kStages == 2) {
        if (column + kColumns < end) load(column + kColumns, stage ^ 1);
        simt::commit_copies();
        simt::wait_for_copies<1>();
      } else {
        simt::wait_for_copies<0>();
      }
      simt::barrier();
      const simt::Address columns = stages + stage * kStageBytes;
      float product[kM][kN][4] = {};
      CLR_UNROLL
      for (int p = 0; p < kPlanes; ++p) {
        multiply_plane<kM, kN, kExact>(product, own + p * kRowPlane, kPlanes * kRowPlane, warp_row,
                                       columns + p * kColumnPlane, kPlanes * kColumnPlane, 0);
      }
      const auto* const row_weights =
          reinterpret_cast<const float*>(simt::shared() + kRowBytes) - kRows;
      const auto* const weights = reinterpret_cast<const float*>(
          simt::shared() + kRowBytes + stage * kStageBytes + kColumnBytes);
      leave_out<kRuled>(product, a.rules, scales, a.swapped, row + warp_row, column);
      CLR_UNROLL
      for (int m = 0; m < kM; ++m) {
        CLR_UNROLL
        for (int h = 0; h < 2; ++h) {
          const float row_weight =
              kKeepWeights ? kept[h] : row_weights[warp_row + 16 * m + fragment_row(lane, 2 * h)];
          CLR_UNROLL
          for (int n = 0; n < kN; ++n) {
            CLR_UNROLL
            for (int r = 0; r < 2; ++r) {
              float& e = product[m][n][2 * h + r];
              e = simt::exp2(e * kToExponent - scales.shift) *
                  (row_weight + weights[8 * n + fragment_column(lane, r)]);
            }
          }
        }
      }
      Weights<kM, kN, kExact> weighed;
      weighed.take(product);
      CLR_UNROLL
      for (int p = 0; p < kPlanes; ++p) {
        add_weighted_plane<kM, kN, kExact>(result[p], weighed, columns + p * kColumnPlane,
                                           kPlanes * kColumnPlane);
      }
      // The stage is loaded anew in the next round.
      simt::barrier();
      if constexpr (kStages == 1) {
        if (column + kColumns < end) load(column + kColumns, 0);
        simt::commit_copies();
      } else {
        stage ^= 1;
      }
    }
    CLR_UNROLL
    for (int p = 0; p < kPlanes; ++p) {
      CLR_UNROLL
      for (int m = 0; m < kM; ++m) {
        CLR_UNROLL
        for (int n = 0; n < 8; ++n) {
          CLR_UNROLL
          for (int r = 0; r < 4; ++r) {
            a.partials[(simt::block_z() * a.padded_rows + row + warp_row + 16 * m +
                        fragment_row(lane, r)) *
                           a.rows.stride +
                       p * kPlane + 8 * n + fragment_column(lane, r)] = result[p][m][n][r];
          }
        }
      }
    }
  }
};

/// That for a width, with the most rows whose registers suffice.
template <int kPlanes, bool kExact, bool kRuled>
using RowsOfPlanes = BackwardRows<!kExact && (kPlanes == 1 || (kPlanes == 2 && !kRuled)) ? 2 : 1,
                                  kPlanes, kExact, kRuled>;

/// Gradients of 64 rows, 128 numbers of their width: for any width, and with kOnline any
/// temperature.
template <bool kExact, bool kOnline, bool kRuled>
struct BackwardChunks {
  static constexpr int kThreads = kernels::kThreads;
  static constexpr int kRegisters = 240;
  static constexpr int kRows = SmallTile<kExact>::kRows;
  static constexpr int kPlanes = 2;
  static constexpr int kPlaneBytes = SmallTile<kExact>::kPlaneBytes;
  static constexpr std::int64_t kSharedBytes =
      SmallTile<kExact>::kBytes + kPlanes * SmallTile<kExact>::kOperandBytes;
  using Arguments = BackwardArguments;

  CLR_DEVICE static void run(const Arguments& a) {
    if ((*a.online != 0) != kOnline) return;
    const simt::Address operands = simt::address_of(simt::shared());
    const simt::Address factors = operands + SmallTile<kExact>::kBytes;
    const int lane = simt::thread() % kWarp;
    const int row = simt::block_x() * kRows;
    const int warp_row = row + simt::thread() / kWarp * 16;
    const int first_plane = simt::block_y() * kPlanes;
    const int left = static_cast<int>(a.rows.stride / kPlane) - first_plane;
    const int planes = left < kPlanes ? left : kPlanes;
    const int first = simt::block_z() * a.columns_per_part;
    const int end = smaller(first + a.columns_per_part, a.columns_padded);
    const Scales scales = scales_of(*a.inverse_temperature, a.rules.columns);
    float row_first[2];
    float row_second[2];
    CLR_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int at = warp_row + fragment_row(lane, 2 * h);
      row_first[h] = a.row_weights.first[at];
      row_second[h] = a.row_weights.second[at];
    }
    float result[kPlanes][1][8][4] = {};
    for (int column = first; column < end; column += kRows) {
      CLR_UNROLL
      for (int p = 0; p < kPlanes; ++p) {
        if (p < planes) {
          load_planes<kRows, kExact>(factors + p * kPlaneBytes, kPlanes * kPlaneBytes, a.columns,
                                     column, first_plane + p);
        }
      }
      simt::commit_copies();
      // Waits for its own copies and for those above, which come before them.
      float product[1][8][4];
      SmallTile<kExact>::multiply(product, operands, a.rows, row, a.columns, column);
      leave_out<kRuled>(product, a.rules, scales, a.swapped, warp_row, column);
      CLR_UNROLL
      for (int n = 0; n < 8; ++n) {
        CLR_UNROLL
        for (int r = 0; r < 4; ++r) {
          const int j = column + 8 * n + fragment_column(lane, r);
          const float exponent = product[0][n][r] * kToExponent;
          const float column_first = a.column_weights.first[j];
          if constexpr (kOnline) {
            product[0][n][r] = simt::exp2(exponent - row_second[r / 2]) * row_first[r / 2] +
                               simt::exp2(exponent - a.column_weights.second[j]) * column_first;
          } else {
            product[0][n][r] =
                simt::exp2(exponent - scales.shift) * (row_first[r / 2] + column_first);
          }
        }
      }
      Weights<1, 8, kExact> weighed;
      weighed.take(product);
      CLR_UNROLL
      for (int p = 0; p < kPlanes; ++p) {
        if (p < planes) {
          add_weighted_plane<1, 8, kExact>(result[p], weighed, factors + p * kPlaneBytes,
                                           kPlanes * kPlaneBytes);
        }
      }
      // The factors are loaded anew in the next round.
      simt::barrier();
    }
    CLR_UNROLL
    for (int p = 0; p < kPlanes; ++p) {
      if (p >= planes) continue;
      CLR_UNROLL
      for (int n = 0; n < 8; ++n) {
        CLR_UNROLL
        for (int r = 0; r < 4; ++r) {
          a.partials[(simt::block_z() * a.padded_rows + warp_row + fragment_row(lane, r)) *
                         a.rows.stride +
                     (first_plane + p) * kPlane + 8 * n + fragment_column(lane, r)] =
              result[p][0][n][r];
        }
      }
    }
  }
};

/// Adds up the parts in their order and takes back all factors.
struct Finish {
  static constexpr int kThreads = 256;
  static constexpr int kRegisters = 128;
  struct Arguments {
    const float* partials;
    std::int64_t parts, padded_rows, stride, count, width, column_count;
    const double* inverse_temperature;
    const double* scale;
    float* gradient;
  };

  CLR_DEVICE static void run(const Arguments& a) {
    const std::int64_t index = global_thread<kThreads>();
    if (index >= a.count * a.width) return;
    const std::int64_t row = index / a.width;
    const std::int64_t column = index % a.width;
    const Scales scales = scales_of(*a.inverse_temperature, a.column_count);
    const auto factor = static_cast<float>(*a.inverse_temperature / (*a.scale * scales.operand));
    float sum = 0.0F;
    for (std::int64_t part = 0; part < a.parts; ++part) {
      sum += a.partials[(part * a.padded_rows + row) * a.stride + column];
    }
    a.gradient[index] += sum * factor;
  }
};

}  // namespace clr::kernels
