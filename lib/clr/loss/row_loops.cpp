// SPDX-License-Identifier: Apache-2.0
#include "clr/loss/row_loops.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "clr/core/multiversion.h"

// Vectors never leave their function.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace clr::detail {
namespace {

using torch::Tensor;

constexpr std::int64_t kLanes = 8;
using Doubles = double __attribute__((vector_size(kLanes * sizeof(double))));

#define CLR_INLINE __attribute__((always_inline)) inline

CLR_INLINE void load(Doubles& v, const double* from) { std::memcpy(&v, from, sizeof(v)); }
CLR_INLINE void load(Doubles& v, const float* from) {
  float __attribute__((vector_size(kLanes * sizeof(float)))) values;
  std::memcpy(&values, from, sizeof(values));
  v = __builtin_convertvector(values, Doubles);
}

template <typename T>
CLR_INLINE double dot(const T* a, const T* b, std::int64_t d) {
  Doubles sums{};
  std::int64_t k = 0;
  for (; k + kLanes <= d; k += kLanes) {
    Doubles x;
    Doubles y;
    load(x, a + k);
    load(y, b + k);
    sums += x * y;
  }
  double sum = 0;
  for (std::int64_t lane = 0; lane < kLanes; ++lane) sum += sums[lane];
  for (; k < d; ++k) sum += static_cast<double>(a[k]) * static_cast<double>(b[k]);
  return sum;
}

/// z = x / divisor
template <typename T>
CLR_INLINE void divide(const T* x, T divisor, T* z, std::int64_t d) {
  for (std::int64_t k = 0; k < d; ++k) z[k] = x[k] / divisor;
}

/// dx = (dz - z radial) / divisor
template <typename T>
CLR_INLINE void project(const T* z, const T* dz, T radial, T divisor, T* dx, std::int64_t d) {
  for (std::int64_t k = 0; k < d; ++k) dx[k] = (dz[k] - z[k] * radial) / divisor;
}

/// y += weight x
template <typename T>
CLR_INLINE void add_scaled(const T* x, T weight, T* y, std::int64_t d) {
  for (std::int64_t k = 0; k < d; ++k) y[k] += x[k] * weight;
}

// Functions of several versions can be no templates.
#define CLR_ROW_LOOPS(T)                                                                           \
  CLR_MULTIVERSION double row_dot(const T* a, const T* b, std::int64_t d) { return dot(a, b, d); } \
  CLR_MULTIVERSION void row_divide(const T* x, T divisor, T* z, std::int64_t d) {                  \
    divide(x, divisor, z, d);                                                                      \
  }                                                                                                \
  CLR_MULTIVERSION void row_project(const T* z, const T* dz, T radial, T divisor, T* dx,           \
                                    std::int64_t d) {                                              \
    project(z, dz, radial, divisor, dx, d);                                                        \
  }                                                                                                \
  CLR_MULTIVERSION void row_add_scaled(const T* x, T weight, T* y, std::int64_t d) {               \
    add_scaled(x, weight, y, d);                                                                   \
  }
CLR_ROW_LOOPS(float)
CLR_ROW_LOOPS(double)
#undef CLR_ROW_LOOPS

/// work(row) for all rows, by several threads where there is enough to do.
template <typename Work>
void each_row(std::int64_t rows, std::int64_t d, Work work) {
  constexpr std::int64_t kElements = 32768;  // takes some microseconds
  at::parallel_for(0, rows, std::max<std::int64_t>(1, kElements / std::max<std::int64_t>(1, d)),
                   work);
}

/// Calls with a value of the type's own kind.
template <typename Call>
void by_type(torch::ScalarType type, Call call) {
  switch (type) {
    case torch::kFloat32:
      return call(float{});
    case torch::kFloat64:
      return call(double{});
    case torch::kFloat16:
      return call(c10::Half{});
    case torch::kBFloat16:
      return call(c10::BFloat16{});
    default:
      TORCH_CHECK(false, "rows: expected a floating-point type, got ", type);
  }
}

/// Rows of a matrix of type From and any strides, as type T without gaps: where they lie, or
/// copied.
template <typename T, typename From>
class RowReader {
 public:
  explicit RowReader(const Tensor& x)
      : data_(x.const_data_ptr<From>()),
        row_stride_(x.stride(0)),
        stride_(x.stride(1)),
        row_(in_place() ? 0 : static_cast<std::size_t>(x.size(1))) {}

  const T* operator()(std::int64_t i) {
    const From* const row = data_ + i * row_stride_;
    if constexpr (std::is_same_v<T, From>) {
      if (in_place()) return row;
    }
    for (std::size_t k = 0; k < row_.size(); ++k) {
      row_[k] = static_cast<T>(row[static_cast<std::int64_t>(k) * stride_]);
    }
    return row_.data();
  }

 private:
  bool in_place() const { return std::is_same_v<T, From> && stride_ == 1; }

  const From* data_;
  std::int64_t row_stride_;
  std::int64_t stride_;
  std::vector<T> row_;
};

/// float64 is worked on as it is, all others as float32.
template <typename From>
using Working = std::conditional_t<std::is_same_v<From, double>, double, float>;

}  // namespace

void unit_rows_cpu(const Tensor& x, double min_norm, Tensor& z, Tensor& norms) {
  by_type(x.scalar_type(), [&](auto value) {
    using From = decltype(value);
    using T = Working<From>;
    const std::int64_t d = x.size(1);
    T* const z_data = z.data_ptr<T>();
    T* const norm_data = norms.data_ptr<T>();
    each_row(x.size(0), d, [&](std::int64_t begin, std::int64_t end) {
      RowReader<T, From> rows(x);
      for (std::int64_t i = begin; i < end; ++i) {
        const T* const row = rows(i);
        // In float64, or the squares of 1e30 would leave float32.
        norm_data[i] = static_cast<T>(std::sqrt(row_dot(row, row, d)));
        // Not std::max, which would take the smallest norm for NaN.
        const T divisor =
            norm_data[i] < static_cast<T>(min_norm) ? static_cast<T>(min_norm) : norm_data[i];
        row_divide(row, divisor, z_data + i * d, d);
      }
    });
  });
}

void unit_rows_gradient_cpu(const Tensor& z, const Tensor& norms, double min_norm, const Tensor& dz,
                            Tensor& dx) {
  by_type(dx.scalar_type(), [&](auto value) {
    using To = decltype(value);
    using T = Working<To>;
    const std::int64_t d = z.size(1);
    const T* const z_data = z.const_data_ptr<T>();
    const T* const norm_data = norms.const_data_ptr<T>();
    To* const dx_data = dx.data_ptr<To>();
    each_row(z.size(0), d, [&](std::int64_t begin, std::int64_t end) {
      RowReader<T, T> rows(dz);
      std::vector<T> buffer(std::is_same_v<T, To> ? 0 : static_cast<std::size_t>(d));
      for (std::int64_t i = begin; i < end; ++i) {
        const T* const row = rows(i);
        const T* const unit = z_data + i * d;
        // Below the smallest norm the divisor is a constant, and nothing is radial.
        const bool constant = norm_data[i] <= static_cast<T>(min_norm);
        const T radial = constant ? T{0} : static_cast<T>(row_dot(unit, row, d));
        const T divisor = constant ? static_cast<T>(min_norm) : norm_data[i];
        if constexpr (std::is_same_v<T, To>) {
          row_project(unit, row, radial, divisor, dx_data + i * d, d);
        } else {
          row_project(unit, row, radial, divisor, buffer.data(), d);
          std::transform(buffer.begin(), buffer.end(), dx_data + i * d,
                         [](T v) { return static_cast<To>(v); });
        }
      }
    });
  });
}

void pair_products_cpu(const TileProblem& problem, double factor, Tensor& pairs) {
  by_type(problem.rows.scalar_type(), [&](auto value) {
    using T = Working<decltype(value)>;
    const std::int64_t d = problem.rows.size(1);
    const T* const rows = problem.rows.const_data_ptr<T>();
    const T* const columns = problem.columns.const_data_ptr<T>();
    auto* const result = pairs.data_ptr<double>();
    each_row(problem.rows.size(0), d, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        result[i] = factor * row_dot(rows + i * d, columns + problem.partner(i) * d, d);
      }
    });
  });
}

void add_pair_gradients_cpu(const TileProblem& problem, const Tensor& slope, double factor,
                            Tensor& row_gradient, Tensor& column_gradient) {
  by_type(problem.rows.scalar_type(), [&](auto value) {
    using T = Working<decltype(value)>;
    const std::int64_t d = problem.rows.size(1);
    const T* const rows = problem.rows.const_data_ptr<T>();
    const T* const columns = problem.columns.const_data_ptr<T>();
    const auto* const slopes = slope.const_data_ptr<double>();
    T* const row_target = row_gradient.data_ptr<T>();
    T* const column_target = column_gradient.defined() ? column_gradient.data_ptr<T>() : nullptr;
    each_row(problem.rows.size(0), d, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t partner = problem.partner(i);
        const double both = slopes[i] + (problem.symmetric ? slopes[partner] : 0.0);
        const auto weight = static_cast<T>(factor * both);
        row_add_scaled(columns + partner * d, weight, row_target + i * d, d);
        // A column is the partner of one row alone, so that no other thread adds to it.
        if (column_target != nullptr) {
          row_add_scaled(rows + i * d, weight, column_target + partner * d, d);
        }
      }
    });
  });
}

void row_products_cpu(const Tensor& a, const Tensor& b, Tensor& sums) {
  by_type(a.scalar_type(), [&](auto value) {
    using T = Working<decltype(value)>;
    const std::int64_t d = a.size(1);
    const T* const a_data = a.const_data_ptr<T>();
    const T* const b_data = b.const_data_ptr<T>();
    auto* const result = sums.data_ptr<double>();
    each_row(a.size(0), d, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        result[i] = row_dot(a_data + i * d, b_data + i * d, d);
      }
    });
  });
}

}  // namespace clr::detail
