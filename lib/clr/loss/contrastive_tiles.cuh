// SPDX-License-Identifier: Apache-2.0
// Where a thread's numbers are and which of them count: schedules of tiles, places in shared memory
// and in the fragments of a matrix product, what is left out of a sum, the shift of exponentials.
// Functions of numbers alone, the same on GPU and host.
#pragma once

#include <cmath>
#include <cstdint>

#include "clr/loss/contrastive_kernels.h"
#include "clr/loss/simt.cuh"

namespace clr::kernels {

// --- schedules ---------------------------------------------------------------------------------

constexpr int kTile =
    128;  ///< rows and columns of a tile of the forward pass; operands are padded to it
constexpr int kPlane = 64;  ///< halves in a row of a plane in shared memory: 128 bytes

CLR_HOST_DEVICE std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
CLR_HOST_DEVICE std::int64_t padded(std::int64_t count) { return divide_up(count, kTile) * kTile; }

/// Width of an operand: what the backward pass has kernels for.
CLR_HOST_DEVICE std::int64_t padded_width(std::int64_t width) {
  if (width <= 64) return 64;
  if (width <= 128) return 128;
  if (width <= 256) return 256;
  return divide_up(width, 128) * 128;
}

/// Tiles in groups, so that a row has no more than about 64 partial sums.
struct Groups {
  int tiles;
  int size;   ///< tiles of a group; the last one may have fewer
  int count;  ///< groups
};
CLR_HOST_DEVICE Groups groups_of(std::int64_t rows) {
  constexpr std::int64_t kSlots = 64;
  constexpr std::int64_t kLargest = 32;  // its sums fit into shared memory
  const std::int64_t tiles = divide_up(rows, kTile);
  std::int64_t size = divide_up(tiles, kSlots);
  if (size > kLargest) size = kLargest;
  return {static_cast<int>(tiles), static_cast<int>(size),
          static_cast<int>(divide_up(tiles, size))};
}

/// Pairs (i, j) with i <= j < n, counted through j by j: n (n + 1) / 2 of them.
CLR_HOST_DEVICE void pair_at(std::int64_t index, int& i, int& j) {
  // The largest j with j (j + 1) / 2 <= index, bit by bit: a square root of floats would be off by
  // one somewhere.
  std::int64_t found = 0;
  for (std::int64_t bit = std::int64_t{1} << 30; bit > 0; bit /= 2) {
    const std::int64_t next = found + bit;
    if (next * (next + 1) / 2 <= index) found = next;
  }
  i = static_cast<int>(index - found * (found + 1) / 2);
  j = static_cast<int>(found);
}

/// In how many parts the columns of a block of rows are added up, so that there is work for all
/// multiprocessors. A function of sizes alone: results do not depend on what else runs.
CLR_HOST_DEVICE std::int64_t column_parts(std::int64_t row_blocks, std::int64_t column_tiles,
                                          int processors) {
  constexpr std::int64_t kMost = 16;
  // Two blocks run on one at a time; a few more would be a round of their own.
  std::int64_t parts = 2 * static_cast<std::int64_t>(processors) / row_blocks;
  if (parts > kMost) parts = kMost;
  if (parts > column_tiles) parts = column_tiles;
  return parts < 1 ? 1 : parts;
}

// --- places ------------------------------------------------------------------------------------

/// Where halves 8 * chunk to 8 * chunk + 7 of a row of a plane are, in bytes from the plane's
/// start: row_start(row) ^ chunk_bits(chunk). Chunks are permuted from row to row, so that eight
/// lanes that read the same chunk of eight rows hit different banks. Rows a multiple of 8 apart are
/// permuted alike: what lies between them can be added to an address as it is, even by the load
/// instruction itself.
CLR_HOST_DEVICE int row_start(int row) { return row * 128 + (row & 7) * 16; }
CLR_HOST_DEVICE int chunk_bits(int chunk) { return chunk * 16; }

/// Row and column, in a 16 x 8 result of simt::multiply, of element r of a lane.
CLR_HOST_DEVICE int fragment_row(int lane, int r) { return (lane >> 2) + ((r & 2) != 0 ? 8 : 0); }
CLR_HOST_DEVICE int fragment_column(int lane, int r) { return (lane & 3) * 2 + (r & 1); }

/// Row (of 16) and chunk (of 2) that a lane names to simt::load_matrices for a 16 x 16 operand a.
CLR_HOST_DEVICE int a_row(int lane) { return lane & 15; }
CLR_HOST_DEVICE int a_chunk(int lane) { return lane >> 4; }
/// The same for two operands b, 16 results of a row each, 16 columns of the sum.
CLR_HOST_DEVICE int b_row(int lane) { return ((lane >> 4) * 8) + (lane & 7); }
CLR_HOST_DEVICE int b_chunk(int lane) { return (lane >> 3) & 1; }

// --- what is left out --------------------------------------------------------------------------

struct Rules {
  int rows;
  int columns;
  int row_offset;
  Pairing pairing;
  IdRule id_rule;
  bool rows_among_columns;
  const std::int64_t* row_ids;
  const std::int64_t* column_ids;
  float cosine_limit;
};

CLR_HOST_DEVICE Rules rules_of(const KernelProblem& problem) {
  return {static_cast<int>(problem.row_count),
          static_cast<int>(problem.column_count),
          static_cast<int>(problem.row_offset),
          problem.pairing,
          problem.id_rule,
          problem.symmetric || problem.rows_among_columns,
          problem.row_ids,
          problem.column_ids,
          problem.cosine_limit};
}

/// Which columns are left out of a row's sum whatever their ids and cosine (or, swapped, which rows
/// of a column's): itself, its other view, and all from the end on. Numbers that there are not are
/// harmless.
struct LeftOut {
  int self;
  int pair;
  int end;

  CLR_HOST_DEVICE bool has(int other) const {
    return other == self || other == pair || other >= end;
  }
};
CLR_HOST_DEVICE LeftOut left_out_of(const Rules& rules, bool swapped, int i) {
  constexpr int kNone = -(1 << 30);
  const int global = swapped ? i : i + rules.row_offset;  // counted as columns are
  const int to_other = swapped ? rules.row_offset : 0;
  const int half = rules.columns / 2;
  LeftOut result{kNone, kNone, swapped ? rules.rows : rules.columns};
  if (i >= (swapped ? rules.columns : rules.rows)) result.end = 0;
  if (rules.rows_among_columns) result.self = global - to_other;
  switch (rules.pairing) {
    case Pairing::none:
      break;
    case Pairing::halves:
      result.pair = (global < half ? global + half : global - half) - to_other;
      break;
    case Pairing::interleaved:
      result.pair = (global ^ 1) - to_other;
      break;
    case Pairing::same_index:
      result.pair = global - to_other;
      break;
  }
  return result;
}

CLR_HOST_DEVICE bool ids_leave_out(const Rules& rules, int row, int column) {
  if (rules.row_ids == nullptr || row >= rules.rows || column >= rules.columns) return false;
  const bool same = rules.row_ids[row] == rules.column_ids[column];
  return same == (rules.id_rule == IdRule::leave_out);
}

/// Whether ranges [a, a + n) and [b, b + m) share a number.
CLR_HOST_DEVICE bool meet(int a, int n, int b, int m) { return a < b + m && b < a + n; }

/// Whether left_out_of() has anything in a tile: most tiles need not ask.
CLR_HOST_DEVICE bool tile_leaves_out(const Rules& rules, int row, int rows, int column,
                                     int columns) {
  if (row + rows > rules.rows || column + columns > rules.columns) return true;
  const int global = rules.row_offset + row;
  const int half = rules.columns / 2;
  if (rules.rows_among_columns && meet(global, rows, column, columns)) return true;
  switch (rules.pairing) {
    case Pairing::halves:
      return meet(global + half, rows, column, columns) ||
             meet(global - half, rows, column, columns);
    case Pairing::interleaved:
      return meet(global - 1, rows + 2, column, columns);
    case Pairing::same_index:
      return meet(global, rows, column, columns);
    default:
      return false;
  }
}

// --- exponentials ------------------------------------------------------------------------------

// Operands are unit rows times kOperand * sqrt(kappa), kappa = log2(e) / temperature: their
// products are kOperand^2 times the exponents. The factor keeps the low halves of operands above
// fp16's smallest.
constexpr double kOperand = 16.0;
constexpr float kToExponent = 1.0F / 256.0F;
constexpr double kLog2E = 1.4426950408889634;
// Weights times exponentials are halves in the backward pass; slopes are scaled to at most 2^14,
// the sum of two products then stays below fp16's largest.
constexpr int kSlopeExponent = 14;

/// What the temperature makes of a problem.
struct Scales {
  double kappa;     ///< log2(e) / temperature
  double operand;   ///< factor of the operands
  float shift;      ///< subtracted from exponents
  double smallest;  ///< a sum below this has lost terms to underflow; 0 without a shift
};

/// Exponents lie in [-kappa, kappa] less the shift. Without a shift, sums and their inverses stay
/// normal floats up to kappa = 110 and 1,024 columns; beyond that everything is moved down, so that
/// a sum cannot overflow, and a row whose sum comes out too small is noticed.
CLR_HOST_DEVICE Scales scales_of(double inverse_temperature, std::int64_t columns) {
  constexpr double kMost = 120.0;
  constexpr double kFewColumns = 10.0;  // log2 of them
  constexpr double kNormal = 102.0;     // 2^-126 lost terms stay under 2^-24 of a sum of 2^-102
  Scales scales{};
  scales.kappa = inverse_temperature * kLog2E;
  scales.operand = kOperand * ::sqrt(scales.kappa);
  const double log_columns = ::log2(static_cast<double>(columns));
  const double over =
      scales.kappa + (log_columns > kFewColumns ? log_columns : kFewColumns) - kMost;
  scales.shift = over > 0 ? static_cast<float>(over) : 0.0F;
  scales.smallest = over > 0 ? ::exp2(log_columns - kNormal) : 0.0;
  return scales;
}

/// Whether a sum (of exponentials of shifted exponents) cannot be trusted.
CLR_HOST_DEVICE bool lost(const Scales& scales, double sum) {
  return sum < scales.smallest || sum > 3e38;
}

/// Power of two that brings the largest slope to at most 2^kSlopeExponent.
CLR_HOST_DEVICE double slope_scale(double largest) {
  if (!(largest > 0) || !(largest < 1e300)) return 1.0;
  int exponent = 0;
  ::frexp(largest, &exponent);
  return ::ldexp(1.0, kSlopeExponent - exponent);
}

}  // namespace clr::kernels
