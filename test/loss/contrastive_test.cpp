// SPDX-License-Identifier: Apache-2.0
// The losses over tiles against the same losses over whole matrices in float64, whose gradients are
// autograd's. Mistakes that must show here: a tile's column sums or their gradients left out, a
// mask off by one or missing at a tile's edge, a pair in its own denominator, a shift or a scale
// that underflows, a gradient that reaches what must not get one.
#include <ATen/ops/cross_entropy_loss.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "clr/core/error.h"
#include "clr/loss/info_nce.h"
#include "clr/loss/nt_xent.h"
#include "clr/loss/supcon.h"
#include "reference/contrastive_reference.h"
#include "support/catch.h"

namespace {

using clr::Pairing;
using clr::TwoViewOptions;
using clr::test::aligned_rows;
using clr::test::clustered_rows;
using clr::test::random_rows;
using clr::test::relative_distance;
using torch::Tensor;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tensor unit(const Tensor& x) { return x / x.norm(2, 1, true).clamp_min(1e-12); }

/// log of the sum of exp over what `keep` keeps.
Tensor log_sum(const Tensor& logits, const Tensor& keep) {
  return logits.masked_fill(keep.logical_not(), -kInfinity).logsumexp(1);
}

struct Dense {
  Tensor pairs;      ///< [2N] logits
  Tensor negatives;  ///< [2N, 2N] logits
  Tensor keep;       ///< bool [2N, 2N]
  Tensor cosines;
};

Dense dense(const Tensor& z, double temperature, const TwoViewOptions& options = {},
            Pairing pairing = Pairing::halves) {
  const std::int64_t m = z.size(0);
  const Tensor row = torch::arange(m, torch::kInt64);
  const Tensor partner =
      pairing == Pairing::halves ? (row + m / 2).remainder(m) : row + 1 - 2 * row.remainder(2);
  Dense result;
  const Tensor u = unit(z);
  result.cosines = u.mm(u.t());
  result.negatives = result.cosines / temperature;
  result.pairs = result.negatives.gather(1, partner.unsqueeze(1)).squeeze(1);
  result.keep = (row.unsqueeze(1) != row) & (partner.unsqueeze(1) != row);
  if (options.ids.defined()) result.keep &= options.ids.unsqueeze(1) != options.ids;
  if (std::isfinite(options.cosine_limit)) result.keep &= result.cosines <= options.cosine_limit;
  return result;
}

Tensor reduce(const Tensor& losses, const TwoViewOptions& options) {
  return options.weights.defined() ? (losses * options.weights).sum() : losses.mean();
}

Tensor dense_nt_xent(const Tensor& z, double temperature, const TwoViewOptions& options = {},
                     Pairing pairing = Pairing::halves) {
  const Dense d = dense(z, temperature, options, pairing);
  return reduce(at::softplus(log_sum(d.negatives, d.keep) - d.pairs, 1, 40), options);
}

using Loss = std::function<Tensor(const Tensor&)>;

struct Result {
  double loss;
  Tensor gradient;
};

Result evaluate(const Loss& loss, const Tensor& rows) {
  const Tensor x = rows.detach().clone().requires_grad_();
  const Tensor value = loss(x);
  value.backward();
  return {value.item<double>(), x.grad().to(torch::kFloat64)};
}

/// A loss over tiles against one over matrices: in float64, and in float32 within a bound.
void compare(const Loss& tiles, const Loss& matrices, const Tensor& rows,
             double single_bound = 1e-5) {
  const Result expected = evaluate(matrices, rows);
  const Result got = evaluate(tiles, rows);
  CATCH_CHECK(got.loss == Approx(expected.loss).epsilon(1e-11).margin(1e-13));
  CATCH_CHECK(relative_distance(got.gradient, expected.gradient) < 1e-10);
  const Tensor single = rows.to(torch::kFloat32);
  const Result near = evaluate(matrices, single.to(torch::kFloat64));
  const Result single_got = evaluate(tiles, single);
  CATCH_CHECK(single_got.loss == Approx(near.loss).epsilon(single_bound).margin(1e-6));
  CATCH_CHECK(relative_distance(single_got.gradient, near.gradient) < single_bound);
}

std::pair<Tensor, Tensor> halves(const Tensor& z) {
  const std::int64_t n = z.size(0) / 2;
  return {z.narrow(0, 0, n), z.narrow(0, n, n)};
}

Loss tiled(double temperature, const TwoViewOptions& options = {}) {
  return [=](const Tensor& z) {
    const auto [z0, z1] = halves(z);
    return clr::nt_xent(z0, z1, temperature, options);
  };
}

/// Row ids, some of them shared by rows that are no pair.
Tensor some_ids(std::int64_t n) {
  return torch::arange(n, torch::kInt64).remainder(std::max<std::int64_t>(2, n / 3)).repeat({2});
}

}  // namespace

CATCH_TEST_CASE("sizes on and off the tiles", "[loss]") {
  for (const std::int64_t n : {2, 3, 31, 32, 33, 63, 64, 65, 127, 129, 300, 515}) {
    CATCH_INFO("N " << n);
    compare(
        tiled(0.2), [](const Tensor& z) { return dense_nt_xent(z, 0.2); },
        random_rows(2 * n, 24, static_cast<std::uint64_t>(n)));
  }
  for (const std::int64_t d : {2, 3, 16, 63, 64, 65, 127, 513}) {
    CATCH_INFO("D " << d);
    compare(
        tiled(0.2), [](const Tensor& z) { return dense_nt_xent(z, 0.2); },
        random_rows(70, d, static_cast<std::uint64_t>(d)));
  }
}

CATCH_TEST_CASE("more rows than one round of tiles holds, and more than are kept", "[loss]") {
  compare(
      tiled(0.1), [](const Tensor& z) { return dense_nt_xent(z, 0.1); },
      random_rows(2 * 1700, 16, 1));
}

CATCH_TEST_CASE("temperatures on both sides of the shift", "[loss]") {
  for (const double temperature :
       {10.0, 1.0, 0.5, 0.1, 0.07, 0.05, 0.02, 0.0136, 0.0128, 0.0125, 0.01, 0.005, 0.001}) {
    CATCH_INFO("temperature " << temperature);
    const Loss matrices = [=](const Tensor& z) { return dense_nt_xent(z, temperature); };
    const double bound = std::max(2e-6, 4e-7 / temperature);
    compare(tiled(temperature), matrices, random_rows(2 * 90, 32, 2, 0), bound);
    compare(tiled(temperature), matrices, clustered_rows(90, 32, 3), 5 * bound);
  }
}

CATCH_TEST_CASE("float32 by kind of data", "[loss]") {
  const auto error = [](const Tensor& rows, double temperature) {
    const Tensor single = rows.to(torch::kFloat32);
    const Loss matrices = [=](const Tensor& z) { return dense_nt_xent(z, temperature); };
    return relative_distance(evaluate(tiled(temperature), single).gradient,
                             evaluate(matrices, single.to(torch::kFloat64)).gradient);
  };
  for (const double temperature : {0.5, 0.1, 0.07, 0.02}) {
    CATCH_INFO("temperature " << temperature);
    CATCH_CHECK(error(random_rows(2048, 128, 4, 0), temperature) <= 1e-6);
  }
  CATCH_CHECK(error(random_rows(2048, 128, 4, 0), 0.01) <= 2e-6);
  for (const double temperature : {0.5, 0.1, 0.07}) {
    CATCH_INFO("temperature " << temperature);
    CATCH_CHECK(error(aligned_rows(1024, 128, 5), temperature) <= 5e-6);
    CATCH_CHECK(error(clustered_rows(1024, 128, 6), temperature) <= 5e-6);
  }
  for (const double temperature : {0.02, 0.01}) {
    CATCH_INFO("temperature " << temperature);
    CATCH_CHECK(error(aligned_rows(1024, 128, 5), temperature) <= 5e-5);
    CATCH_CHECK(error(clustered_rows(1024, 128, 6), temperature) <= 5e-5);
  }
}

CATCH_TEST_CASE("a row by itself opposite to all others", "[loss]") {
  for (const double temperature : {0.1, 0.02, 0.0136, 0.01}) {
    CATCH_INFO("temperature " << temperature);
    Tensor rows = random_rows(2 * 40, 16, 7, 0) * 0.05 + 1;
    rows[3].neg_();
    compare(
        tiled(temperature), [=](const Tensor& z) { return dense_nt_xent(z, temperature); }, rows,
        2e-6 / temperature);
  }
}

CATCH_TEST_CASE("weights, ids and a limit on the cosine", "[loss]") {
  for (const std::int64_t n : {5, 70, 150}) {
    CATCH_INFO("N " << n);
    const Tensor rows = random_rows(2 * n, 12, 8);
    TwoViewOptions options;
    options.weights = torch::linspace(-1, 2, 2 * n, torch::kFloat64);
    const auto check = [&] {
      compare(
          tiled(0.3, options), [&](const Tensor& z) { return dense_nt_xent(z, 0.3, options); },
          rows);
    };
    check();
    options.ids = some_ids(n);
    check();
    options.cosine_limit = 0.4;
    check();
    options.ids = Tensor();
    check();
  }
}

CATCH_TEST_CASE("nothing left to compare with", "[loss]") {
  const Tensor rows = random_rows(6, 4, 9);
  TwoViewOptions options;
  options.ids = torch::zeros({6}, torch::kInt64);
  for (const auto type : {torch::kFloat64, torch::kFloat32}) {
    const Result got = evaluate(tiled(0.5, options), rows.to(type));
    CATCH_CHECK(got.loss == 0);
    CATCH_CHECK(got.gradient.abs().max().item<double>() == 0);
  }
}

CATCH_TEST_CASE("both layouts of pairs", "[loss]") {
  for (const std::int64_t n : {2, 65, 140}) {
    const Tensor rows = random_rows(2 * n, 9, 10);
    for (const Pairing pairing : {Pairing::halves, Pairing::interleaved}) {
      compare([=](const Tensor& z) { return clr::nt_xent(z, pairing, 0.2); },
              [=](const Tensor& z) { return dense_nt_xent(z, 0.2, {}, pairing); }, rows);
    }
    const Tensor interleaved =
        torch::stack({rows.narrow(0, 0, n), rows.narrow(0, n, n)}, 1).flatten(0, 1);
    CATCH_CHECK(clr::nt_xent(interleaved, Pairing::interleaved, 0.2).item<double>() ==
                Approx(clr::nt_xent(rows, Pairing::halves, 0.2).item<double>()).epsilon(1e-13));
  }
}

CATCH_TEST_CASE("the temperature's gradient", "[loss]") {
  const Tensor rows = random_rows(2 * 40, 8, 11);
  const auto [z0, z1] = halves(rows);
  const auto both_ways = [&](double temperature) {
    return clr::info_nce_both_ways(z0, z1, temperature).item<double>();
  };
  const auto two_views = [&](double temperature) {
    return clr::nt_xent(z0, z1, temperature).item<double>();
  };
  constexpr double kStep = 1e-6;
  for (const double temperature : {0.1, 0.5}) {
    Tensor tensor = torch::full({1}, temperature, torch::kFloat64).requires_grad_();
    clr::nt_xent(z0, z1, tensor).backward();
    CATCH_CHECK(
        tensor.grad().item<double>() ==
        Approx((two_views(temperature + kStep) - two_views(temperature - kStep)) / (2 * kStep))
            .epsilon(1e-7));
    tensor = torch::full({}, temperature, torch::kFloat64).requires_grad_();
    clr::info_nce_both_ways(z0, z1, tensor).backward();
    CATCH_CHECK(
        tensor.grad().item<double>() ==
        Approx((both_ways(temperature + kStep) - both_ways(temperature - kStep)) / (2 * kStep))
            .epsilon(1e-7));
  }
}

CATCH_TEST_CASE("InfoNCE within a batch is a cross-entropy over the other side", "[loss]") {
  // SimCSE's own form, eq. 1 and 5: all keys, then the negatives, are classes.
  for (const std::int64_t n : {3, 80}) {
    const auto [query, key] = halves(random_rows(2 * n, 6, 21));
    const Tensor negatives = random_rows(n + 4, 6, 22);
    for (const bool more : {false, true}) {
      CATCH_INFO("N " << n << (more ? ", negatives" : ""));
      Tensor a = query.clone().requires_grad_();
      Tensor b = key.clone().requires_grad_();
      Tensor c = negatives.clone().requires_grad_();
      const auto unit = [](const Tensor& x) { return x / x.norm(2, 1, true); };
      const Tensor classes = more ? torch::cat({unit(b), unit(c)}) : unit(b);
      const Tensor expected =
          at::cross_entropy_loss(unit(a).mm(classes.t()) / 0.05, torch::arange(n));
      expected.backward();
      Tensor x = query.clone().requires_grad_();
      Tensor y = key.clone().requires_grad_();
      Tensor z = negatives.clone().requires_grad_();
      const Tensor got = clr::info_nce_in_batch(x, y, more ? z : Tensor(), 0.05);
      got.backward();
      CATCH_CHECK(got.item<double>() == Approx(expected.item<double>()).epsilon(1e-12));
      CATCH_CHECK((x.grad() - a.grad()).abs().max().item<double>() < 1e-12);
      CATCH_CHECK((y.grad() - b.grad()).abs().max().item<double>() < 1e-12);
      if (more) CATCH_CHECK((z.grad() - c.grad()).abs().max().item<double>() < 1e-12);
    }
  }
}

CATCH_TEST_CASE("DCL, debiased and hard negatives", "[loss]") {
  for (const std::int64_t n : {3, 80}) {
    CATCH_INFO("N " << n);
    const Tensor rows = aligned_rows(n, 10, 12) + random_rows(2 * n, 10, 13);
    const double temperature = 0.3;
    const auto negatives = static_cast<double>(2 * n - 2);
    compare(
        [=](const Tensor& z) {
          const auto [z0, z1] = halves(z);
          return clr::dcl(z0, z1, temperature);
        },
        [=](const Tensor& z) {
          const Dense d = dense(z, temperature);
          return (log_sum(d.negatives, d.keep) - d.pairs).mean();
        },
        rows);
    compare(
        [=](const Tensor& z) {
          const auto [z0, z1] = halves(z);
          return clr::dclw(z0, z1, temperature, 0.4);
        },
        [=](const Tensor& z) {
          const Dense d = dense(z, temperature);
          const Tensor share = (d.pairs.detach() * (temperature / 0.4)).narrow(0, 0, n).softmax(0);
          const Tensor weight = (2 - static_cast<double>(n) * share).repeat({2});
          return (log_sum(d.negatives, d.keep) - weight * d.pairs).mean();
        },
        rows);
    // By the papers' formulas, without logarithms.
    for (const double beta : {0.0, 0.5, 1.0}) {
      for (const double prior : {0.0, 0.1, 0.6}) {
        CATCH_INFO("beta " << beta << ", prior " << prior);
        const Loss matrices = [=](const Tensor& z) {
          const Dense d = dense(z, temperature);
          const Tensor e = d.negatives.exp().masked_fill(d.keep.logical_not(), 0);
          const Tensor importance = (beta * d.negatives).exp().masked_fill(d.keep.logical_not(), 0);
          const Tensor reweighted = (importance * e).sum(1) / (importance.sum(1) / negatives);
          const Tensor positive = d.pairs.exp();
          const Tensor corrected = ((reweighted - prior * negatives * positive) / (1 - prior))
                                       .clamp_min(negatives * std::exp(-1 / temperature));
          return (-(positive / (positive + corrected)).log()).mean();
        };
        compare(
            [=](const Tensor& z) {
              const auto [z0, z1] = halves(z);
              return beta == 0 ? clr::debiased(z0, z1, temperature, prior)
                               : clr::hard_negative(z0, z1, temperature, prior, beta);
            },
            matrices, rows, 1e-4);
      }
    }
  }
}

CATCH_TEST_CASE("a queue gets no gradient and adds to the denominator", "[loss]") {
  for (const std::int64_t k : {1, 64, 700}) {
    CATCH_INFO("K " << k);
    const Tensor queue = random_rows(k, 20, 14);
    compare(
        [&](const Tensor& z) {
          const auto [query, key] = halves(z);
          return clr::info_nce(query, key, queue.to(z.scalar_type()), 0.2);
        },
        [&](const Tensor& z) {
          const auto [query, key] = halves(unit(z));
          const Tensor logits =
              torch::cat(
                  {(query * key).sum(1, true), query.mm(unit(queue.to(z.scalar_type())).t())}, 1) /
              0.2;
          return (logits.logsumexp(1) - logits.select(1, 0)).mean();
        },
        random_rows(2 * 40, 20, 15));
  }
  const Tensor rows = random_rows(8, 4, 16);
  const Tensor queue = random_rows(8, 4, 17).requires_grad_();
  const Tensor query = rows.clone().requires_grad_();
  clr::info_nce(query, rows, queue, 0.2).backward();
  CATCH_CHECK_FALSE(queue.grad().defined());
}

CATCH_TEST_CASE("two encoders, both ways", "[loss]") {
  for (const std::int64_t n : {2, 65, 600}) {
    CATCH_INFO("N " << n);
    compare(
        [](const Tensor& z) {
          const auto [z0, z1] = halves(z);
          return clr::info_nce_both_ways(z0, z1, 0.2);
        },
        [](const Tensor& z) {
          const auto [z0, z1] = halves(unit(z));
          const Tensor logits = z0.mm(z1.t()) / 0.2;
          const Tensor own = logits.diagonal();
          return ((logits.logsumexp(1) - own).mean() + (logits.logsumexp(0) - own).mean()) / 2;
        },
        random_rows(2 * n, 20, 18));
  }
}

CATCH_TEST_CASE("labels as positives", "[loss]") {
  for (const std::int64_t m : {4, 90, 260}) {
    CATCH_INFO("M " << m);
    Tensor labels = torch::arange(m, torch::kInt64).remainder(std::max<std::int64_t>(2, m / 4));
    labels[0] = -5;  // has no positive
    const Tensor others = torch::eye(m, torch::kBool).logical_not();
    const Tensor positive = (labels.unsqueeze(1) == labels) & others;
    const Tensor count = positive.sum(1).to(torch::kFloat64);
    const Tensor rows = random_rows(m, 14, 19);
    compare([&](const Tensor& z) { return clr::supcon_out(z, labels, 0.3); },
            [&](const Tensor& z) {
              const Tensor logits = unit(z).mm(unit(z).t()) / 0.3;
              const Tensor shares = logits - log_sum(logits, others).unsqueeze(1);
              const Tensor losses =
                  -shares.masked_fill(positive.logical_not(), 0).sum(1) / count.clamp_min(1);
              return losses.sum() / (count > 0).sum();
            },
            rows);
    compare([&](const Tensor& z) { return clr::supcon_in(z, labels, 0.3); },
            [&](const Tensor& z) {
              const Tensor logits = unit(z).mm(unit(z).t()) / 0.3;
              const Tensor shares = (logits - log_sum(logits, others).unsqueeze(1))
                                        .exp()
                                        .masked_fill(positive.logical_not(), 0);
              const Tensor losses =
                  -(shares.sum(1) / count.clamp_min(1)).masked_fill(count == 0, 1).log();
              return losses.sum() / (count > 0).sum();
            },
            rows);
  }
}

CATCH_TEST_CASE("ranks that own some rows each", "[loss]") {
  const std::int64_t n = 60;
  for (const auto type : {torch::kFloat64, torch::kFloat32}) {
    const Tensor rows = random_rows(2 * n, 10, 20).to(type);
    const Result whole = evaluate(tiled(0.2), rows);
    for (const std::int64_t ranks : {1, 2, 4}) {
      CATCH_INFO("ranks " << ranks);
      const Tensor x = rows.clone().requires_grad_();
      const Tensor z = clr::unit_rows(x);
      Tensor total = torch::zeros({}, torch::kFloat64);
      for (std::int64_t rank = 0; rank < ranks; ++rank) {
        const std::int64_t own = 2 * n / ranks;
        clr::ContrastiveProblem problem;
        problem.rows = z.narrow(0, rank * own, own);
        problem.columns = z;
        problem.inverse_temperature = clr::inverse_temperature(0.2, torch::kCPU);
        problem.pairing = Pairing::halves;
        problem.rows_among_columns = true;
        problem.row_offset = rank * own;
        const clr::LogSums sums = clr::log_sums(problem);
        total = total + at::softplus(sums.rows - sums.pairs, 1, 40).sum() / (2 * n);
      }
      total.backward();
      CATCH_CHECK(total.item<double>() == Approx(whole.loss).epsilon(1e-6));
      CATCH_CHECK(relative_distance(x.grad().to(torch::kFloat64), whole.gradient) <
                  (type == torch::kFloat64 ? 1e-12 : 1e-5));
    }
  }
}

CATCH_TEST_CASE("the same bytes twenty times", "[loss]") {
  const Tensor rows = random_rows(2 * 600, 32, 21).to(torch::kFloat32);
  const Result first = evaluate(tiled(0.1), rows);
  for (int run = 1; run < 20; ++run) {
    const Result again = evaluate(tiled(0.1), rows);
    CATCH_CHECK(again.loss == first.loss);
    CATCH_REQUIRE(torch::equal(again.gradient, first.gradient));
  }
}

CATCH_TEST_CASE("types of input", "[loss]") {
  const Tensor rows = random_rows(2 * 50, 16, 22);
  for (const auto type : {torch::kBFloat16, torch::kFloat16}) {
    const Tensor x = rows.to(type).requires_grad_();
    const auto [z0, z1] = halves(x);
    const Tensor loss = clr::nt_xent(z0, z1, 0.2);
    CATCH_CHECK((loss.scalar_type() == torch::kFloat32));
    loss.backward();
    CATCH_CHECK((x.grad().scalar_type() == type));
    const Result expected = evaluate([](const Tensor& z) { return dense_nt_xent(z, 0.2); },
                                     x.detach().to(torch::kFloat64));
    CATCH_CHECK(loss.item<double>() == Approx(expected.loss).epsilon(1e-6));
    CATCH_CHECK(relative_distance(x.grad().to(torch::kFloat64), expected.gradient) <
                (type == torch::kFloat16 ? 1e-3 : 1e-2));
  }
  // A long row, whose squares float32 does not hold.
  Tensor single = rows.to(torch::kFloat32);
  const double loss = evaluate(tiled(0.2), single).loss;
  single[1] *= 1e30;
  CATCH_CHECK(evaluate(tiled(0.2), single).loss == Approx(loss).epsilon(1e-6));
}

CATCH_TEST_CASE("tiles refuse what does not fit", "[loss]") {
  const Tensor z = random_rows(4, 3, 23);
  clr::ContrastiveProblem problem;
  problem.rows = clr::unit_rows(z);
  CATCH_CHECK_THROWS_WITH(clr::log_sums(problem), Catch::Contains("inverse_temperature"));
  problem.inverse_temperature = clr::inverse_temperature(0.5, torch::kCPU);
  problem.columns = torch::ones({5, 2}, torch::kFloat64);
  CATCH_CHECK_THROWS_WITH(clr::log_sums(problem), Catch::Contains("columns [C, 3]"));
  problem.columns = Tensor();
  problem.row_ids = torch::zeros({3}, torch::kInt64);
  CATCH_CHECK_THROWS_WITH(clr::log_sums(problem), Catch::Contains("row_ids int64 [4]"));
  problem.row_ids = Tensor();
  problem.row_offset = 1;
  CATCH_CHECK_THROWS_WITH(clr::log_sums(problem), Catch::Contains("row_offset"));
  problem.row_offset = 0;
  problem.rows = problem.rows.narrow(0, 0, 3);
  problem.pairing = Pairing::halves;
  CATCH_CHECK_THROWS_WITH(clr::log_sums(problem), Catch::Contains("even number"));
  CATCH_CHECK_THROWS_WITH(clr::supcon_in(z, torch::zeros({4}), 0.5),
                          Catch::Contains("labels int64"));
  CATCH_CHECK_THROWS_AS(clr::nt_xent(z, z, torch::zeros({1})), clr::Error);
  CATCH_CHECK_THROWS_AS(clr::debiased(z, z, 0.5, 1.0), clr::Error);
  CATCH_CHECK_THROWS_AS(clr::hard_negative(z, z, 0.5, 0, -1), clr::Error);

  for (const auto type : {torch::kFloat32, torch::kFloat64}) {
    const Tensor x = z.to(type).requires_grad_();
    const Tensor loss = clr::nt_xent(x, Pairing::halves, 0.5);
    CATCH_CHECK_THROWS_WITH(
        torch::autograd::grad({loss}, {x}, {}, std::nullopt, /*create_graph=*/true),
        Catch::Contains("create_graph"));
  }
}
