// SPDX-License-Identifier: Apache-2.0
// The CUDA kernels' own source, run thread by thread on the host (support/simt_emulator.h), against
// whole matrices in float64. What only a GPU can show is in test/device.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "clr/loss/contrastive_passes.cuh"
#include "support/simt_emulator.h"
//
#include "support/catch.h"

namespace {

using namespace clr::kernels;
using clr::IdRule;
using clr::KernelDevice;
using clr::KernelGradients;
using clr::KernelProblem;
using clr::Pairing;
using clr::simt::emulator::Launch;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr KernelDevice kLarge{8, 227 * 1024};
constexpr KernelDevice kMedium{8, 99 * 1024};  // has no room for the forward pass by tiles

/// Rows of unit length in float32.
std::vector<float> unit_rows(std::int64_t count, std::int64_t width, unsigned seed,
                             double mean = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(mean, 1);
  std::vector<float> rows(static_cast<std::size_t>(count * width));
  for (std::int64_t i = 0; i < count; ++i) {
    std::vector<double> row(static_cast<std::size_t>(width));
    double square = 0;
    for (double& x : row) {
      x = normal(random);
      square += x * x;
    }
    for (std::int64_t d = 0; d < width; ++d) {
      rows[static_cast<std::size_t>(i * width + d)] =
          static_cast<float>(row[static_cast<std::size_t>(d)] / std::sqrt(square));
    }
  }
  return rows;
}

/// A problem with its memory, and what is expected of it.
struct Case {
  std::int64_t m = 0, c = 0, width = 0;
  double temperature = 0.1;
  bool symmetric = true;
  bool column_sums = false;
  bool rows_among_columns = false;
  bool half_precision = false;
  Pairing pairing = Pairing::halves;
  IdRule id_rule = IdRule::leave_out;
  std::int64_t row_offset = 0;
  double cosine_limit = kInfinity;
  std::vector<float> rows, columns;
  std::vector<std::int64_t> row_ids, column_ids;
  double inverse_temperature = 0;

  const std::vector<float>& other() const { return symmetric ? rows : columns; }

  KernelProblem problem() {
    inverse_temperature = 1 / temperature;
    KernelProblem p;
    p.rows = rows.data();
    p.columns = other().data();
    p.row_count = m;
    p.column_count = symmetric ? m : c;
    p.width = width;
    p.inverse_temperature = &inverse_temperature;
    p.row_ids = row_ids.empty() ? nullptr : row_ids.data();
    p.column_ids = row_ids.empty() ? nullptr : (symmetric ? row_ids : column_ids).data();
    p.symmetric = symmetric;
    p.column_sums = column_sums;
    p.rows_among_columns = rows_among_columns;
    p.half_precision = half_precision;
    p.pairing = pairing;
    p.id_rule = id_rule;
    p.row_offset = row_offset;
    p.cosine_limit = static_cast<float>(cosine_limit);
    return p;
  }

  std::int64_t columns_count() const { return symmetric ? m : c; }

  double cosine(std::int64_t i, std::int64_t j) const {
    double sum = 0;
    for (std::int64_t d = 0; d < width; ++d) {
      sum += static_cast<double>(rows[static_cast<std::size_t>(i * width + d)]) *
             static_cast<double>(other()[static_cast<std::size_t>(j * width + d)]);
    }
    return sum;
  }

  bool counts(std::int64_t i, std::int64_t j, double cosine_ij) const {
    const std::int64_t global = row_offset + i;
    const std::int64_t n = columns_count();
    if ((symmetric || rows_among_columns) && j == global) return false;
    if (pairing == Pairing::halves && j == (global + n / 2) % n) return false;
    if (pairing == Pairing::interleaved && j == (global % 2 == 0 ? global + 1 : global - 1))
      return false;
    if (pairing == Pairing::same_index && j == global) return false;
    if (cosine_ij > cosine_limit) return false;
    if (row_ids.empty()) return true;
    const bool same = row_ids[static_cast<std::size_t>(i)] ==
                      (symmetric ? row_ids : column_ids)[static_cast<std::size_t>(j)];
    return id_rule == IdRule::leave_out ? !same : same;
  }

  /// Logits of the whole matrix, -inf where a column does not count.
  std::vector<double> logits() const {
    std::vector<double> result(static_cast<std::size_t>(m * columns_count()));
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < columns_count(); ++j) {
        const double x = cosine(i, j);
        result[static_cast<std::size_t>(i * columns_count() + j)] =
            counts(i, j, x) ? x / temperature : -kInfinity;
      }
    }
    return result;
  }
};

double log_sum(const std::vector<double>& values) {
  const double most = *std::max_element(values.begin(), values.end());
  if (most == -kInfinity) return most;
  double sum = 0;
  for (const double x : values) sum += std::exp(x - most);
  return most + std::log(sum);
}

struct Sums {
  std::vector<double> rows, columns;
};

Sums exact_sums(const Case& test, const std::vector<double>& logits) {
  const std::int64_t n = test.columns_count();
  Sums sums;
  for (std::int64_t i = 0; i < test.m; ++i) {
    sums.rows.push_back(log_sum({logits.begin() + i * n, logits.begin() + (i + 1) * n}));
  }
  for (std::int64_t j = 0; j < n; ++j) {
    std::vector<double> column;
    for (std::int64_t i = 0; i < test.m; ++i) {
      column.push_back(logits[static_cast<std::size_t>(i * n + j)]);
    }
    sums.columns.push_back(log_sum(column));
  }
  return sums;
}

/// Memory aligned as an allocator's, full of what must not be read.
class Memory {
 public:
  explicit Memory(std::int64_t bytes)
      : memory_(static_cast<unsigned char*>(
            std::aligned_alloc(256, static_cast<std::size_t>((bytes + 255) / 256 * 256 + 256)))) {
    std::fill_n(memory_.get(), bytes, static_cast<unsigned char>(0xff));
  }
  void* get() { return memory_.get(); }

 private:
  struct Free {
    void operator()(unsigned char* memory) const { std::free(memory); }
  };
  std::unique_ptr<unsigned char, Free> memory_;
};

template <class Work>
void with_workspace(const KernelProblem& problem, const KernelDevice& device, std::uint64_t seed,
                    Work work) {
  Launch launch(seed);
  Passes<Launch> counting(problem, device, nullptr, launch);
  work(counting);
  Memory memory(counting.bytes());
  Passes<Launch> passes(problem, device, memory.get(), launch);
  work(passes);
  CATCH_REQUIRE(passes.bytes() == counting.bytes());
}

Sums kernel_sums(Case& test, const KernelDevice& device, std::uint64_t seed = 0) {
  Sums sums{std::vector<double>(static_cast<std::size_t>(test.m), NAN),
            std::vector<double>(static_cast<std::size_t>(test.columns_count()), NAN)};
  const KernelProblem problem = test.problem();
  with_workspace(problem, device, seed,
                 [&](auto& passes) { passes.forward(sums.rows.data(), sums.columns.data()); });
  return sums;
}

struct Gradients {
  std::vector<double> rows, columns;
};

Gradients exact_gradients(const Case& test, const std::vector<double>& logits, const Sums& sums,
                          const Sums& slopes) {
  const std::int64_t n = test.columns_count();
  const std::int64_t d = test.width;
  Gradients gradients{std::vector<double>(static_cast<std::size_t>(test.m * d)),
                      std::vector<double>(static_cast<std::size_t>(n * d))};
  std::vector<double>& other = test.symmetric ? gradients.rows : gradients.columns;
  for (std::int64_t i = 0; i < test.m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      const auto si = static_cast<std::size_t>(i);
      const auto sj = static_cast<std::size_t>(j);
      const double logit = logits[static_cast<std::size_t>(i * n + j)];
      if (logit == -kInfinity) continue;
      double weight = slopes.rows[si] * std::exp(logit - sums.rows[si]);
      if (!test.symmetric && test.column_sums) {
        weight += slopes.columns[sj] * std::exp(logit - sums.columns[sj]);
      }
      weight /= test.temperature;
      for (std::int64_t k = 0; k < d; ++k) {
        gradients.rows[static_cast<std::size_t>(i * d + k)] +=
            weight * static_cast<double>(test.other()[static_cast<std::size_t>(j * d + k)]);
        other[static_cast<std::size_t>(j * d + k)] +=
            weight * static_cast<double>(test.rows[static_cast<std::size_t>(i * d + k)]);
      }
    }
  }
  return gradients;
}

double distance(const std::vector<float>& got, const std::vector<double>& expected) {
  double difference = 0;
  double norm = 0;
  for (std::size_t k = 0; k < expected.size(); ++k) {
    difference += std::pow(static_cast<double>(got[k]) - expected[k], 2);
    norm += expected[k] * expected[k];
  }
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

/// At temperature 0.1; errors of logits, and with them of sums, grow with its inverse.
struct Bounds {
  double sum;       ///< of log-sums, absolute
  double gradient;  ///< relative

  Bounds at(double temperature) const {
    const double more = std::max(1.0, 0.1 / temperature);
    return {sum * more, gradient * more};
  }
};

/// Forward and backward against the whole matrix; returns the gradients.
std::vector<float> check(Case& test, const KernelDevice& device, const Bounds& bounds,
                         std::uint64_t seed = 0) {
  const std::vector<double> logits = test.logits();
  const Sums expected = exact_sums(test, logits);
  const Sums got = kernel_sums(test, device, seed);
  const auto compare = [&](const std::vector<double>& a, const std::vector<double>& b) {
    double worst = 0;
    for (std::size_t i = 0; i < b.size(); ++i) {
      const double difference = a[i] == b[i] ? 0 : std::abs(a[i] - b[i]);
      if (!(difference <= worst)) worst = difference;
    }
    CATCH_CHECK(worst <= bounds.sum);
  };
  compare(got.rows, expected.rows);
  const bool column_sums = test.column_sums && !test.symmetric;
  if (column_sums) compare(got.columns, expected.columns);

  std::mt19937 random(99);
  std::normal_distribution<double> normal(0.3, 1);
  Sums slopes;
  for (std::int64_t i = 0; i < test.m; ++i) slopes.rows.push_back(normal(random) / 100);
  for (std::int64_t j = 0; j < test.columns_count(); ++j)
    slopes.columns.push_back(normal(random) / 100);
  const Gradients exact = exact_gradients(test, logits, expected, slopes);
  std::vector<float> row_gradient(test.rows.size(), 0.0F);
  std::vector<float> column_gradient(test.symmetric ? 0 : test.columns.size(), 0.0F);
  KernelGradients gradients;
  gradients.row_sums = got.rows.data();
  gradients.row_slope = slopes.rows.data();
  gradients.row_gradient = row_gradient.data();
  if (!test.symmetric) gradients.column_gradient = column_gradient.data();
  if (column_sums) {
    gradients.column_sums = got.columns.data();
    gradients.column_slope = slopes.columns.data();
  }
  const KernelProblem problem = test.problem();
  with_workspace(problem, device, seed, [&](auto& passes) { passes.backward(gradients); });
  CATCH_CHECK(distance(row_gradient, exact.rows) <= bounds.gradient);
  if (!test.symmetric) CATCH_CHECK(distance(column_gradient, exact.columns) <= bounds.gradient);
  CATCH_CHECK(clr::simt::emulator::take_bank_conflicts() == 0);
  row_gradient.insert(row_gradient.end(), column_gradient.begin(), column_gradient.end());
  return row_gradient;
}

Case two_views(std::int64_t m, std::int64_t width, Pairing pairing = Pairing::halves) {
  Case test;
  test.m = m;
  test.width = width;
  test.pairing = pairing;
  test.rows = unit_rows(m, width, static_cast<unsigned>(m * 1000 + width));
  return test;
}

constexpr Bounds kExact{4e-6, 5e-6};
constexpr Bounds kHalf{5e-3, 1.5e-3};

}  // namespace

CATCH_TEST_CASE("kernels: sizes on and off the tile", "[loss]") {
  for (const std::int64_t m : {2, 4, 64, 126, 128, 130, 254, 258}) {
    for (const Pairing pairing : {Pairing::halves, Pairing::interleaved}) {
      CATCH_INFO("M " << m << ", pairing " << static_cast<int>(pairing));
      Case test = two_views(m, 24, pairing);
      if (m > 2) {
        check(test, kLarge, kExact);
      } else {
        CATCH_CHECK(kernel_sums(test, kLarge).rows == std::vector<double>(2, -kInfinity));
      }
    }
  }
}

CATCH_TEST_CASE("kernels: widths, both precisions", "[loss]") {
  for (const std::int64_t width : {1, 3, 63, 64, 65, 100, 128, 192, 256, 384, 512}) {
    CATCH_INFO("D " << width);
    Case test = two_views(70, width);
    if (width == 1) test.temperature = 1;
    check(test, kLarge, kExact);
    test.half_precision = true;
    check(test, kLarge, kHalf);
  }
}

CATCH_TEST_CASE("kernels: temperatures, on both sides of the shift", "[loss]") {
  // 0.0131 is where 1,024 columns begin to need a shift.
  for (const double temperature :
       {10.0, 1.0, 0.5, 0.1, 0.07, 0.02, 0.0142, 0.0132, 0.0130, 0.0125, 0.01, 0.005, 0.001}) {
    CATCH_INFO("temperature " << temperature);
    Case test = two_views(150, 48);
    test.temperature = temperature;
    check(test, kLarge, kExact.at(temperature));
    test.half_precision = true;
    check(test, kLarge, kHalf.at(temperature));
  }
}

CATCH_TEST_CASE("kernels: the online form agrees with the tiles, and takes over where it must",
                "[loss]") {
  Case test = two_views(200, 40);
  test.temperature = 0.05;
  const std::vector<float> tiles = check(test, kLarge, kExact.at(0.05));
  const std::vector<float> online =
      check(test, kMedium, kExact.at(0.05));  // too little shared memory
  CATCH_CHECK(distance(online, {tiles.begin(), tiles.end()}) <= 2e-6);
  CATCH_CHECK(online != tiles);

  // A row opposite to all others, which alone loses its sum to underflow.
  const std::int64_t width = 32;
  test = two_views(96, width);
  test.rows = unit_rows(96, width, 5, /*mean=*/4);
  for (std::int64_t d = 0; d < width; ++d) test.rows[static_cast<std::size_t>(3 * width + d)] *= -1;
  for (const double temperature : {0.1, 0.02, 0.0135, 0.01, 0.004}) {
    CATCH_INFO("temperature " << temperature);
    test.temperature = temperature;
    check(test, kLarge, kExact.at(temperature));
  }
}

CATCH_TEST_CASE("kernels: queue, two encoders, ranks", "[loss]") {
  for (const std::int64_t c : {1, 70, 300}) {
    CATCH_INFO("queue of " << c);
    Case test;
    test.symmetric = false;
    test.pairing = Pairing::none;
    test.m = 90;
    test.c = c;
    test.width = 20;
    test.rows = unit_rows(test.m, test.width, 1);
    test.columns = unit_rows(test.c, test.width, 2);
    check(test, kLarge, kExact);
    check(test, kMedium, kExact);
  }
  for (const std::int64_t n : {2, 65, 260}) {
    CATCH_INFO("two encoders, N " << n);
    Case test;
    test.symmetric = false;
    test.column_sums = true;
    test.pairing = Pairing::same_index;
    test.m = test.c = n;
    test.width = 70;
    test.rows = unit_rows(n, test.width, 3);
    test.columns = unit_rows(n, test.width, 4);
    check(test, kLarge, kExact);
    check(test, kMedium, kExact);
    test.half_precision = true;
    check(test, kLarge, kHalf);
  }
  for (const Pairing pairing : {Pairing::halves, Pairing::interleaved}) {
    const Case all = two_views(300, 30, pairing);
    const std::vector<double> whole = exact_sums(all, all.logits()).rows;
    for (const std::int64_t offset : {0, 91, 150, 233}) {
      CATCH_INFO("rows from " << offset);
      Case test = all;
      test.symmetric = false;
      test.rows_among_columns = true;
      test.row_offset = offset;
      test.m = 67;
      test.c = all.m;
      test.columns = all.rows;
      test.rows.assign(all.rows.begin() + offset * 30, all.rows.begin() + (offset + 67) * 30);
      check(test, kLarge, kExact);
      CATCH_CHECK(kernel_sums(test, kLarge).rows[5] ==
                  Approx(whole[static_cast<std::size_t>(offset) + 5]).margin(2e-6));
    }
  }
}

CATCH_TEST_CASE("kernels: ids and a limit of the cosine", "[loss]") {
  for (const bool symmetric : {true, false}) {
    Case test = two_views(140, 16);
    for (std::int64_t i = 0; i < test.m; ++i) test.row_ids.push_back(i % 9 - 4);
    if (!symmetric) {
      test.symmetric = false;
      test.column_sums = true;
      test.pairing = Pairing::same_index;
      test.c = test.m;
      test.columns = unit_rows(test.c, test.width, 77);
      test.column_ids = test.row_ids;
      std::rotate(test.column_ids.begin(), test.column_ids.begin() + 1, test.column_ids.end());
    }
    for (const IdRule rule : {IdRule::leave_out, IdRule::keep_only}) {
      CATCH_INFO("symmetric " << symmetric << ", rule " << static_cast<int>(rule));
      test.id_rule = rule;
      check(test, kLarge, kExact);
      check(test, kMedium, kExact);
    }
    test.row_ids[1] = 1000;  // nothing is like it: a sum of nothing
    test.column_ids = symmetric ? std::vector<std::int64_t>() : test.column_ids;
    check(test, kLarge, kExact);
    test.id_rule = IdRule::leave_out;
    test.cosine_limit = 0.31;  // no cosine is closer to it than 1e-4
    check(test, kLarge, kExact);
    test.row_ids.clear();
    test.column_ids.clear();
    check(test, kLarge, kExact);
    check(test, kMedium, kExact);
  }
}

CATCH_TEST_CASE("kernels: equal rows, opposite rows, rows that are no numbers", "[loss]") {
  Case test = two_views(64, 10);
  for (std::size_t k = 0; k < test.rows.size(); ++k) test.rows[k] = test.rows[k % 10];
  for (const double sum : kernel_sums(test, kLarge).rows) {
    CATCH_CHECK(sum == Approx(1 / test.temperature + std::log(62.0)).epsilon(1e-6));
  }
  for (const float bad : {NAN, INFINITY}) {
    test = two_views(64, 10);
    test.rows[37] = bad;  // of row 3, which is part of all sums but its pair's
    for (const KernelDevice& device : {kLarge, kMedium}) {
      const Sums sums = kernel_sums(test, device);
      for (std::size_t i = 0; i < sums.rows.size(); ++i) {
        CATCH_CHECK((i == 3 + 32 || std::isnan(sums.rows[i]) || std::isinf(sums.rows[i])));
      }
    }
  }
}

CATCH_TEST_CASE("kernels: the same bytes in whatever order warps run", "[loss]") {
  Case test = two_views(258, 72);
  test.half_precision = true;
  const Sums sums = kernel_sums(test, kLarge, 0);
  const std::vector<float> first = check(test, kLarge, kHalf, 0);
  for (std::uint64_t seed = 1; seed < 4; ++seed) {
    CATCH_CHECK(kernel_sums(test, kLarge, seed).rows == sums.rows);
    CATCH_CHECK(check(test, kLarge, kHalf, seed) == first);
  }
  test.half_precision = false;
  const std::vector<float> exact = check(test, kLarge, kExact, 0);
  CATCH_CHECK(check(test, kLarge, kExact, 1) == exact);
}

CATCH_TEST_CASE("kernels: blocks that go through several tiles of columns", "[loss]") {
  // On one multiprocessor columns are not split into parts.
  Case test = two_views(200, 40);
  check(test, {1, 227 * 1024}, kExact);
  check(test, {1, 32 * 1024}, kExact);
  test = two_views(150, 300);
  check(test, {1, 227 * 1024}, kExact);
}

CATCH_TEST_CASE("kernels: gradients are added to", "[loss]") {
  Case test = two_views(10, 5);
  const Sums sums = kernel_sums(test, kLarge);
  const std::vector<double> slopes(10, 0.1);
  std::vector<float> gradient(test.rows.size(), 0.0F);
  KernelGradients gradients;
  gradients.row_sums = sums.rows.data();
  gradients.row_slope = slopes.data();
  gradients.row_gradient = gradient.data();
  const KernelProblem problem = test.problem();
  const auto run = [&] {
    with_workspace(problem, kLarge, 0, [&](auto& passes) { passes.backward(gradients); });
    return gradient;
  };
  const std::vector<float> once = run();
  const std::vector<float> twice = run();
  for (std::size_t i = 0; i < once.size(); ++i) CATCH_CHECK(twice[i] == 2 * once[i]);
}

CATCH_TEST_CASE("kernels: groups of tiles", "[loss]") {
  // The schedule alone.
  for (const std::int64_t rows : {1, 128, 129, 8192, 8193, 65536, 1 << 18, 1 << 24}) {
    const Groups groups = groups_of(rows);
    CATCH_CHECK(std::int64_t{groups.tiles} * kTile >= rows);
    CATCH_CHECK((std::int64_t{groups.tiles} - 1) * kTile < rows);
    CATCH_CHECK(groups.size * groups.count >= groups.tiles);
    CATCH_CHECK(groups.size * (groups.count - 1) < groups.tiles);
    CATCH_CHECK((groups.count <= 64 || groups.size == 32));
    CATCH_CHECK((ForwardTiles<true, true>::shared_bytes(groups, groups) <= 163 * 1024));
  }
}

/// Sums of rows over the slots that ForwardTiles fills with these groups; and of columns.
Sums grouped_sums(Case& test, int row_group, int column_group) {
  const KernelProblem problem = test.problem();
  Launch launch(3);
  const std::int64_t stride = padded_width(test.width);
  const auto prepared = [&](const float* from, std::int64_t count) {
    auto memory = std::make_unique<Memory>(padded(count) * stride * 4);
    auto* const high = static_cast<std::uint16_t*>(memory->get());
    launch.run<Prepare>(Grid{Prepare::blocks(count, stride)}, 0,
                        {from, count, test.width, problem.column_count, problem.inverse_temperature,
                         high, padded(count) * stride, stride, nullptr, 0});
    return memory;
  };
  const auto rows = prepared(problem.rows, problem.row_count);
  const auto columns = prepared(problem.columns, problem.column_count);
  const auto groups = [](std::int64_t count, int size) {
    const auto tiles = static_cast<int>(divide_up(count, kTile));
    return Groups{tiles, size, static_cast<int>(divide_up(tiles, size))};
  };
  const Groups row_groups = groups(problem.row_count, row_group);
  const Groups column_groups = groups(problem.column_count, column_group);
  std::vector<float> row_partials(
      static_cast<std::size_t>(column_groups.count * padded(problem.row_count)), NAN);
  std::vector<float> column_partials(
      static_cast<std::size_t>(row_groups.count * padded(problem.column_count)), NAN);
  using Tiles = ForwardTiles<true, false>;
  const Tiles::Arguments arguments{
      {static_cast<std::uint16_t*>(rows->get()), padded(problem.row_count) * stride, stride},
      {static_cast<std::uint16_t*>(columns->get()), padded(problem.column_count) * stride, stride},
      rules_of(problem),
      problem.inverse_temperature,
      test.symmetric,
      test.column_sums,
      row_groups,
      column_groups,
      row_partials.data(),
      column_partials.data()};
  launch.run<Tiles>(Grid{Tiles::blocks(arguments)}, Tiles::shared_bytes(row_groups, column_groups),
                    arguments);
  const auto added_up = [](const std::vector<float>& partials, int slots, std::int64_t count) {
    std::vector<double> sums(static_cast<std::size_t>(count), 0);
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      for (std::int64_t i = 0; i < count; ++i) {
        sums[static_cast<std::size_t>(i)] +=
            static_cast<double>(partials[static_cast<std::size_t>(slot * padded(count) + i)]);
      }
    }
    for (double& sum : sums) sum = std::log(sum);
    return sums;
  };
  return {added_up(row_partials, column_groups.count, problem.row_count),
          added_up(column_partials, row_groups.count, problem.column_count)};
}

CATCH_TEST_CASE("kernels: sums over groups of several tiles", "[loss]") {
  const auto compare = [](const std::vector<double>& got, const std::vector<double>& expected) {
    CATCH_REQUIRE(got.size() == expected.size());
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double difference = std::abs(got[i] - expected[i]);
      if (!(difference <= worst)) worst = difference;
    }
    CATCH_CHECK(worst <= kExact.sum);
  };
  Case test = two_views(620, 20);
  for (const int size : {1, 2, 3}) {
    CATCH_INFO("groups of " << size);
    compare(grouped_sums(test, size, size).rows, exact_sums(test, test.logits()).rows);
  }
  test.symmetric = false;
  test.column_sums = true;
  test.pairing = Pairing::none;
  test.m = 400;
  test.c = 270;
  test.rows = unit_rows(test.m, test.width, 21);
  test.columns = unit_rows(test.c, test.width, 22);
  const Sums expected = exact_sums(test, test.logits());
  const Sums got = grouped_sums(test, 3, 2);
  compare(got.rows, expected.rows);
  compare(got.columns, expected.columns);
}

CATCH_TEST_CASE("kernels: pairs of groups are counted through once each", "[loss]") {
  std::int64_t index = 0;
  for (int n = 0; n < 2048; ++n) {
    for (int k = 0; k <= n; ++k) {
      int i = -1;
      int j = -1;
      pair_at(index++, i, j);
      if (i != k || j != n) CATCH_FAIL("index " << index - 1 << ": (" << i << ", " << j << ")");
    }
  }
  const std::int64_t n = 1 << 17;
  int i = -1;
  int j = -1;
  pair_at(n * (n + 1) / 2 - 1, i, j);
  CATCH_CHECK(i == n - 1);
  CATCH_CHECK(j == n - 1);
  pair_at((n - 1) * n / 2, i, j);
  CATCH_CHECK(i == 0);
  CATCH_CHECK(j == n - 1);
}

CATCH_TEST_CASE("kernels: a tile that leaves something out says so", "[loss]") {
  for (const Pairing pairing :
       {Pairing::none, Pairing::halves, Pairing::interleaved, Pairing::same_index}) {
    for (const int offset : {0, 7}) {
      const Rules rules{40,          60,      offset,  pairing, IdRule::leave_out,
                        offset != 0, nullptr, nullptr, 2.0F};
      for (int row = 0; row < 48; row += 8) {
        for (int column = 0; column < 72; column += 8) {
          bool any = false;
          for (int i = row; i < row + 8; ++i) {
            for (int j = column; j < column + 8; ++j) {
              const bool out = left_out_of(rules, false, i).has(j);
              CATCH_CHECK(out == left_out_of(rules, true, j).has(i));
              any = any || out;
            }
          }
          if (any) CATCH_CHECK(tile_leaves_out(rules, row, 8, column, 8));
        }
      }
      // Not just always.
      CATCH_CHECK_FALSE(tile_leaves_out(rules, 8, 8, 24, 8));
    }
  }
}

CATCH_TEST_CASE("kernels: places beyond 2^31 numbers", "[loss]") {
  // 2^24 rows of 512: no memory is touched, only counted.
  KernelProblem problem;
  problem.row_count = problem.column_count = 1 << 24;
  problem.width = 512;
  problem.symmetric = true;
  Launch launch;
  Passes<Launch> passes(problem, kLarge, nullptr, launch);
  passes.forward(nullptr, nullptr);
  const std::int64_t operands = (std::int64_t{1} << 24) * 512 * 2 * 2;
  const std::int64_t sums = (std::int64_t{1} << 24) * groups_of(1 << 24).count * 4;
  CATCH_CHECK(passes.bytes() >= operands + sums);
  CATCH_CHECK(passes.bytes() <= operands + sums + 1024);
}
