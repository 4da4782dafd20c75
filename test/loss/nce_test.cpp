// SPDX-License-Identifier: Apache-2.0
// Mistakes that must show here: the number of noise rows forgotten or counted twice, a mean over
// noise instead of a sum, the temperature left out of one side, Z taken without the positives,
// logits that overflow, a gradient that reaches the bank. Golden values of another program are in
// test/method/memory_bank_test.cpp.
#include "clr/loss/nce.h"

#include <torch/types.h>

#include <cmath>

#include "clr/core/error.h"
#include "clr/loss/contrastive.h"
#include "support/catch.h"

namespace {

using torch::Tensor;

constexpr double kTemperature = 0.2;

Tensor log_of(double z_over_n) { return torch::tensor(std::log(z_over_n), torch::kFloat64); }

Tensor unit(std::int64_t rows, std::int64_t width) {
  return clr::unit_rows(torch::randn({rows, width}, torch::kFloat64));
}

double probability_times_n(const Tensor& q, const Tensor& f, double z_over_n) {
  return std::exp(q.dot(f).item<double>() / kTemperature) / z_over_n;
}

/// The paper's equations 6 and 7, an anchor and a row at a time. Multiplied by n, P / (P + K / n)
/// is nP / (nP + K).
double reference(const Tensor& query, const Tensor& key, const Tensor& noise, double z_over_n) {
  const auto k = static_cast<double>(noise.size(0));
  double sum = 0;
  for (std::int64_t i = 0; i < query.size(0); ++i) {
    const double data = probability_times_n(query[i], key[i], z_over_n);
    sum -= std::log(data / (data + k));
    for (std::int64_t j = 0; j < noise.size(0); ++j) {
      sum -= std::log(k / (probability_times_n(query[i], noise[j], z_over_n) + k));
    }
  }
  return sum / static_cast<double>(query.size(0));
}

}  // namespace

CATCH_TEST_CASE("nce and its gradient are the paper's equations", "[loss]") {
  torch::manual_seed(4);
  const Tensor query = unit(5, 4).requires_grad_();
  const Tensor key = unit(5, 4);
  const Tensor noise = unit(7, 4);
  const double z_over_n = 3.5;
  const Tensor loss = clr::nce(query, key, noise, kTemperature, log_of(z_over_n));
  CATCH_CHECK(loss.item<double>() == Approx(reference(query, key, noise, z_over_n)).epsilon(1e-12));

  loss.backward();
  const double step = 1e-5;
  for (std::int64_t place = 0; place < query.numel(); ++place) {
    const auto moved = [&](double by) {
      Tensor x = query.detach().clone();
      x.flatten()[place] += by;
      return reference(x, key, noise, z_over_n);
    };
    const double slope = (moved(step) - moved(-step)) / (2 * step);
    CATCH_CHECK(query.grad().flatten()[place].item<double>() == Approx(slope).margin(1e-8));
  }

  const Tensor single = clr::nce(query.to(torch::kFloat32), key.to(torch::kFloat32),
                                 noise.to(torch::kFloat32), kTemperature, log_of(z_over_n));
  CATCH_CHECK(single.scalar_type() == torch::kFloat32);
  CATCH_CHECK(single.item<double>() == Approx(loss.item<double>()).epsilon(1e-5));
}

CATCH_TEST_CASE("nce's constant is the mean over keys and noise", "[loss]") {
  torch::manual_seed(5);
  const Tensor query = unit(5, 4).requires_grad_();
  const Tensor key = unit(5, 4);
  const Tensor noise = unit(7, 4);
  double sum = 0;
  for (std::int64_t i = 0; i < 5; ++i) {
    sum += probability_times_n(query[i], key[i], 1);
    for (std::int64_t j = 0; j < 7; ++j) sum += probability_times_n(query[i], noise[j], 1);
  }
  const Tensor estimate = clr::nce_log_normalizer(query, key, noise, kTemperature);
  CATCH_CHECK(estimate.item<double>() == Approx(std::log(sum / (5 * 8))).epsilon(1e-12));
  CATCH_CHECK(estimate.scalar_type() == torch::kFloat64);
  CATCH_CHECK_FALSE(estimate.requires_grad());
}

CATCH_TEST_CASE("nce's limits", "[loss]") {
  const Tensor query = torch::tensor({{1.0F, 0.0F}});
  const Tensor across = torch::tensor({{0.0F, 1.0F}});
  // All alike: data and K = 3 rows of noise, each with odds 1 to 3.
  const Tensor alike = clr::nce(query, across, across.repeat({3, 1}), 0.07, log_of(1));
  CATCH_CHECK(alike.item<double>() == Approx(std::log(4.0) + 3 * std::log(4.0 / 3.0)));
  // A Z of three times the size makes P a third.
  const Tensor third = clr::nce(query, across, across.repeat({3, 1}), 0.07, log_of(3));
  CATCH_CHECK(third.item<double>() == Approx(std::log(10.0) + 3 * std::log(10.0 / 9.0)));
  // exp(1 / 0.001) is no number; its logarithm is.
  const Tensor wrong = clr::nce(query, across, query, 0.001, log_of(1));
  CATCH_CHECK(wrong.item<double>() == Approx(1000 + std::log(2.0)));
  const Tensor right = clr::nce(query, query, -query, 0.001, log_of(1));
  CATCH_CHECK(right.item<double>() == 0.0);
  CATCH_CHECK(clr::nce_log_normalizer(query, query, across, 0.001).item<double>() ==
              Approx(1000 - std::log(2.0)));
}

CATCH_TEST_CASE("nce's rows of the bank get no gradient", "[loss]") {
  torch::manual_seed(3);
  const Tensor query = unit(4, 5).requires_grad_();
  const Tensor key = unit(4, 5).requires_grad_();
  const Tensor noise = unit(6, 5).requires_grad_();
  clr::nce(query, key, noise, 0.1, log_of(2)).backward();
  CATCH_CHECK(query.grad().norm().item<double>() > 0);
  CATCH_CHECK_FALSE(key.grad().defined());
  CATCH_CHECK_FALSE(noise.grad().defined());
}

CATCH_TEST_CASE("nce refuses what it cannot take", "[loss]") {
  const Tensor rows = torch::eye(3);
  CATCH_CHECK_THROWS_AS(clr::nce(rows, rows, rows, 0, log_of(1)), clr::Error);
  CATCH_CHECK_THROWS_AS(clr::nce(rows, rows, rows, INFINITY, log_of(1)), clr::Error);
  CATCH_CHECK_THROWS_AS(clr::nce(rows, rows.narrow(0, 0, 2), rows, 1, log_of(1)), c10::Error);
  CATCH_CHECK_THROWS_AS(clr::nce(rows, rows, torch::eye(2), 1, log_of(1)), c10::Error);
  CATCH_CHECK_THROWS_AS(clr::nce(rows, rows, rows.narrow(0, 0, 0), 1, log_of(1)), c10::Error);
}
