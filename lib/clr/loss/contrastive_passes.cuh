// SPDX-License-Identifier: Apache-2.0
// The forward and the backward pass: which kernels, in which order, on which memory. They are
// launched through whatever can launch: a GPU, or the emulator of the tests.
#pragma once

#include <cstdint>
#include <type_traits>

#include "clr/loss/contrastive_kernels.cuh"

namespace clr::kernels {

/// Blocks of a grid.
struct Grid {
  std::int64_t x = 1;
  std::int64_t y = 1;
  std::int64_t z = 1;
};

/// Hands out pieces of a workspace; without one, counts them.
class Workspace {
 public:
  explicit Workspace(void* memory) : memory_(static_cast<unsigned char*>(memory)) {}

  template <typename T>
  T* take(std::int64_t count) {
    unsigned char* const at = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += divide_up(count * static_cast<std::int64_t>(sizeof(T)), kAlignment) * kAlignment;
    return reinterpret_cast<T*>(at);
  }
  std::int64_t used() const { return used_; }

 private:
  static constexpr std::int64_t kAlignment = 256;
  unsigned char* memory_;
  std::int64_t used_ = 0;
};

/// Value 2: the tiles' kernels do not fit this device, so that the online form does everything.
enum OnlineStart { kIfNeeded = 0, kAlways = 2 };

template <class Launch>
class Passes {
 public:
  Passes(const KernelProblem& problem, const KernelDevice& device, void* memory, Launch& launch)
      : problem_(problem),
        device_(device),
        launch_(launch),
        workspace_(memory),
        counting_(memory == nullptr),
        stride_(padded_width(problem.width)),
        exact_(!problem.half_precision),
        // A limit of infinity leaves nothing out.
        ruled_(problem.row_ids != nullptr || problem.cosine_limit <= kLargestFloat) {}

  std::int64_t bytes() const { return workspace_.used(); }

  void forward(double* row_sums, double* column_sums) {
    by_flags([&](auto exact, auto ruled) {
      forward_as<decltype(exact)::value, decltype(ruled)::value>(row_sums, column_sums);
    });
  }

  void backward(const KernelGradients& gradients) {
    by_flags([&](auto exact, auto ruled) {
      backward_as<decltype(exact)::value, decltype(ruled)::value>(gradients);
    });
  }

 private:
  template <bool kValue>
  struct Flag {
    static constexpr bool value = kValue;
  };
  template <class Work>
  void by_flags(Work work) {
    if (exact_) {
      ruled_ ? work(Flag<true>{}, Flag<true>{}) : work(Flag<true>{}, Flag<false>{});
    } else {
      ruled_ ? work(Flag<false>{}, Flag<true>{}) : work(Flag<false>{}, Flag<false>{});
    }
  }

  template <class Kernel>
  void run(const Grid& grid, std::int64_t shared_bytes,
           const typename Kernel::Arguments& arguments) {
    if (!counting_) launch_.template run<Kernel>(grid, shared_bytes, arguments);
  }

  Operand prepare(const float* rows, std::int64_t count, int* online, OnlineStart start) {
    const std::int64_t size = padded(count) * stride_;
    auto* const high = workspace_.take<std::uint16_t>(size * (exact_ ? 2 : 1));
    const std::int64_t low = exact_ ? size : 0;
    run<Prepare>({Prepare::blocks(count, stride_)}, 0,
                 {rows, count, problem_.width, problem_.column_count, problem_.inverse_temperature,
                  high, low, stride_, online, start});
    return {high, low, stride_};
  }

  void prepare_both(OnlineStart start) {
    online_ = workspace_.take<int>(1);
    rows_ = prepare(problem_.rows, problem_.row_count, online_, start);
    columns_ = problem_.symmetric
                   ? rows_
                   : prepare(problem_.columns, problem_.column_count, nullptr, start);
  }

  template <bool kExact, bool kRuled>
  void forward_as(double* row_sums, double* column_sums) {
    using Tiles = ForwardTiles<kExact, kRuled>;
    using Online = ForwardOnline<kExact, kRuled>;
    const Groups row_groups = groups_of(problem_.row_count);
    const Groups column_groups = groups_of(problem_.column_count);
    const bool by_tiles = Tiles::shared_bytes(row_groups, column_groups) <= device_.shared_bytes;
    prepare_both(by_tiles ? kIfNeeded : kAlways);
    const bool sum_columns = problem_.column_sums && !problem_.symmetric;
    if (by_tiles) {
      auto* const row_partials =
          workspace_.take<float>(column_groups.count * padded(problem_.row_count));
      auto* const column_partials =
          sum_columns ? workspace_.take<float>(row_groups.count * padded(problem_.column_count))
                      : nullptr;
      const typename Tiles::Arguments arguments{rows_,
                                                columns_,
                                                rules_of(problem_),
                                                problem_.inverse_temperature,
                                                problem_.symmetric,
                                                sum_columns,
                                                row_groups,
                                                column_groups,
                                                row_partials,
                                                column_partials};
      run<Tiles>({Tiles::blocks(arguments)}, Tiles::shared_bytes(row_groups, column_groups),
                 arguments);
      finalize(row_partials, column_groups.count, problem_.row_count, row_sums);
      if (sum_columns) {
        finalize(column_partials, row_groups.count, problem_.column_count, column_sums);
      }
    }
    run<Online>({divide_up(problem_.row_count, Online::kRows)}, SmallTile<kExact>::kBytes,
                {rows_, columns_, rules_of(problem_), false, problem_.inverse_temperature, online_,
                 row_sums});
    if (sum_columns) {
      run<Online>({divide_up(problem_.column_count, Online::kRows)}, SmallTile<kExact>::kBytes,
                  {columns_, rows_, rules_of(problem_), true, problem_.inverse_temperature, online_,
                   column_sums});
    }
  }

  void finalize(const float* partials, std::int64_t slots, std::int64_t count, double* sums) {
    run<Finalize>({divide_up(count, Finalize::kThreads)}, 0,
                  {partials, slots, count, problem_.column_count, problem_.inverse_temperature,
                   sums, online_});
  }

  template <bool kExact, bool kRuled>
  void backward_as(const KernelGradients& gradients) {
    const bool symmetric = problem_.symmetric;
    const double* const column_slope = symmetric ? nullptr : gradients.column_slope;
    prepare_both(rows_fit<kExact, kRuled>() ? kIfNeeded : kAlways);
    Largest::Arguments largest{{gradients.row_slope, column_slope},
                               {gradients.row_sums, gradients.column_sums},
                               {problem_.row_count, symmetric ? 0 : problem_.column_count},
                               problem_.column_count,
                               problem_.inverse_temperature,
                               workspace_.take<double>(Largest::kMostBlocks),
                               online_};
    const std::int64_t blocks = Largest::blocks(largest.counts[0], largest.counts[1]);
    run<Largest>({blocks}, Largest::kSharedBytes, largest);
    Weigh::Arguments weigh{largest, blocks, {}, {}, workspace_.take<double>(1)};
    weigh.padded_counts[0] = padded(problem_.row_count);
    weigh.padded_counts[1] = symmetric ? 0 : padded(problem_.column_count);
    for (int side = 0; side < 2; ++side) {
      weigh.weights[side] = {workspace_.take<float>(weigh.padded_counts[side]),
                             workspace_.take<float>(weigh.padded_counts[side])};
    }
    run<Weigh>({divide_up(weigh.padded_counts[0] + weigh.padded_counts[1], Weigh::kThreads)},
               Largest::kSharedBytes, weigh);
    const SlopeWeights& row_weights = weigh.weights[0];
    const SlopeWeights& column_weights = symmetric ? weigh.weights[0] : weigh.weights[1];

    // One after the other, the two sides can share the memory of their parts.
    const std::int64_t row_parts = parts(problem_.row_count, problem_.column_count);
    const std::int64_t other_parts = parts(problem_.column_count, problem_.row_count);
    std::int64_t size = row_parts * padded(problem_.row_count) * stride_;
    const bool both = !symmetric && (counting_ || gradients.column_gradient != nullptr);
    if (both) {
      const std::int64_t other = other_parts * padded(problem_.column_count) * stride_;
      if (other > size) size = other;
    }
    auto* const partials = workspace_.take<float>(size);
    gradient<kExact, kRuled>(false, row_parts, rows_, problem_.row_count, row_weights, columns_,
                             problem_.column_count, column_weights, partials, weigh.scale,
                             gradients.row_gradient);
    if (both) {
      gradient<kExact, kRuled>(true, other_parts, columns_, problem_.column_count, column_weights,
                               rows_, problem_.row_count, row_weights, partials, weigh.scale,
                               gradients.column_gradient);
    }
  }

  std::int64_t parts(std::int64_t rows, std::int64_t columns) const {
    const std::int64_t block = !exact_ && stride_ <= (ruled_ ? 64 : 128) ? 128 : 64;
    return column_parts(divide_up(rows, block), divide_up(columns, 64), device_.processors);
  }

  /// Calls `work` with the type of the kernel with resident rows. False where there is none, but
  /// BackwardChunks: for other widths, and for exact wide operands with ids or a limit, where
  /// registers would not suffice.
  template <bool kExact, bool kRuled, class Work>
  bool with_rows_kernel(Work work) const {
    if (stride_ == 64) {
      work(std::type_identity<RowsOfPlanes<1, kExact, kRuled>>{});
      return true;
    }
    if constexpr (!(kExact && kRuled)) {
      if (stride_ == 128) {
        work(std::type_identity<RowsOfPlanes<2, kExact, kRuled>>{});
        return true;
      }
      if (stride_ == 256) {
        work(std::type_identity<RowsOfPlanes<4, kExact, kRuled>>{});
        return true;
      }
    }
    return false;
  }

  /// Whether that kernel can run: a smaller GPU may lack the shared memory.
  template <bool kExact, bool kRuled>
  bool rows_fit() const {
    bool fit = true;
    with_rows_kernel<kExact, kRuled>(
        [&](auto kernel) { fit = decltype(kernel)::type::kSharedBytes <= device_.shared_bytes; });
    return fit;
  }

  template <bool kExact, bool kRuled>
  void gradient(bool swapped, std::int64_t wanted_parts, const Operand& rows, std::int64_t count,
                const SlopeWeights& row_weights, const Operand& columns, std::int64_t column_count,
                const SlopeWeights& column_weights, float* partials, const double* scale,
                float* result) {
    const std::int64_t tiles = divide_up(column_count, 64);
    const std::int64_t tiles_per_part = divide_up(tiles, wanted_parts);
    const std::int64_t parts = divide_up(tiles, tiles_per_part);
    const BackwardArguments arguments{rows,
                                      columns,
                                      rules_of(problem_),
                                      swapped,
                                      problem_.inverse_temperature,
                                      online_,
                                      row_weights,
                                      column_weights,
                                      static_cast<int>(tiles * 64),
                                      static_cast<int>(tiles_per_part * 64),
                                      partials,
                                      padded(count)};
    const Grid chunks{divide_up(count, 64), divide_up(stride_, 2 * kPlane), parts};
    if (rows_fit<kExact, kRuled>()) {
      const bool by_rows = with_rows_kernel<kExact, kRuled>([&](auto kernel) {
        using Kernel = typename decltype(kernel)::type;
        run<Kernel>({divide_up(count, Kernel::kRows), 1, parts}, Kernel::kSharedBytes, arguments);
      });
      if (!by_rows) {
        run<BackwardChunks<kExact, false, kRuled>>(
            chunks, BackwardChunks<kExact, false, kRuled>::kSharedBytes, arguments);
      }
    }
    run<BackwardChunks<kExact, true, kRuled>>(
        chunks, BackwardChunks<kExact, true, kRuled>::kSharedBytes, arguments);
    run<Finish>({divide_up(count * problem_.width, Finish::kThreads)}, 0,
                {partials, parts, padded(count), stride_, count, problem_.width,
                 problem_.column_count, problem_.inverse_temperature, scale, result});
  }

  const KernelProblem& problem_;
  const KernelDevice& device_;
  Launch& launch_;
  Workspace workspace_;
  bool counting_;
  std::int64_t stride_;
  bool exact_;
  bool ruled_;
  int* online_ = nullptr;
  Operand rows_{};
  Operand columns_{};
};

}  // namespace clr::kernels
