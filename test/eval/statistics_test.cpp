// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/statistics.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "support/catch.h"

namespace clr {
namespace {

std::vector<std::int64_t> labels_of(const std::vector<std::int64_t>& counts) {
  std::vector<std::int64_t> labels;
  // Mixed, so that rows and classes do not run in parallel.
  for (std::int64_t round = 0; round < *std::max_element(counts.begin(), counts.end()); ++round) {
    for (std::size_t c = 0; c < counts.size(); ++c) {
      if (round < counts[c]) labels.push_back(static_cast<std::int64_t>(c));
    }
  }
  return labels;
}

std::map<std::int64_t, std::int64_t> count(const std::vector<std::int64_t>& labels,
                                           const std::vector<std::int64_t>& rows) {
  std::map<std::int64_t, std::int64_t> counts;
  for (const auto row : rows) ++counts[labels.at(static_cast<std::size_t>(row))];
  return counts;
}

bool strictly_rising(const std::vector<std::int64_t>& rows) {
  return std::adjacent_find(rows.begin(), rows.end(), std::greater_equal<>()) == rows.end();
}

bool within(const std::vector<std::int64_t>& small, const std::vector<std::int64_t>& large) {
  return std::includes(large.begin(), large.end(), small.begin(), small.end());
}

using Counts = std::map<std::int64_t, std::int64_t>;

}  // namespace

CATCH_TEST_CASE("top-k accuracy counts, ties for the smaller class", "[eval]") {
  const torch::Tensor p = at::tensor({0.1, 0.2, 0.7,    //
                                      0.5, 0.25, 0.25,  //
                                      0.4, 0.4, 0.2,    //
                                      0.3, 0.3, 0.4})
                              .reshape({4, 3});
  const auto top = [&](const std::vector<std::int64_t>& labels, std::int64_t k) {
    return top_k_accuracy(p, at::tensor(labels), k);
  };
  CATCH_CHECK(top({2, 0, 0, 2}, 1) == 1.0);
  CATCH_CHECK(top({2, 0, 1, 0}, 1) == 0.5);
  CATCH_CHECK(top({1, 1, 1, 0}, 2) == 1.0);
  CATCH_CHECK(top({0, 2, 2, 1}, 2) == 0.0);
  CATCH_CHECK(top({0, 2, 2, 1}, 3) == 1.0);
  CATCH_CHECK(top({0, 2, 2, 1}, 5) == 1.0);
}

CATCH_TEST_CASE("Wilson's interval has its closed values", "[eval]") {
  const double z2 = 1.959963984540054 * 1.959963984540054;
  // Nothing right: [0, z^2 / (n + z^2)]; all right: its mirror image.
  const auto none = wilson_interval(0, 10);
  CATCH_CHECK(none[0] == 0.0);
  CATCH_CHECK(none[1] == Approx(z2 / (10.0 + z2)).epsilon(1e-12));
  const auto all = wilson_interval(10, 10);
  CATCH_CHECK(all[0] == Approx(10.0 / (10.0 + z2)).epsilon(1e-12));
  CATCH_CHECK(all[1] == 1.0);
  // Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 and 15 of 148.
  const auto first = wilson_interval(81, 263);
  CATCH_CHECK(first[0] == Approx(0.2553).margin(5e-5));
  CATCH_CHECK(first[1] == Approx(0.3662).margin(5e-5));
  const auto second = wilson_interval(15, 148);
  CATCH_CHECK(second[0] == Approx(0.0624).margin(5e-5));
  CATCH_CHECK(second[1] == Approx(0.1605).margin(5e-5));
  CATCH_CHECK(wilson_interval(0, 0) == std::array<double, 2>{0.0, 1.0});
  // The ends solve (p - q)^2 = z^2 q (1 - q) / n.
  for (const double q : wilson_interval(3731, 10000)) {
    CATCH_CHECK(std::pow(0.3731 - q, 2) == Approx(z2 * q * (1.0 - q) / 10000.0).epsilon(1e-9));
  }
}

CATCH_TEST_CASE("Student's quantiles are the tables'", "[eval]") {
  const std::map<std::int64_t, double> table = {
      {1, 12.7062047364}, {2, 4.3026527299},  {3, 3.1824463053},   {4, 2.7764451052},
      {5, 2.5705818366},  {9, 2.2621571628},  {10, 2.2281388520},  {29, 2.0452296421},
      {30, 2.0422724563}, {99, 1.9842169516}, {1000, 1.9623390808}};
  for (const auto& [degrees, value] : table) {
    CATCH_CHECK(student_t(degrees, 0.95) == Approx(value).epsilon(1e-9));
  }
  // scipy.stats.t.ppf(0.995, [2, 7])
  CATCH_CHECK(student_t(2, 0.99) == Approx(9.92484320091807).epsilon(1e-9));
  CATCH_CHECK(student_t(7, 0.99) == Approx(3.4994832973505).epsilon(1e-9));
}

CATCH_TEST_CASE("a summary holds mean, deviation and Student's interval", "[eval]") {
  const Summary five = summarize({1.0, 2.0, 3.0, 4.0, 5.0});
  CATCH_CHECK(five.mean == Approx(3.0));
  CATCH_CHECK(five.deviation == Approx(std::sqrt(2.5)));
  const double half = 2.776445105 * std::sqrt(2.5 / 5.0);
  CATCH_CHECK(five.ci95[0] == Approx(3.0 - half).epsilon(1e-8));
  CATCH_CHECK(five.ci95[1] == Approx(3.0 + half).epsilon(1e-8));
  const Summary one = summarize({0.25});
  CATCH_CHECK(one.mean == 0.25);
  CATCH_CHECK(one.deviation == 0.0);
  CATCH_CHECK(one.ci95 == std::array<double, 2>{0.25, 0.25});
  // Nearly equal large values: no cancellation.
  CATCH_CHECK(summarize({1e9, 1e9 + 1.0, 1e9 + 2.0}).deviation == Approx(1.0));
}

CATCH_TEST_CASE("subsets by count are balanced, seeded and nested", "[eval]") {
  const auto labels = labels_of({50, 20, 3});
  const auto small = per_class_subset(labels, 2, 7);
  const auto middle = per_class_subset(labels, 5, 7);
  const auto large = per_class_subset(labels, 25, 7);
  CATCH_CHECK(count(labels, small) == Counts{{0, 2}, {1, 2}, {2, 2}});
  CATCH_CHECK(count(labels, middle) == Counts{{0, 5}, {1, 5}, {2, 3}});
  CATCH_CHECK(count(labels, large) == Counts{{0, 25}, {1, 20}, {2, 3}});
  CATCH_CHECK(strictly_rising(small));
  CATCH_CHECK(strictly_rising(large));
  CATCH_CHECK(within(small, middle));
  CATCH_CHECK(within(middle, large));
  CATCH_CHECK(per_class_subset(labels, 5, 7) == middle);
  CATCH_CHECK(per_class_subset(labels, 5, 8) != middle);
}

CATCH_TEST_CASE("subsets by fraction are balanced, seeded and nested", "[eval]") {
  const auto labels = labels_of({50, 20, 3});
  std::vector<std::int64_t> before;
  for (const double fraction : {0.01, 0.05, 0.1, 0.5, 0.99, 1.0}) {
    const auto rows = fraction_subset(labels, fraction, 7);
    const auto share = [&](int n) { return std::max<std::int64_t>(1, std::llround(fraction * n)); };
    CATCH_CHECK(count(labels, rows) == Counts{{0, share(50)}, {1, share(20)}, {2, share(3)}});
    CATCH_CHECK(strictly_rising(rows));
    CATCH_CHECK(within(before, rows));
    before = rows;
  }
  CATCH_CHECK(before.size() == labels.size());
  CATCH_CHECK(fraction_subset(labels, 0.1, 7) != fraction_subset(labels, 0.1, 8));
}

CATCH_TEST_CASE("a class keeps its choice when other classes change", "[eval]") {
  // Rows 0, 3, 6 ... are class 0 in both.
  std::vector<std::int64_t> three;
  std::vector<std::int64_t> two;
  for (int i = 0; i < 90; ++i) {
    three.push_back(i % 3);
    two.push_back(i % 3 == 0 ? 0 : 1);
  }
  const auto rows_of_zero = [](std::vector<std::int64_t> rows) {
    std::erase_if(rows, [](std::int64_t row) { return row % 3 != 0; });
    return rows;
  };
  CATCH_CHECK(rows_of_zero(per_class_subset(three, 4, 1)) ==
              rows_of_zero(per_class_subset(two, 4, 1)));
}

CATCH_TEST_CASE("subsets are spread over the rows", "[eval]") {
  const std::vector<std::int64_t> labels(1000, 0);
  std::vector<int> chosen(1000, 0);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    for (const auto row : per_class_subset(labels, 100, seed)) ++chosen[static_cast<size_t>(row)];
  }
  // Each row is Binomial(200, 0.1): mean 20, deviation 4.2; six deviations either way.
  CATCH_CHECK(*std::max_element(chosen.begin(), chosen.end()) < 46);
  CATCH_CHECK(*std::min_element(chosen.begin(), chosen.end()) > 0);
}

CATCH_TEST_CASE("a split is stratified, seeded, complete and nested", "[eval]") {
  const auto labels = labels_of({40, 10, 2, 1});
  std::vector<std::int64_t> before;
  for (const double fraction : {0.01, 0.2, 0.5, 0.999}) {
    const Split split = stratified_split(labels, fraction, 3);
    const auto share = [&](std::int64_t n) {
      return std::min(n - 1, std::max<std::int64_t>(1, std::llround(fraction * double(n))));
    };
    CATCH_CHECK(count(labels, split.second) == Counts{{0, share(40)}, {1, share(10)}, {2, 1}});
    CATCH_CHECK(strictly_rising(split.first));
    CATCH_CHECK(strictly_rising(split.second));
    std::vector<std::int64_t> all;
    std::merge(split.first.begin(), split.first.end(), split.second.begin(), split.second.end(),
               std::back_inserter(all));
    CATCH_CHECK(all.size() == labels.size());
    CATCH_CHECK(strictly_rising(all));
    CATCH_CHECK(within(before, split.second));
    before = split.second;
  }
  CATCH_CHECK(stratified_split(labels, 0.2, 3).second != stratified_split(labels, 0.2, 4).second);
}

CATCH_TEST_CASE("folds are stratified, seeded and of one size", "[eval]") {
  const auto labels = labels_of({40, 10, 3, 1});
  const auto folds = stratified_folds(labels, 4, 3);
  CATCH_REQUIRE(folds.size() == labels.size());
  std::map<std::int64_t, std::vector<std::int64_t>> of_class;
  std::vector<std::int64_t> all(4, 0);
  for (std::size_t i = 0; i < folds.size(); ++i) {
    CATCH_REQUIRE((folds[i] >= 0 && folds[i] < 4));
    auto& own = of_class[labels[i]];
    own.resize(4, 0);
    ++own[static_cast<std::size_t>(folds[i])];
    ++all[static_cast<std::size_t>(folds[i])];
  }
  of_class[-1] = all;
  for (const auto& [label, sizes] : of_class) {
    const auto [least, most] = std::minmax_element(sizes.begin(), sizes.end());
    CATCH_CHECK(*most - *least <= 1);
  }
  CATCH_CHECK(stratified_folds(labels, 4, 3) == folds);
  CATCH_CHECK(stratified_folds(labels, 4, 4) != folds);
}

}  // namespace clr
