// SPDX-License-Identifier: Apache-2.0
// Mistakes that must show here: ties by order instead of their mean rank, the formula for ranks without
// ties, an interval of the mean instead of the correlation.
#include "clr/eval/pair_similarity.h"

#include <catch2/catch.hpp>

#include <cmath>

using clr::agree_on_pairs;
using clr::mean_ranks;
using clr::pearson;
using clr::spearman;

TEST_CASE("equal values have their mean rank", "[eval]") {
  CHECK(mean_ranks({10, 30, 20, 20, 5}) == std::vector<double>{2, 5, 3.5, 3.5, 1});
  CHECK(mean_ranks({1, 1, 1}) == std::vector<double>{2, 2, 2});
}

TEST_CASE("correlations of pairs are SciPy's", "[eval]") {
  // scipy.stats 1.17.1: spearmanr and pearsonr of these.
  const std::vector<double> a{0.1, 0.4, 0.35, 0.8, 0.4, 0.9, -0.2, 0.4};
  const std::vector<double> b{0.0, 2.5, 2.5, 4.0, 1.0, 5.0, 1.0, 3.2};
  CHECK(spearman(a, b) == Approx(0.8395701571521512).margin(1e-12));
  CHECK(pearson(a, b) == Approx(0.8488961467240932).margin(1e-12));
  CHECK(spearman(a, a) == Approx(1.0));
  CHECK(pearson({1, 1, 1}, {1, 2, 3}) == 0.0);
}

TEST_CASE("the bootstrap's interval is about the correlation's own error", "[eval]") {
  // A line with noise: by Fisher's z the error of a correlation r of n pairs is (1 - r^2) / sqrt(n).
  std::vector<double> a;
  std::vector<double> b;
  for (int i = 0; i < 400; ++i) {
    a.push_back(i % 40);
    b.push_back(i % 40 + 25.0 * std::sin(i * 12.9898));
  }
  const auto result = agree_on_pairs(a, b, 1);
  CHECK(result.pairs == 400);
  const double error = (1 - result.spearman * result.spearman) / std::sqrt(400.0);
  CHECK(result.spearman_ci95[0] < result.spearman);
  CHECK(result.spearman_ci95[1] > result.spearman);
  const double width = result.spearman_ci95[1] - result.spearman_ci95[0];
  CHECK(width > 2 * 1.96 * error * 0.7);
  CHECK(width < 2 * 1.96 * error * 1.4);
  CHECK(agree_on_pairs(a, b, 1).spearman_ci95 == result.spearman_ci95);
}
