// SPDX-License-Identifier: Apache-2.0
// Mistakes that must show here: a row among its own negatives, the partner among them,
// logsumexp - positive instead of softplus, softplus linear from 20 on, another smallest norm.
#include "clr/loss/nt_xent.h"

#include <torch/types.h>

#include <cmath>
#include <limits>
#include <random>

#include "clr/core/error.h"
#include "reference/nt_xent_reference.h"
#include "support/catch.h"

namespace {

using clr::nt_xent;
using clr::test::nt_xent_reference;
using clr::test::NtXentReference;
using torch::Tensor;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Rows [2N, D] with entries near 0.3, so that no direction is special and cosines are not all 0.
Tensor random_rows(std::int64_t n, std::int64_t d, std::uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal(0.3, 1.0);
  Tensor rows = torch::empty({2 * n, d}, torch::kFloat64);
  for (std::int64_t i = 0; i < rows.numel(); ++i) rows.data_ptr<double>()[i] = normal(engine);
  return rows;
}

NtXentReference reference(const Tensor& rows, double temperature) {
  const Tensor exact = rows.detach().to(torch::kFloat64).contiguous();
  const auto* values = exact.data_ptr<double>();
  return nt_xent_reference({values, values + exact.numel()},
                           static_cast<std::size_t>(exact.size(0) / 2),
                           static_cast<std::size_t>(exact.size(1)), temperature);
}

struct Result {
  double loss;
  Tensor gradient;  ///< [2N, D], float64
};

Result evaluate(const Tensor& rows, double temperature) {
  const Tensor x = rows.detach().clone().requires_grad_();
  const std::int64_t n = x.size(0) / 2;
  const Tensor loss = nt_xent(x.narrow(0, 0, n), x.narrow(0, n, n), temperature);
  CATCH_REQUIRE(loss.scalar_type() == rows.scalar_type());
  CATCH_REQUIRE(loss.dim() == 0);
  loss.backward();
  return {loss.item<double>(), x.grad().to(torch::kFloat64)};
}

Tensor reference_gradient(const NtXentReference& expected, const Tensor& rows) {
  return torch::tensor(expected.gradient, torch::kFloat64).view(rows.sizes());
}

double distance(const Tensor& a, const Tensor& b) {
  return (a - b).norm().item<double>() / b.norm().item<double>();
}

/// Checks value and gradient against the reference, both relative.
void check(const Tensor& rows, double temperature, double value_bound, double gradient_bound) {
  CATCH_INFO("rows " << rows.sizes() << ", temperature " << temperature);
  const NtXentReference expected = reference(rows, temperature);
  const Result got = evaluate(rows, temperature);
  CATCH_CHECK(std::abs(got.loss - expected.loss) <= value_bound * expected.loss);
  CATCH_CHECK(distance(got.gradient, reference_gradient(expected, rows)) <= gradient_bound);
}

/// 2N orthonormal rows, or N of them twice.
Tensor orthonormal(std::int64_t n, bool pairs_equal) {
  return pairs_equal ? torch::eye(n, torch::kFloat64).repeat({2, 1})
                     : torch::eye(2 * n, torch::kFloat64);
}

}  // namespace

CATCH_TEST_CASE("the reference's gradient equals central differences", "[loss]") {
  const Tensor rows = random_rows(5, 4, 1);
  for (const double temperature : {0.05, 0.5, 2.0}) {
    const auto expected = reference(rows, temperature).gradient;
    for (std::int64_t k = 0; k < rows.numel(); ++k) {
      constexpr double kStep = 1e-6;
      Tensor up = rows.clone();
      Tensor down = rows.clone();
      up.view(-1)[k] += kStep;
      down.view(-1)[k] -= kStep;
      const double slope =
          (reference(up, temperature).loss - reference(down, temperature).loss) / (2 * kStep);
      CATCH_REQUIRE(slope ==
                    Approx(expected[static_cast<std::size_t>(k)]).epsilon(1e-6).margin(1e-8));
    }
  }
}

CATCH_TEST_CASE("float64 equals the reference", "[loss]") {
  for (const double temperature : {0.01, 0.05, 0.1, 0.5, 1.0, 10.0}) {
    check(random_rows(2, 3, 2), temperature, 1e-12, 1e-11);
    check(random_rows(33, 17, 4), temperature, 1e-12, 1e-11);
    check(random_rows(64, 128, 5), temperature, 1e-12, 1e-11);
  }
}

CATCH_TEST_CASE("rows of one number have no slope", "[loss]") {
  const Tensor rows = random_rows(7, 1, 3);
  const Result got = evaluate(rows, 0.5);
  CATCH_CHECK(got.loss == Approx(reference(rows, 0.5).loss).epsilon(1e-12));
  CATCH_CHECK(got.gradient.abs().max().item<double>() < 1e-12);
}

CATCH_TEST_CASE("float32 equals the reference", "[loss]") {
  for (const double temperature : {0.1, 0.5, 1.0, 10.0}) {
    check(random_rows(2, 3, 6).to(torch::kFloat32), temperature, 1e-6, 1e-5);
    check(random_rows(64, 128, 7).to(torch::kFloat32), temperature, 1e-6, 1e-5);
  }
  // Rounding of a cosine counts 1 / temperature times in the exponent.
  check(random_rows(64, 128, 7).to(torch::kFloat32), 0.01, 1e-5, 1e-4);
}

CATCH_TEST_CASE("a converged batch keeps its digits", "[loss]") {
  const double temperature = 1 / 30.0;
  const double expected = std::log1p(14 * std::exp(-30.0));  // 1.3e-12
  const Tensor rows = orthonormal(8, true);
  CATCH_CHECK(evaluate(rows, temperature).loss == Approx(expected).epsilon(1e-12));
  CATCH_CHECK(evaluate(rows.to(torch::kFloat32), temperature).loss ==
              Approx(expected).epsilon(2e-5));
  const Tensor near = rows + 1e-3 * random_rows(8, 8, 8);
  check(near, temperature, 1e-12, 1e-11);
  check(near.to(torch::kFloat32), temperature, 2e-5, 1e-3);
}

CATCH_TEST_CASE("closed forms", "[loss]") {
  for (const std::int64_t n : {2, 3, 16}) {
    const auto others = static_cast<double>(2 * n - 2);
    for (const double temperature : {0.1, 0.5, 3.0}) {
      CATCH_INFO("N " << n << ", temperature " << temperature);
      const Tensor equal = torch::full({2 * n, 5}, 0.7, torch::kFloat64);
      CATCH_CHECK(evaluate(equal, temperature).loss == Approx(std::log(others + 1)).epsilon(1e-12));
      CATCH_CHECK(evaluate(orthonormal(n, false), temperature).loss ==
                  Approx(std::log(others + 1)).epsilon(1e-12));
      CATCH_CHECK(evaluate(orthonormal(n, true), temperature).loss ==
                  Approx(std::log1p(others * std::exp(-1 / temperature))).epsilon(1e-12));
      const Tensor half = torch::eye(n, torch::kFloat64);
      CATCH_CHECK(evaluate(torch::cat({half, -half}), temperature).loss ==
                  Approx(std::log1p(others * std::exp(1 / temperature))).epsilon(1e-12));
    }
  }
}

CATCH_TEST_CASE("invariances", "[loss]") {
  const std::int64_t n = 9;
  const Tensor rows = random_rows(n, 6, 9);
  const Result plain = evaluate(rows, 0.2);

  const Tensor radial = (rows * plain.gradient).sum(1).abs();
  CATCH_CHECK(radial.max().item<double>() < 1e-14);

  const Tensor scale = torch::linspace(0.01, 50, 2 * n, torch::kFloat64).unsqueeze(1);
  const Result scaled = evaluate(rows * scale, 0.2);
  CATCH_CHECK(scaled.loss == Approx(plain.loss).epsilon(1e-13));
  CATCH_CHECK(distance(scaled.gradient * scale, plain.gradient) < 1e-12);

  const Tensor order = torch::arange(n - 1, -1, -1, torch::kInt64);
  const Tensor both = torch::cat({order, order + n});
  const Result permuted = evaluate(rows.index_select(0, both), 0.2);
  CATCH_CHECK(permuted.loss == Approx(plain.loss).epsilon(1e-13));
  CATCH_CHECK(distance(permuted.gradient, plain.gradient.index_select(0, both)) < 1e-12);

  const Result swapped = evaluate(rows.roll(n, 0), 0.2);
  CATCH_CHECK(swapped.loss == Approx(plain.loss).epsilon(1e-13));
  CATCH_CHECK(distance(swapped.gradient, plain.gradient.roll(n, 0)) < 1e-12);

  // Only one view's rows reordered is another problem.
  CATCH_CHECK(
      std::abs(
          evaluate(torch::cat({rows.narrow(0, 0, n).flip(0), rows.narrow(0, n, n)}), 0.2).loss -
          plain.loss) > 1e-2);
}

CATCH_TEST_CASE("inputs may be views and are left alone", "[loss]") {
  const Tensor rows = random_rows(6, 10, 10);
  const double expected = evaluate(rows, 0.5).loss;
  const Tensor transposed = rows.t().contiguous().t();
  CATCH_CHECK(evaluate(transposed, 0.5).loss == Approx(expected).epsilon(1e-13));
  const Tensor before = rows.clone();
  nt_xent(rows.narrow(0, 0, 6), rows.narrow(0, 6, 6), 0.5);
  CATCH_CHECK(torch::equal(rows, before));
}

CATCH_TEST_CASE("rows that are not ordinary", "[loss]") {
  Tensor rows = random_rows(4, 5, 11);
  rows[2].zero_();
  check(rows, 0.5, 1e-12, 1e-11);
  rows[2].fill_(1e-14);
  check(rows, 0.5, 1e-12, 1e-11);
  for (const double bad : {kNan, kInfinity, -kInfinity}) {
    for (const std::int64_t row : {0, 3, 7}) {
      Tensor damaged = random_rows(4, 5, 12);
      damaged[row][1] = bad;
      const Tensor loss = nt_xent(damaged.narrow(0, 0, 4), damaged.narrow(0, 4, 4), 0.5);
      CATCH_CHECK(std::isnan(loss.item<double>()));
    }
  }
}

CATCH_TEST_CASE("refused arguments", "[loss]") {
  const Tensor z = random_rows(2, 3, 13);
  for (const double temperature : {0.0, -0.5, kNan, kInfinity}) {
    try {
      nt_xent(z, z, temperature);
      CATCH_FAIL("temperature " << temperature << " was accepted");
    } catch (const clr::Error& error) {
      CATCH_CHECK(error.kind() == clr::ErrorKind::config);
      CATCH_CHECK(std::string(error.what()).starts_with("temperature: expected"));
    }
  }
  CATCH_CHECK_THROWS_AS(nt_xent(z, z.narrow(0, 0, 2), 0.5), c10::Error);
  CATCH_CHECK_THROWS_AS(nt_xent(z, z.to(torch::kFloat32), 0.5), c10::Error);
  CATCH_CHECK_THROWS_AS(nt_xent(z.narrow(0, 0, 1), z.narrow(0, 0, 1), 0.5), c10::Error);
  CATCH_CHECK_THROWS_AS(nt_xent(z.to(torch::kInt64), z.to(torch::kInt64), 0.5), c10::Error);
  CATCH_CHECK_THROWS_AS(nt_xent(z.to(torch::kComplexFloat), z.to(torch::kComplexFloat), 0.5),
                        c10::Error);
  CATCH_CHECK_THROWS_AS(nt_xent(z[0], z[0], 0.5), c10::Error);
}
