// SPDX-License-Identifier: Apache-2.0
// Shapes, values, temperatures and symmetries of the losses over tiles, against a float64 form that
// shares no code with them (reference/contrastive_reference.h), closed forms and central
// differences. Mistakes that must show here: a tile's edge that is off by one, whole rows or pairs
// of tiles that are added up twice or not at all, a partner in the wrong half, a temperature past
// the shift's limit, a row of no length, a row that is not a number.
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "clr/loss/info_nce.h"
#include "clr/loss/matrix_product.h"
#include "clr/loss/nt_xent.h"
#include "clr/loss/supcon.h"
#include "reference/contrastive_reference.h"
#include "reference/nt_xent_reference.h"
#include "support/catch.h"

namespace {

using clr::LossBackend;
using clr::Pairing;
using clr::TwoViewOptions;
using clr::test::aligned_rows;
using clr::test::clustered_rows;
using clr::test::exact_nt_xent;
using clr::test::ExactNtXent;
using clr::test::random_rows;
using clr::test::relative_distance;
using torch::Tensor;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Rows of a batch: worked on as whole rows, and as pairs of tiles, an odd size among them.
const std::vector<std::int64_t> kBatches = {130, 1300};

std::pair<Tensor, Tensor> halves(const Tensor& z) {
  const std::int64_t n = z.size(0) / 2;
  return {z.narrow(0, 0, n), z.narrow(0, n, n)};
}

struct Result {
  double loss;
  Tensor gradient;  ///< float64
};

using Loss = std::function<Tensor(const Tensor&)>;

Result evaluate(const Loss& loss, const Tensor& rows) {
  const Tensor x = rows.detach().clone().requires_grad_();
  const Tensor value = loss(x);
  value.backward();
  return {value.item<double>(), x.grad().to(torch::kFloat64)};
}

Result evaluate(const Tensor& rows, double temperature, const TwoViewOptions& options = {}) {
  return evaluate(
      [&](const Tensor& z) {
        const auto [z0, z1] = halves(z);
        return clr::nt_xent(z0, z1, temperature, options);
      },
      rows);
}

/// In float64 to its rounding, in float32 within a bound.
void check(const Tensor& rows, double temperature, double single_bound) {
  CATCH_INFO("rows " << rows.sizes() << ", temperature " << temperature);
  const ExactNtXent exact = exact_nt_xent(rows, temperature);
  const Result got = evaluate(rows, temperature);
  CATCH_CHECK(got.loss == Approx(exact.loss).epsilon(1e-12));
  CATCH_CHECK(relative_distance(got.gradient, exact.gradient) < 1e-10);
  const Tensor single = rows.to(torch::kFloat32);
  const ExactNtXent near = exact_nt_xent(single, temperature);
  const Result single_got = evaluate(single, temperature);
  CATCH_CHECK(single_got.loss == Approx(near.loss).epsilon(single_bound));
  CATCH_CHECK(relative_distance(single_got.gradient, near.gradient) < single_bound);
}

/// A matrix of as many rows whose columns are orthogonal and of length 1.
Tensor rotation(std::int64_t d, std::uint64_t seed) {
  return std::get<0>(torch::linalg_qr(random_rows(d, d, seed, 0)));
}

/// Loss and gradients by coordinates' central differences.
void check_slopes(const std::string& name, const Loss& loss, const Tensor& rows,
                  double bound = 1e-7) {
  CATCH_INFO(name);
  constexpr double kStep = 1e-6;
  const Tensor gradient = evaluate(loss, rows).gradient;
  Tensor differences = torch::empty_like(rows);
  for (std::int64_t k = 0; k < rows.numel(); ++k) {
    const auto moved = [&](double step) {
      Tensor x = rows.clone();
      x.view(-1)[k] += step;
      return loss(x).item<double>();
    };
    differences.view(-1)[k] = (moved(kStep) - moved(-kStep)) / (2 * kStep);
  }
  CATCH_CHECK(differences.norm().item<double>() > 1e-3);
  CATCH_CHECK(relative_distance(gradient, differences) < bound);
}

}  // namespace

CATCH_TEST_CASE("the exact form equals loops and central differences", "[loss]") {
  for (const double temperature : {0.02, 0.1, 1.0}) {
    CATCH_INFO("temperature " << temperature);
    const Tensor rows = random_rows(18, 5, 1);
    const ExactNtXent exact = exact_nt_xent(rows, temperature);
    const auto* const values = rows.const_data_ptr<double>();
    const clr::test::NtXentReference loops =
        clr::test::nt_xent_reference({values, values + rows.numel()}, 9, 5, temperature);
    CATCH_CHECK(exact.loss == Approx(loops.loss).epsilon(1e-13));
    CATCH_CHECK(relative_distance(exact.gradient,
                                  torch::tensor(loops.gradient, torch::kFloat64).view({18, 5})) <
                1e-12);
    constexpr double kStep = 1e-6;
    const double slope = (exact_nt_xent(rows, temperature + kStep).loss -
                          exact_nt_xent(rows, temperature - kStep).loss) /
                         (2 * kStep);
    CATCH_CHECK(exact.temperature_slope == Approx(slope).epsilon(1e-6));
    const Tensor sample = torch::tensor({3, 17}, torch::kInt64);
    CATCH_CHECK(
        relative_distance(exact_nt_xent(rows, temperature, Pairing::halves, {}, sample).gradient,
                          exact.gradient.index_select(0, sample)) < 1e-14);
  }
}

CATCH_TEST_CASE("numbers of rows and dimensions around tiles and vectors", "[loss]") {
  for (const std::int64_t m : {4, 6, 126, 128, 130, 254, 258, 510, 514, 1000, 1026, 2050, 4098}) {
    check(random_rows(m, 16, static_cast<std::uint64_t>(m)), 0.2, 1e-6);
  }
  for (const std::int64_t d : {2, 3, 16, 63, 64, 65, 100, 127, 128, 192, 256, 384, 512, 513}) {
    check(random_rows(66, d, static_cast<std::uint64_t>(d)), 0.2, 3e-6);
  }
  check(random_rows(1030, 65, 2), 0.2, 1e-6);
}

CATCH_TEST_CASE("two rows have nothing to be told apart from", "[loss]") {
  for (const auto type : {torch::kFloat64, torch::kFloat32}) {
    const Tensor x = random_rows(2, 3, 3).to(type).requires_grad_();
    clr::ContrastiveProblem problem;
    problem.rows = clr::unit_rows(x);
    problem.inverse_temperature = clr::inverse_temperature(0.5, torch::kCPU);
    problem.pairing = Pairing::halves;
    const clr::LogSums sums = clr::log_sums(problem);
    const Tensor loss = at::softplus(sums.rows - sums.pairs, 1, 40).mean();
    loss.backward();
    CATCH_CHECK(loss.item<double>() == 0);
    CATCH_CHECK(x.grad().abs().max().item<double>() == 0);
  }
}

CATCH_TEST_CASE("views of every kind are read where they lie", "[loss]") {
  for (const auto type : {torch::kFloat64, torch::kFloat32, torch::kFloat16, torch::kBFloat16}) {
    for (const std::int64_t n : {7, 300}) {
      CATCH_INFO(type << ", N " << n);
      const Tensor z0 = random_rows(n, 9, 4).to(type);
      const Tensor z1 = random_rows(n, 9, 5).to(type);
      const auto gradients = [](const Tensor& a, const Tensor& b) {
        const Tensor loss = clr::nt_xent(a, b, 0.3);
        return torch::autograd::grad({loss}, {a, b});
      };
      const auto plain = gradients(z0.clone().requires_grad_(), z1.clone().requires_grad_());
      const auto check_view = [&](const char* name, const Tensor& view) {
        CATCH_INFO(name);
        CATCH_REQUIRE(torch::equal(view, z0));
        const auto got = gradients(view.detach().requires_grad_(), z1.clone().requires_grad_());
        CATCH_CHECK(torch::equal(got[0], plain[0]));
        CATCH_CHECK(torch::equal(got[1], plain[1]));
      };
      check_view("transposed", z0.t().contiguous().t());
      Tensor larger = torch::full({n + 2, 12}, 7.0, z0.options());
      larger.narrow(0, 1, n).narrow(1, 2, 9).copy_(z0);
      check_view("offset", larger.narrow(0, 1, n).narrow(1, 2, 9));
      Tensor wider = torch::full({2 * n, 18}, 7.0, z0.options());
      wider.slice(0, 0, 2 * n, 2).slice(1, 1, 18, 2).copy_(z0);
      check_view("every second", wider.slice(0, 0, 2 * n, 2).slice(1, 1, 18, 2));
    }
  }
  // One row that stands for all of a view gets the sum of their gradients.
  const Tensor z1 = random_rows(6, 5, 6);
  const Tensor row = random_rows(1, 5, 7).requires_grad_();
  clr::nt_xent(row.expand({6, 5}), z1, 0.3).backward();
  const Tensor copies = row.detach().repeat({6, 1}).requires_grad_();
  clr::nt_xent(copies, z1, 0.3).backward();
  CATCH_CHECK(relative_distance(row.grad(), copies.grad().sum(0, true)) < 1e-13);
}

CATCH_TEST_CASE("values that are known, in float32 and float64", "[loss]") {
  for (const auto type : {torch::kFloat64, torch::kFloat32}) {
    const double rounding = type == torch::kFloat64 ? 1e-12 : 1e-6;
    for (const std::int64_t m : kBatches) {
      for (const double temperature : {0.05, 0.5}) {
        CATCH_INFO(type << ", M " << m << ", temperature " << temperature);
        const auto others = static_cast<double>(m - 2);
        const Result equal = evaluate(torch::full({m, 3}, 0.7, type), temperature);
        CATCH_CHECK(equal.loss == Approx(std::log(others + 1)).epsilon(rounding));
        CATCH_CHECK(equal.gradient.norm().item<double>() < 20 * rounding);
        const Tensor half = torch::eye(m / 2, type);
        CATCH_CHECK(evaluate(torch::eye(m, type), temperature).loss ==
                    Approx(std::log(others + 1)).epsilon(rounding));
        CATCH_CHECK(evaluate(half.repeat({2, 1}), temperature).loss ==
                    Approx(std::log1p(others * std::exp(-1 / temperature))).epsilon(20 * rounding));
        CATCH_CHECK(evaluate(torch::cat({half, -half}), temperature).loss ==
                    Approx(std::log1p(others * std::exp(1 / temperature))).epsilon(20 * rounding));
      }
    }
    // A few rows that come again and again, pairs and strangers alike.
    const Tensor few = random_rows(5, 6, 8);
    const Tensor again =
        few.index_select(0, torch::arange(60, torch::kInt64).remainder(5)).to(type);
    const ExactNtXent exact = exact_nt_xent(again, 0.1);
    const Result got = evaluate(again, 0.1);
    CATCH_CHECK(got.loss == Approx(exact.loss).epsilon(10 * rounding));
    CATCH_CHECK(relative_distance(got.gradient, exact.gradient) < 100 * rounding);
  }
}

CATCH_TEST_CASE("a converged batch: a loss of 1e-13 with its digits", "[loss]") {
  const std::int64_t n = 8;
  const double temperature = 1 / 32.0;  // 14 exp(-32) = 1.8e-13
  const Tensor rows =
      torch::eye(n, torch::kFloat64).repeat({2, 1}) + 1e-3 * random_rows(2 * n, n, 9, 0);
  const ExactNtXent exact = exact_nt_xent(rows, temperature);
  CATCH_REQUIRE(exact.loss < 1e-12);
  const Result got = evaluate(rows, temperature);
  CATCH_CHECK(got.loss == Approx(exact.loss).epsilon(1e-12));
  CATCH_CHECK(relative_distance(got.gradient, exact.gradient) < 1e-11);
  const Tensor single = rows.to(torch::kFloat32);
  const ExactNtXent near = exact_nt_xent(single, temperature);
  const Result single_got = evaluate(single, temperature);
  CATCH_CHECK(single_got.loss == Approx(near.loss).epsilon(2e-5));
  CATCH_CHECK(relative_distance(single_got.gradient, near.gradient) < 1e-4);
}

CATCH_TEST_CASE("rows of no length, very short and very long ones", "[loss]") {
  for (const std::int64_t m : kBatches) {
    CATCH_INFO("M " << m);
    Tensor rows = random_rows(m, 5, 10);
    const std::vector<std::pair<std::int64_t, double>> lengths = {
        {1, 0.0}, {2, 1e-14}, {3, 1e-9}, {4, 1e30}, {m - 1, 1e-11}};
    for (const auto& [row, length] : lengths) rows[row] *= length;
    // The short ones have huge gradients, each is compared with its own.
    const auto compare = [&](const Tensor& x, double bound) {
      const ExactNtXent exact = exact_nt_xent(x, 0.5);
      const Result got = evaluate(x, 0.5);
      CATCH_CHECK(got.loss == Approx(exact.loss).epsilon(bound));
      const Tensor errors = (got.gradient - exact.gradient).norm(2, 1) / exact.gradient.norm(2, 1);
      CATCH_CHECK(errors.max().item<double>() < 100 * bound);
    };
    compare(rows, 1e-12);
    compare(rows.to(torch::kFloat32), 1e-6);
  }
  // Smaller than any normal number.
  for (const auto type : {torch::kFloat64, torch::kFloat32}) {
    Tensor rows = random_rows(8, 5, 11).to(type);
    rows[3].fill_(type == torch::kFloat64 ? 1e-310 : 1e-40);
    const double with_denormal = evaluate(rows, 0.5).loss;
    rows[3].zero_();
    CATCH_CHECK(with_denormal == Approx(evaluate(rows, 0.5).loss).epsilon(1e-14));
  }
}

CATCH_TEST_CASE("one number that is not finite makes the loss NaN", "[loss]") {
  for (const auto type : {torch::kFloat64, torch::kFloat32, torch::kBFloat16}) {
    for (const std::int64_t m : kBatches) {
      for (const double bad : {kNan, kInfinity, -kInfinity}) {
        for (const std::int64_t row : {std::int64_t{0}, m / 2, m - 1}) {
          for (const double temperature : {0.5, 0.005}) {
            Tensor rows = random_rows(m, 5, 12).to(type);
            rows[row][2] = bad;
            const auto [z0, z1] = halves(rows);
            const double loss = clr::nt_xent(z0, z1, temperature).item<double>();
            CATCH_INFO(type << ", M " << m << ", row " << row << ", " << bad << ", temperature "
                            << temperature << ": " << loss);
            CATCH_CHECK(std::isnan(loss));
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("float32 without a shift equals ATen's tiles up to its limit", "[loss]") {
  TwoViewOptions streaming;
  streaming.backend = LossBackend::streaming;
  for (const std::int64_t m : kBatches) {
    const Tensor rows = clustered_rows(m / 2, 24, 13).to(torch::kFloat32);
    // log2(e) / temperature + log2(m) = 120 is where it ends.
    const double limit = std::log2(std::exp(1.0)) / (120 - std::log2(static_cast<double>(m)));
    for (const double temperature : {1.0, 0.1, 0.02, limit * 1.001, limit * 0.999, 0.005, 0.001}) {
      CATCH_INFO("M " << m << ", temperature " << temperature);
      const ExactNtXent exact = exact_nt_xent(rows, temperature);
      const Result fast = evaluate(rows, temperature);
      const Result slow = evaluate(rows, temperature, streaming);
      const double bound = std::max(2e-6, 1e-6 / temperature);
      for (const Result* result : {&fast, &slow}) {
        CATCH_CHECK(result->loss == Approx(exact.loss).epsilon(bound));
        CATCH_CHECK(relative_distance(result->gradient, exact.gradient) < bound);
      }
      // Below the limit both are the same code; above it they must not be, or nothing was compared.
      CATCH_CHECK(torch::equal(fast.gradient, slow.gradient) == (temperature < limit));
    }
  }
}

CATCH_TEST_CASE("rows that collapse at the lowest temperature without a shift", "[loss]") {
  // Sums near the largest float and slopes near the smallest: the weights of the backward pass must
  // not leave float32.
  for (const std::int64_t m : kBatches) {
    torch::manual_seed(14);
    const Tensor rows = (torch::ones({m, 8}) + 1e-3 * torch::randn({m, 8})).to(torch::kFloat32);
    const double temperature =
        std::log2(std::exp(1.0)) / (119.9 - std::log2(static_cast<double>(m)));
    const ExactNtXent exact = exact_nt_xent(rows, temperature);
    const Result got = evaluate(rows, temperature);
    CATCH_INFO("M " << m);
    CATCH_CHECK(got.loss == Approx(exact.loss).epsilon(1e-5));
    CATCH_CHECK(relative_distance(got.gradient, exact.gradient) < 5e-2);
  }
}

CATCH_TEST_CASE("weights far from 1 scale gradients and change no digit", "[loss]") {
  // As a scaled loss has them. Divided by a sum of exponentials they are no floats.
  for (const std::int64_t m : kBatches) {
    const Tensor rows = clustered_rows(m / 2, 8, 28).to(torch::kFloat32);
    TwoViewOptions options;
    options.weights = torch::full({m}, 1.0 / 4096, torch::kFloat64);
    const Tensor plain = evaluate(rows, 0.02, options).gradient;
    for (const int exponent : {-90, 90}) {
      CATCH_INFO("M " << m << ", weights times 2^" << exponent);
      options.weights.fill_(std::ldexp(1.0 / 4096, exponent));
      const Tensor scaled = evaluate(rows, 0.02, options).gradient;
      CATCH_CHECK(relative_distance(scaled * std::ldexp(1.0, -exponent), plain) < 1e-6);
    }
  }
}

CATCH_TEST_CASE("invariances of both plans", "[loss]") {
  for (const auto type : {torch::kFloat64, torch::kFloat32}) {
    const double rounding = type == torch::kFloat64 ? 1e-12 : 2e-6;
    for (const std::int64_t m : kBatches) {
      CATCH_INFO(type << ", M " << m);
      const std::int64_t n = m / 2;
      const std::int64_t d = 12;
      const Tensor rows = random_rows(m, d, 15).to(type);
      const Result plain = evaluate(rows, 0.2);
      const auto same = [&](const Result& got, const Tensor& back) {
        CATCH_CHECK(got.loss == Approx(plain.loss).epsilon(rounding));
        CATCH_CHECK(relative_distance(back, plain.gradient) < rounding);
      };
      const Tensor wide = rows.to(torch::kFloat64);
      CATCH_CHECK(
          ((wide * plain.gradient).sum(1).abs() / (wide.norm(2, 1) * plain.gradient.norm(2, 1)))
              .max()
              .item<double>() < 10 * rounding);

      torch::manual_seed(16);
      const Tensor order = torch::randperm(n, torch::kInt64);
      const Tensor both = torch::cat({order, order + n});
      const Result permuted = evaluate(rows.index_select(0, both), 0.2);
      same(permuted, torch::empty_like(plain.gradient).index_copy(0, both, permuted.gradient));

      const Tensor turn = rotation(d, 17);
      const Result turned = evaluate(wide.mm(turn).to(type), 0.2);
      same(turned, turned.gradient.mm(turn.t()));

      const Tensor scale = torch::logspace(-3, 3, m, 10.0, torch::kFloat64).unsqueeze(1);
      const Result scaled = evaluate((wide * scale).to(type), 0.2);
      same(scaled, scaled.gradient * scale);

      const Result swapped = evaluate(rows.roll(n, 0), 0.2);
      same(swapped, swapped.gradient.roll(n, 0));

      const Tensor interleaved = rows.view({2, n, d}).transpose(0, 1).reshape({m, d});
      const Result other_layout = evaluate(
          [](const Tensor& z) { return clr::nt_xent(z, Pairing::interleaved, 0.2); }, interleaved);
      same(other_layout, other_layout.gradient.view({n, 2, d}).transpose(0, 1).reshape({m, d}));
    }
  }
}

CATCH_TEST_CASE("a queue that holds copies counts them all", "[loss]") {
  const Tensor queue = random_rows(50, 6, 18);
  const Tensor query = random_rows(20, 6, 19);
  const Tensor key = random_rows(20, 6, 20);
  constexpr double kTemperature = 0.2;
  const auto unit = [](const Tensor& x) { return x / x.norm(2, 1, true); };
  const Tensor sums = (unit(query).mm(unit(queue).t()) / kTemperature).logsumexp(1);
  const Tensor pairs = (unit(query) * unit(key)).sum(1) / kTemperature;
  for (const std::int64_t copies : {1, 3, 40}) {
    CATCH_INFO("copies " << copies);
    const double expected =
        at::softplus(sums + std::log(static_cast<double>(copies)) - pairs, 1, 40)
            .mean()
            .item<double>();
    const Tensor repeated = queue.repeat({copies, 1});
    CATCH_CHECK(clr::info_nce(query, key, repeated, kTemperature).item<double>() ==
                Approx(expected).epsilon(1e-12));
    CATCH_CHECK(clr::info_nce(query.to(torch::kFloat32), key.to(torch::kFloat32),
                              repeated.to(torch::kFloat32), kTemperature)
                    .item<double>() == Approx(expected).epsilon(1e-6));
  }
}

CATCH_TEST_CASE("central differences of every loss", "[loss]") {
  const std::int64_t n = 5;
  const Tensor rows = random_rows(2 * n, 3, 21);
  constexpr double kTemperature = 0.4;
  const auto two_views = [&](auto loss) {
    return [=](const Tensor& z) {
      const auto [z0, z1] = halves(z);
      return loss(z0, z1);
    };
  };
  TwoViewOptions options;
  check_slopes("nt_xent", two_views([&](const Tensor& z0, const Tensor& z1) {
                 return clr::nt_xent(z0, z1, kTemperature);
               }),
               rows);
  options.weights = torch::linspace(-1, 2, 2 * n, torch::kFloat64);
  options.ids = torch::arange(n, torch::kInt64).remainder(3).repeat({2});
  options.cosine_limit = 0.7;
  check_slopes("nt_xent with options", two_views([&](const Tensor& z0, const Tensor& z1) {
                 return clr::nt_xent(z0, z1, kTemperature, options);
               }),
               rows);
  check_slopes(
      "interleaved",
      [&](const Tensor& z) { return clr::nt_xent(z, Pairing::interleaved, kTemperature); }, rows);
  check_slopes("dcl", two_views([&](const Tensor& z0, const Tensor& z1) {
                 return clr::dcl(z0, z1, kTemperature, options);
               }),
               rows);
  check_slopes("debiased", two_views([&](const Tensor& z0, const Tensor& z1) {
                 return clr::debiased(z0, z1, kTemperature, 0.05);
               }),
               rows);
  check_slopes("hard negatives", two_views([&](const Tensor& z0, const Tensor& z1) {
                 return clr::hard_negative(z0, z1, kTemperature, 0.05, 0.7);
               }),
               rows);
  check_slopes("info_nce both ways", two_views([&](const Tensor& z0, const Tensor& z1) {
                 return clr::info_nce_both_ways(z0, z1, kTemperature);
               }),
               rows);
  const Tensor queue = random_rows(9, 3, 22);
  check_slopes("info_nce with a queue", two_views([&](const Tensor& z0, const Tensor& z1) {
                 return clr::info_nce(z0, z1, queue, kTemperature);
               }),
               rows);
  const Tensor labels = torch::tensor({0, 1, 2, 1, 0, 3, 1, 2, 2, 0}, torch::kInt64);
  check_slopes(
      "supcon out", [&](const Tensor& z) { return clr::supcon_out(z, labels, kTemperature); },
      rows);
  check_slopes(
      "supcon in", [&](const Tensor& z) { return clr::supcon_in(z, labels, kTemperature); }, rows);
  // No slope goes through DCLW's weights: held still, they are another loss of the same slope.
  const auto [z0, z1] = halves(rows);
  const auto unit = [](const Tensor& x) { return x / x.norm(2, 1, true); };
  const Tensor cosines = (unit(z0) * unit(z1)).sum(1);
  const Tensor weights = (2 - static_cast<double>(n) * (cosines / 0.5).softmax(0)).repeat({2});
  const Loss held = [&](const Tensor& z) {
    clr::ContrastiveProblem problem;
    problem.rows = clr::unit_rows(z);
    problem.inverse_temperature = clr::inverse_temperature(kTemperature, torch::kCPU);
    problem.pairing = Pairing::halves;
    const clr::LogSums sums = clr::log_sums(problem);
    return (sums.rows - weights * sums.pairs).mean();
  };
  check_slopes("dclw, weights held", held, rows);
  const Result dclw = evaluate(
      two_views([&](const Tensor& a, const Tensor& b) { return clr::dclw(a, b, kTemperature); }),
      rows);
  const Result same = evaluate(held, rows);
  CATCH_CHECK(dclw.loss == Approx(same.loss).epsilon(1e-12));
  CATCH_CHECK(relative_distance(dclw.gradient, same.gradient) < 1e-11);
}

CATCH_TEST_CASE("the temperature's slope in float32, and of negative weights", "[loss]") {
  for (const std::int64_t m : kBatches) {
    const Tensor rows = clustered_rows(m / 2, 10, 23).to(torch::kFloat32);
    TwoViewOptions options;
    options.weights = torch::linspace(-1, 3, m, torch::kFloat64) / static_cast<double>(m);
    const ExactNtXent exact = exact_nt_xent(rows, 0.1, Pairing::halves, options.weights);
    const auto [z0, z1] = halves(rows);
    const Tensor temperature = torch::full({}, 0.1, torch::kFloat64).requires_grad_();
    const Tensor loss = clr::nt_xent(z0, z1, temperature, options);
    loss.backward();
    CATCH_INFO("M " << m);
    CATCH_CHECK(loss.item<double>() == Approx(exact.loss).epsilon(1e-5));
    CATCH_CHECK(temperature.grad().item<double>() == Approx(exact.temperature_slope).epsilon(1e-4));
  }
}

CATCH_TEST_CASE("the error does not grow with the batch", "[loss]") {
  for (const std::int64_t m : {512, 2048, 8192}) {
    const Tensor rows = random_rows(m, 32, 24, 0).to(torch::kFloat32);
    const Tensor sample = torch::arange(64, torch::kInt64) * (m / 64);
    const ExactNtXent exact = exact_nt_xent(rows, 0.1, Pairing::halves, {}, sample);
    const Result got = evaluate(rows, 0.1);
    CATCH_INFO("M " << m);
    CATCH_CHECK(got.loss == Approx(exact.loss).epsilon(1e-6));
    CATCH_CHECK(relative_distance(got.gradient.index_select(0, sample), exact.gradient) < 1e-6);
  }
}

CATCH_TEST_CASE("the same bytes in both plans, whatever was in memory before", "[loss]") {
  for (const std::int64_t m : {126, 1000, 2300}) {
    const Tensor rows = random_rows(m, 20, 25).to(torch::kFloat32);
    const Tensor before = rows.clone();
    const Result first = evaluate(rows, 0.1);
    for (int run = 1; run < 20; ++run) {
      {
        // What is freed here is what the loss gets.
        std::vector<Tensor> poison;
        for (std::int64_t k = 10; k < 22; ++k) {
          poison.push_back(torch::full({std::int64_t{1} << k}, kNan, torch::kFloat32));
        }
      }
      const Result again = evaluate(rows, 0.1);
      CATCH_CHECK(again.loss == first.loss);
      CATCH_REQUIRE(torch::equal(again.gradient, first.gradient));
    }
    CATCH_CHECK(torch::equal(rows, before));
  }
}

CATCH_TEST_CASE("both libraries' products are the same, and the faster one is taken", "[loss]") {
  using clr::detail::matrix_product;
  using clr::detail::ProductLibrary;
  CATCH_CHECK(clr::detail::has_product_library(clr::detail::product_library()));
  for (const ProductLibrary library : {ProductLibrary::blas, ProductLibrary::onednn}) {
    if (!clr::detail::has_product_library(library)) continue;
    for (const auto& [m, n, k] :
         {std::array<std::int64_t, 3>{1, 1, 1}, {5, 7, 3}, {64, 130, 65}, {300, 512, 128}}) {
      CATCH_INFO(static_cast<int>(library) << ": " << m << " " << n << " " << k);
      const Tensor a = random_rows(m, k, 26).to(torch::kFloat32);
      const Tensor b = random_rows(n, k, 27).to(torch::kFloat32);
      const Tensor exact = a.to(torch::kFloat64).mm(b.to(torch::kFloat64).t());
      // With a gap between rows, as tiles have.
      Tensor memory = torch::full({m, n + 3}, 0.5, torch::kFloat32);
      Tensor result = memory.narrow(1, 0, n);
      matrix_product(result, a, b.t(), false, library);
      CATCH_CHECK(relative_distance(result.to(torch::kFloat64), exact) < 1e-6);
      matrix_product(result, a, b.t(), true, library);
      CATCH_CHECK(relative_distance(result.to(torch::kFloat64), 2 * exact) < 1e-6);
      CATCH_CHECK((memory.narrow(1, n, 3) == 0.5).all().item<bool>());
      Tensor sums = torch::zeros({n, k}, torch::kFloat32);
      matrix_product(sums, memory.narrow(1, 0, n).t(), a, true, library);
      CATCH_CHECK(relative_distance(sums.to(torch::kFloat64),
                                    2 * exact.t().mm(a.to(torch::kFloat64))) < 1e-6);
    }
  }
}
