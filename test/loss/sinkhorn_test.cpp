// SPDX-License-Identifier: Apache-2.0
// Mistakes that must show here: samples scaled before prototypes, an iteration too many or too few,
// scores * epsilon, no last scaling, exponentials that overflow or vanish, products in bfloat16.
#include "clr/loss/sinkhorn.h"

#include <torch/types.h>

#include <cmath>
#include <limits>

#include "clr/core/autocast.h"
#include "clr/core/error.h"
#include "reference/swav_reference.h"
#include "support/catch.h"

namespace {

using clr::sinkhorn;
using torch::Tensor;

/// Scores of random unit rows.
Tensor random_scores(std::int64_t n, std::int64_t k, int seed) {
  torch::manual_seed(static_cast<std::uint64_t>(seed));
  const Tensor rows = torch::randn({n, 8}, torch::kFloat64);
  const Tensor prototypes = torch::randn({k, 8}, torch::kFloat64);
  return (rows / rows.norm(2, 1, true)).mm((prototypes / prototypes.norm(2, 1, true)).t());
}

Tensor reference(const Tensor& scores, double epsilon, int iterations) {
  clr::test::Matrix rows;
  for (std::int64_t i = 0; i < scores.size(0); ++i) {
    const auto* row = scores[i].data_ptr<double>();
    rows.emplace_back(row, row + scores.size(1));
  }
  Tensor codes = torch::empty_like(scores);
  const auto expected = clr::test::sinkhorn_reference(rows, epsilon, iterations);
  for (std::int64_t i = 0; i < scores.size(0); ++i) {
    for (std::int64_t j = 0; j < scores.size(1); ++j) {
      codes[i][j] = expected[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
    }
  }
  return codes;
}

double largest(const Tensor& x) { return x.abs().max().item<double>(); }

}  // namespace

CATCH_TEST_CASE("codes equal the reference after each number of iterations", "[loss]") {
  for (const auto& [n, k] : {std::pair{9, 5}, {5, 9}, {32, 7}, {1, 4}}) {
    for (const double epsilon : {0.03, 0.05, 1.0}) {
      for (const int iterations : {1, 2, 3, 10}) {
        CATCH_INFO(n << " x " << k << ", epsilon " << epsilon << ", " << iterations);
        const Tensor scores = random_scores(n, k, 3);
        const Tensor expected = reference(scores, epsilon, iterations);
        const Tensor exact = sinkhorn(scores, epsilon, iterations);
        CATCH_CHECK(exact.scalar_type() == torch::kFloat64);
        CATCH_CHECK(largest(exact - expected) < 1e-13);
        const Tensor single = sinkhorn(scores.to(torch::kFloat32), epsilon, iterations);
        CATCH_CHECK(single.scalar_type() == torch::kFloat32);
        CATCH_CHECK(largest(single - expected) < 1e-5);
      }
    }
  }
  // Each iteration tells on the codes, so that the number of them can be wrong.
  const Tensor scores = random_scores(32, 7, 3);
  CATCH_CHECK(largest(reference(scores, 0.05, 2) - reference(scores, 0.05, 3)) > 1e-3);
}

CATCH_TEST_CASE("a sample's codes sum to 1, a prototype's come to N / K", "[loss]") {
  const Tensor scores = random_scores(30, 6, 5).to(torch::kFloat32);
  for (const int iterations : {1, 3}) {
    const Tensor codes = sinkhorn(scores, 0.05, iterations);
    CATCH_CHECK(largest(codes.sum(1) - 1) < 1e-6);
    CATCH_CHECK(codes.min().item<double>() >= 0);
    CATCH_CHECK(largest(codes.sum(0) - 5) > 1e-3);
  }
  const Tensor codes = sinkhorn(scores, 0.05, 500);
  CATCH_CHECK(largest(codes.sum(1) - 1) < 1e-6);
  CATCH_CHECK(largest(codes.sum(0) - 5) < 1e-4);
}

CATCH_TEST_CASE("codes of a collapsed batch are flat, of a settled one hard", "[loss]") {
  const Tensor same = random_scores(1, 6, 5).expand({12, 6});
  CATCH_CHECK(largest(sinkhorn(same, 0.05, 3) - 1.0 / 6) < 1e-12);
  const Tensor settled = torch::eye(6).repeat({2, 1});
  CATCH_CHECK(largest(sinkhorn(settled, 0.005, 3) - settled) < 1e-12);
}

CATCH_TEST_CASE("scores / epsilon may be large", "[loss]") {
  const Tensor scores = random_scores(24, 10, 7).to(torch::kFloat32);
  // exp(1 / 1e-4) and exp(-1 / 1e-4) are no numbers of any type.
  for (const double epsilon : {1e-2, 1e-3, 1e-4}) {
    for (const int iterations : {1, 3, 200}) {
      const Tensor codes = sinkhorn(scores, epsilon, iterations);
      CATCH_INFO(epsilon << " " << iterations);
      CATCH_CHECK(codes.isfinite().all().item<bool>());
      CATCH_CHECK(largest(codes.sum(1) - 1) < 1e-5);
    }
  }
  // A number added to all scores, or to a sample's or a prototype's: codes are the same in the end.
  const Tensor expected = sinkhorn(scores, 0.05, 200);
  CATCH_CHECK(largest(sinkhorn(scores + 16, 0.05, 200) - expected) < 1e-3);
  for (const double offset : {-16.0, 16.0}) {
    Tensor sample = scores.clone();
    sample[3] += offset;
    CATCH_CHECK(largest(sinkhorn(sample, 0.05, 200) - expected) < 1e-3);
    Tensor prototype = scores.clone();
    prototype.select(1, 3) += offset;
    CATCH_CHECK(largest(sinkhorn(prototype, 0.05, 200) - expected) < 1e-3);
  }
}

CATCH_TEST_CASE("codes are float32 and have no gradient, whatever surrounds them", "[loss]") {
  const Tensor scores = random_scores(24, 10, 7).to(torch::kFloat32);
  const Tensor expected = sinkhorn(scores, 0.05, 3);
  const Tensor half = scores.to(torch::kBFloat16);
  {
    const clr::BFloat16Autocast autocast(torch::kCPU, true);
    CATCH_CHECK(torch::equal(sinkhorn(scores, 0.05, 3), expected));
    CATCH_CHECK(torch::equal(sinkhorn(half, 0.05, 3), sinkhorn(half.to(torch::kFloat32), 0.05, 3)));
  }
  const Tensor tracked = scores.clone().requires_grad_();
  CATCH_CHECK_FALSE(sinkhorn(tracked, 0.05, 3).requires_grad());
  CATCH_CHECK(torch::equal(tracked.detach(), scores));
}

CATCH_TEST_CASE("what sinkhorn refuses", "[loss]") {
  const Tensor scores = random_scores(4, 3, 1);
  for (const double epsilon : {0.0, -1.0, std::numeric_limits<double>::infinity(),
                               std::numeric_limits<double>::quiet_NaN()}) {
    CATCH_CHECK_THROWS_AS(sinkhorn(scores, epsilon, 3), clr::Error);
  }
  CATCH_CHECK_THROWS_AS(sinkhorn(scores, 0.05, 0), clr::Error);
  CATCH_CHECK_THROWS_AS(sinkhorn(scores[0], 0.05, 3), c10::Error);
  CATCH_CHECK_THROWS_AS(sinkhorn(scores.to(torch::kInt64), 0.05, 3), c10::Error);
}
