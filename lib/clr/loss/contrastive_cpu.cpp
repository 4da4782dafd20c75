// SPDX-License-Identifier: Apache-2.0
// Sums tile by tile on the CPU in float32. A tile of cosines is one matrix product; one pass over
// it, while it is in the cache, takes exponentials and adds them up (forward) or makes them the
// weights of two more products (backward). Without a shift: see cpu_tiles_fit.
#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "clr/core/multiversion.h"
#include "clr/loss/contrastive_backend.h"
#include "clr/loss/matrix_product.h"

// Vectors never leave their function.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace clr::detail {
namespace {

using torch::Tensor;

constexpr std::int64_t kLargestTile = 512;  // its cosines, 1 MB, stay in a core's cache
constexpr std::int64_t kSmallestTile = 64;
// Up to here a batch is worked on in whole rows: twice the exponentials and a third more products
// than by pairs of tiles, but large products, and no round waits for another.
constexpr std::int64_t kWholeRows = 512;
constexpr std::int64_t kLargestPanel = 256;
constexpr std::int64_t kChunk = 64;  // rows that are added up in float before they join a double
constexpr std::int64_t kLanes = 16;
// Up to here the exponentials of the forward pass are kept for the backward pass, which then has a
// product less to do in four.
constexpr std::int64_t kKeptBytes = 12 << 20;
constexpr double kLog2E = 1.4426950408889634;
constexpr float kLeftOut = -std::numeric_limits<float>::infinity();

using Floats = float __attribute__((vector_size(kLanes * sizeof(float))));
using Integers = std::int32_t __attribute__((vector_size(kLanes * sizeof(std::int32_t))));

#define CLR_INLINE __attribute__((always_inline)) inline

CLR_INLINE void load(Floats& v, const float* from) { std::memcpy(&v, from, sizeof(v)); }
CLR_INLINE void store(float* to, const Floats& v) { std::memcpy(to, &v, sizeof(v)); }

/// v = 2^v for |v| < 126, to 2 units in the last place; 0 for v < -126; NaN stays. The polynomial
/// is the one of degree 6 whose largest relative error over [-1/2, 1/2] is least (2e-9).
CLR_INLINE void exp2_lanes(Floats& v) {
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: its last bit counts ones
  const Floats rounded = v + kRound;
  const Floats f = v - (rounded - kRound);
  Floats p = f * 0.00015345810970757157F + 0.0013399930903688073F;
  p = p * f + 0.009618489071726799F;
  p = p * f + 0.05550328642129898F;
  p = p * f + 0.24022646248340607F;
  p = p * f + 0.6931471824645996F;
  p = p * f + 1.0F;
  const Integers bits = std::bit_cast<Integers>(p) + (std::bit_cast<Integers>(rounded) << 23);
  const Integers kept = ~(v < -126.0F);
  v = std::bit_cast<Floats>(bits & kept);
}

/// The exponentials of `rows` rows of a tile, in its place; of each row added to row_sums, of each
/// column to column_sums if that is wanted. `columns` is a multiple of kLanes.
template <bool with_columns>
CLR_INLINE void add_exponentials_of(float* tile, std::int64_t rows, std::int64_t columns,
                                    float scale, double* row_sums, float* column_sums) {
  for (std::int64_t r = 0; r < rows; ++r) {
    float* const row = tile + r * columns;
    Floats row_sum{};
    for (std::int64_t c = 0; c < columns; c += kLanes) {
      Floats e;
      load(e, row + c);
      e *= scale;
      exp2_lanes(e);
      store(row + c, e);
      row_sum += e;
      if constexpr (with_columns) {
        Floats column_sum;
        load(column_sum, column_sums + c);
        column_sum += e;
        store(column_sums + c, column_sum);
      }
    }
    double sum = 0;
    for (std::int64_t lane = 0; lane < kLanes; ++lane) sum += static_cast<double>(row_sum[lane]);
    row_sums[r] += sum;
  }
}

CLR_MULTIVERSION void add_exponentials(float* tile, std::int64_t rows, std::int64_t columns,
                                       float scale, double* row_sums, float* column_sums) {
  add_exponentials_of<true>(tile, rows, columns, scale, row_sums, column_sums);
}

CLR_MULTIVERSION void add_exponentials_to_rows(float* tile, std::int64_t rows, std::int64_t columns,
                                               float scale, double* row_sums) {
  add_exponentials_of<false>(tile, rows, columns, scale, row_sums, nullptr);
}

/// The tile's cosines, or what add_exponentials made of them, to exponential times (row weight +
/// column weight). `result` may be the tile.
template <bool exponentials>
CLR_INLINE void weigh(const float* tile, float* result, std::int64_t rows, std::int64_t columns,
                      float scale, const float* row_weights, const float* column_weights) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float row_weight = row_weights[r];
    for (std::int64_t c = 0; c < columns; c += kLanes) {
      Floats e;
      Floats weight;
      load(e, tile + r * columns + c);
      load(weight, column_weights + c);
      if constexpr (!exponentials) {
        e *= scale;
        exp2_lanes(e);
      }
      e *= weight + row_weight;
      store(result + r * columns + c, e);
    }
  }
}

CLR_MULTIVERSION void weigh_cosines(float* tile, std::int64_t rows, std::int64_t columns,
                                    float scale, const float* row_weights,
                                    const float* column_weights) {
  weigh<false>(tile, tile, rows, columns, scale, row_weights, column_weights);
}

CLR_MULTIVERSION void weigh_exponentials(const float* tile, float* result, std::int64_t rows,
                                         std::int64_t columns, const float* row_weights,
                                         const float* column_weights) {
  weigh<true>(tile, result, rows, columns, 0, row_weights, column_weights);
}

constexpr std::int64_t padded(std::int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

struct Tile {
  std::int64_t index;  ///< in the order of work
  std::int64_t row, rows, column, columns;
  bool rows_only;  ///< of a symmetric problem: serves its rows, not its columns
};

/// The tiles in rounds. No two tiles of a round share rows or columns (of a symmetric problem: nor
/// the rows of one with the columns of another), so that a round's tiles are worked on at the same
/// time, each adding to what it alone owns, and what every row gets comes in the order of the
/// rounds however many threads there are.
class Rounds {
 public:
  /// Tiles for so many threads; other numbers of threads can work on them too.
  Rounds(std::int64_t rows, std::int64_t columns, bool symmetric,
         std::int64_t threads = at::get_num_threads())
      : row_count_(rows),
        column_count_(columns),
        symmetric_(symmetric),
        triangular_(symmetric_ && row_count_ > kWholeRows),
        row_tile_(symmetric_ && !triangular_ ? panel_size(row_count_, threads)
                                             : tile_size(row_count_, share(threads))),
        column_tile_(!symmetric_   ? tile_size(column_count_, share(threads))
                     : triangular_ ? row_tile_
                                   : column_count_),
        row_tiles_((row_count_ + row_tile_ - 1) / row_tile_),
        column_tiles_((column_count_ + column_tile_ - 1) / column_tile_) {}

  std::int64_t largest_tile() const { return row_tile_ * padded(column_tile_); }
  std::int64_t elements() const { return tiles() * largest_tile(); }
  std::int64_t tiles() const {
    return triangular_ ? row_tiles_ * (row_tiles_ + 1) / 2 : row_tiles_ * column_tiles_;
  }

  template <typename Work>
  void each(Work work) const {
    std::vector<Tile> round;
    std::int64_t count = 0;
    const auto add = [&](std::int64_t i, std::int64_t j) { round.push_back(tile(count++, i, j)); };
    const auto run = [&] {
      std::atomic<std::size_t> next = 0;
      at::parallel_for(0, at::get_num_threads(), 1, [&](std::int64_t begin, std::int64_t end) {
        const at::AutoDispatchBelowADInplaceOrView no_graph;
        for (std::int64_t thread = begin; thread < end; ++thread) {
          for (std::size_t t = next++; t < round.size(); t = next++) work(round[t]);
        }
      });
      round.clear();
    };
    if (symmetric_ && !triangular_) {
      for (std::int64_t i = 0; i < row_tiles_; ++i) add(i, 0);
      run();
      return;
    }
    if (!symmetric_) {
      const std::int64_t n = std::max(row_tiles_, column_tiles_);
      for (std::int64_t shift = 0; shift < n; ++shift) {
        for (std::int64_t i = 0; i < row_tiles_; ++i) {
          if ((i + shift) % n < column_tiles_) add(i, (i + shift) % n);
        }
        run();
      }
      return;
    }
    for (std::int64_t i = 0; i < row_tiles_; ++i) add(i, i);
    run();
    // A tournament of n tiles in n - 1 rounds, by the circle method: the last one stays, the others
    // go round. If their number is odd, who meets the one that is missing has a pause.
    const std::int64_t n = row_tiles_ + row_tiles_ % 2;
    for (std::int64_t shift = 0; shift < n - 1; ++shift) {
      for (std::int64_t k = 0; k < n / 2; ++k) {
        const std::int64_t a = (shift + k) % (n - 1);
        const std::int64_t b = k == 0 ? n - 1 : (shift - k + n - 1) % (n - 1);
        if (std::max(a, b) < row_tiles_) add(std::min(a, b), std::max(a, b));
      }
      run();
    }
  }

 private:
  /// So many tiles keep all threads busy in a round: of a symmetric problem each takes two of them,
  /// one of rows and one of columns.
  std::int64_t share(std::int64_t threads) const { return symmetric_ ? 2 * threads : threads; }

  /// In equal parts, a multiple of `step` of them.
  static std::int64_t tile_size(std::int64_t count, std::int64_t step) {
    const std::int64_t tiles = ((count + kLargestTile - 1) / kLargestTile + step - 1) / step * step;
    return std::max(kSmallestTile, padded((count + tiles - 1) / tiles));
  }

  static std::int64_t panel_size(std::int64_t count, std::int64_t threads) {
    return std::clamp(padded((count + threads - 1) / threads), kSmallestTile, kLargestPanel);
  }

  Tile tile(std::int64_t index, std::int64_t i, std::int64_t j) const {
    return {index,
            i * row_tile_,
            std::min(row_tile_, row_count_ - i * row_tile_),
            j * column_tile_,
            std::min(column_tile_, column_count_ - j * column_tile_),
            symmetric_ && (!triangular_ || i == j)};
  }

  std::int64_t row_count_;
  std::int64_t column_count_;
  bool symmetric_;
  bool triangular_;  ///< pairs of tiles, each of which serves its rows and its columns
  std::int64_t row_tile_;
  std::int64_t column_tile_;
  std::int64_t row_tiles_;
  std::int64_t column_tiles_;
};

/// Makes what is left out of a tile of cosines -inf.
void leave_out(const TileProblem& problem, const Tile& tile, float* cosines, std::int64_t stride) {
  if (stride != tile.columns) {
    for (std::int64_t r = 0; r < tile.rows; ++r) {
      std::fill(cosines + r * stride + tile.columns, cosines + (r + 1) * stride, kLeftOut);
    }
  }
  if (std::isfinite(problem.cosine_limit)) {
    const auto limit = static_cast<float>(problem.cosine_limit);
    for (std::int64_t k = 0; k < tile.rows * stride; ++k) {
      cosines[k] = cosines[k] > limit ? kLeftOut : cosines[k];
    }
  }
  if (problem.row_ids.defined()) {
    const auto* const row_ids = problem.row_ids.const_data_ptr<std::int64_t>() + tile.row;
    const auto* const column_ids = problem.column_ids.const_data_ptr<std::int64_t>() + tile.column;
    const bool keep_same = problem.id_rule == IdRule::keep_only;
    for (std::int64_t r = 0; r < tile.rows; ++r) {
      for (std::int64_t c = 0; c < tile.columns; ++c) {
        if ((row_ids[r] == column_ids[c]) != keep_same) cosines[r * stride + c] = kLeftOut;
      }
    }
  }
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    for (const std::int64_t column : {problem.self(tile.row + r), problem.partner(tile.row + r)}) {
      if (column >= tile.column && column < tile.column + tile.columns) {
        cosines[r * stride + column - tile.column] = kLeftOut;
      }
    }
  }
}

/// The cosines of a tile into `cosines` [rows, stride], -inf where nothing is to be added.
void fill(const TileProblem& problem, const Tile& tile, float* cosines, std::int64_t stride) {
  Tensor target =
      at::from_blob(cosines, {tile.rows, tile.columns}, {stride, 1}, problem.rows.options());
  matrix_product(target, problem.rows.narrow(0, tile.row, tile.rows),
                 problem.columns.narrow(0, tile.column, tile.columns).t(), false);
  leave_out(problem, tile, cosines, stride);
}

Tensor thread_buffers(const TileProblem& problem, const Rounds& rounds) {
  return at::empty({at::get_num_threads(), rounds.largest_tile()}, problem.rows.options());
}

double scale_of(const TileProblem& problem) {
  return problem.inverse_temperature.item<double>() * kLog2E;
}

}  // namespace

/// exp2(+-scale) times the number of columns has to stay a normal float, and so does its inverse:
/// temperatures from 0.0136 on for 16,384 columns.
bool cpu_tiles_fit(const TileProblem& problem) {
  return problem.rows.is_cpu() && problem.rows.scalar_type() == torch::kFloat32 &&
         scale_of(problem) + std::log2(static_cast<double>(
                                 std::max(problem.rows.size(0), problem.columns.size(0)))) <=
             120;
}

/// The tiles, and at the end for how many threads they were made: those of another time or thread
/// may be others. 0: nothing is kept.
std::int64_t kept_on_cpu(std::int64_t rows, std::int64_t columns, bool symmetric) {
  const Rounds rounds(rows, columns, symmetric);
  return rounds.elements() * 4 <= kKeptBytes ? rounds.elements() + 1 : 0;
}

void log_sums_cpu(const TileProblem& problem, Tensor& row_sums, Tensor& column_sums, Tensor& kept) {
  const auto scale = static_cast<float>(scale_of(problem));
  auto* const rows_total = row_sums.fill_(0).data_ptr<double>();
  auto* const columns_total = problem.symmetric     ? rows_total
                              : problem.column_sums ? column_sums.fill_(0).data_ptr<double>()
                                                    : nullptr;
  const std::int64_t threads = at::get_num_threads();
  const Rounds rounds(problem.rows.size(0), problem.columns.size(0), problem.symmetric, threads);
  const std::int64_t size = rounds.largest_tile();
  const bool keep = kept.numel() > rounds.elements();
  if (kept.numel() > 0) {
    kept.data_ptr<float>()[kept.numel() - 1] = keep ? static_cast<float>(threads) : 0.0F;
  }
  const Tensor memory = keep ? kept : thread_buffers(problem, rounds);
  auto* const tiles = memory.data_ptr<float>();
  rounds.each([&](const Tile& tile) {
    const std::int64_t stride = padded(tile.columns);
    float* const cosines = tiles + (keep ? tile.index : at::get_thread_num()) * size;
    fill(problem, tile, cosines, stride);
    if (columns_total == nullptr || tile.rows_only) {
      add_exponentials_to_rows(cosines, tile.rows, stride, scale, rows_total + tile.row);
      return;
    }
    std::array<float, kLargestTile> sums;
    for (std::int64_t first = 0; first < tile.rows; first += kChunk) {
      sums.fill(0);
      add_exponentials(cosines + first * stride, std::min(kChunk, tile.rows - first), stride, scale,
                       rows_total + tile.row + first, sums.data());
      for (std::int64_t c = 0; c < tile.columns; ++c) {
        columns_total[tile.column + c] += static_cast<double>(sums[static_cast<std::size_t>(c)]);
      }
    }
  });
  row_sums.log_();
  column_sums.log_();
}

void gradients_cpu(const TileProblem& problem, const Tensor& kept, const Tensor& row_sums,
                   const Tensor& column_sums, const Tensor& row_slope, const Tensor& column_slope,
                   Tensor& row_gradient, Tensor& column_gradient) {
  const double scale = scale_of(problem);
  // slope / sum, times a power of two that brings the largest slope near 1: see cpu_tiles_fit. A
  // sum of nothing has no terms to weigh.
  double largest = row_slope.abs().max().item<double>();
  if (column_slope.defined()) {
    largest = std::max(largest, column_slope.abs().max().item<double>());
  }
  const double unit = largest > 0 && std::isfinite(largest) ? std::exp2(-std::ilogb(largest)) : 1.0;
  const auto weights = [&](const Tensor& slope, const Tensor& sums, std::int64_t count) {
    std::vector<float> result(static_cast<std::size_t>(padded(count)), 0.0F);
    if (!slope.defined()) return result;
    const auto* const slopes = slope.const_data_ptr<double>();
    const auto* const logs = sums.const_data_ptr<double>();
    for (std::int64_t i = 0; i < count; ++i) {
      const double weight = slopes[i] * unit * std::exp(-logs[i]);
      result[static_cast<std::size_t>(i)] = std::isinf(logs[i]) ? 0.0F : static_cast<float>(weight);
    }
    return result;
  };
  const std::vector<float> row_weights = weights(row_slope, row_sums, problem.rows.size(0));
  const std::vector<float> own_column_weights =
      problem.symmetric ? std::vector<float>()
                        : weights(column_slope, column_sums, problem.columns.size(0));
  const std::vector<float>& column_weights = problem.symmetric ? row_weights : own_column_weights;

  const float* kept_tiles = kept.numel() > 0 ? kept.const_data_ptr<float>() : nullptr;
  const float noted = kept_tiles == nullptr ? 0.0F : kept_tiles[kept.numel() - 1];
  TORCH_CHECK(noted >= 0 && noted < 1e6F, "log_sums_backward: `kept` is not what log_sums gave");
  const auto kept_threads = static_cast<std::int64_t>(noted);
  if (kept_threads == 0) kept_tiles = nullptr;
  const Rounds rounds(problem.rows.size(0), problem.columns.size(0), problem.symmetric,
                      kept_tiles == nullptr ? at::get_num_threads() : kept_threads);
  TORCH_CHECK(kept_tiles == nullptr || kept.numel() > rounds.elements(),
              "log_sums_backward: `kept` is of another problem");
  const std::int64_t size = rounds.largest_tile();
  const Tensor memory = thread_buffers(problem, rounds);
  auto* const buffers = memory.data_ptr<float>();
  rounds.each([&](const Tile& tile) {
    const std::int64_t stride = padded(tile.columns);
    float* const weighed = buffers + at::get_thread_num() * size;
    const float* const row_weight = row_weights.data() + tile.row;
    const float* const column_weight = column_weights.data() + tile.column;
    if (kept_tiles != nullptr) {
      weigh_exponentials(kept_tiles + tile.index * size, weighed, tile.rows, stride, row_weight,
                         column_weight);
    } else {
      fill(problem, tile, weighed, stride);
      weigh_cosines(weighed, tile.rows, stride, static_cast<float>(scale), row_weight,
                    column_weight);
    }
    const Tensor slopes =
        at::from_blob(weighed, {tile.rows, tile.columns}, {stride, 1}, problem.rows.options());
    Tensor own = row_gradient.narrow(0, tile.row, tile.rows);
    matrix_product(own, slopes, problem.columns.narrow(0, tile.column, tile.columns), true);
    Tensor& others = problem.symmetric ? row_gradient : column_gradient;
    if (others.defined() && !tile.rows_only) {
      Tensor other = others.narrow(0, tile.column, tile.columns);
      matrix_product(other, slopes.t(), problem.rows.narrow(0, tile.row, tile.rows), true);
    }
  });
  const double factor = scale / kLog2E / unit;
  row_gradient.mul_(factor);
  if (column_gradient.defined()) column_gradient.mul_(factor);
}

}  // namespace clr::detail
