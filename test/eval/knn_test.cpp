// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/knn.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "support/catch.h"

namespace clr {
namespace {

using Matrix = std::vector<std::vector<double>>;

Matrix rows_of(const torch::Tensor& features) {
  const torch::Tensor values = features.to(torch::kFloat64).contiguous();
  const auto* data = values.const_data_ptr<double>();
  Matrix rows;
  for (std::int64_t i = 0; i < values.size(0); ++i) {
    rows.emplace_back(data + i * values.size(1), data + (i + 1) * values.size(1));
  }
  return rows;
}

std::vector<std::int64_t> list_of(const torch::Tensor& labels) {
  const torch::Tensor own = labels.contiguous();
  return {own.const_data_ptr<std::int64_t>(), own.const_data_ptr<std::int64_t>() + own.numel()};
}

/// The definition, in float64, one pair of rows after the other. self >= 0: that training row is
/// out.
std::int64_t predict(const Matrix& train, const std::vector<std::int64_t>& labels,
                     const std::vector<double>& row, std::int64_t self, std::int64_t k,
                     KnnWeighting weighting, double temperature) {
  const auto norm = [](const std::vector<double>& x) {
    double sum = 0.0;
    for (const double value : x) sum += value * value;
    return std::sqrt(sum);
  };
  std::vector<std::pair<double, std::size_t>> order;
  for (std::size_t i = 0; i < train.size(); ++i) {
    if (static_cast<std::int64_t>(i) == self) continue;
    double dot = 0.0;
    for (std::size_t j = 0; j < row.size(); ++j) dot += row[j] * train[i][j];
    order.emplace_back(-dot / (norm(row) * norm(train[i])), i);
  }
  std::sort(order.begin(), order.end());
  std::map<std::int64_t, double> votes;
  for (std::size_t i = 0; i < std::min<std::size_t>(order.size(), static_cast<std::size_t>(k));
       ++i) {
    votes[labels[order[i].second]] +=
        weighting == KnnWeighting::majority ? 1.0 : std::exp(-order[i].first / temperature);
  }
  const auto winner = std::max_element(
      votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return winner->first;
}

double brute_force(const torch::Tensor& train, const torch::Tensor& train_labels,
                   const torch::Tensor& test, const torch::Tensor& test_labels, bool leave_one_out,
                   std::int64_t k, KnnWeighting weighting, double temperature) {
  const Matrix near = rows_of(train);
  const Matrix asked = rows_of(test);
  const auto near_labels = list_of(train_labels);
  const auto asked_labels = list_of(test_labels);
  std::int64_t correct = 0;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const std::int64_t self = leave_one_out ? static_cast<std::int64_t>(i) : -1;
    correct +=
        predict(near, near_labels, asked[i], self, k, weighting, temperature) == asked_labels[i]
            ? 1
            : 0;
  }
  return static_cast<double>(correct) / static_cast<double>(asked.size());
}

/// Clouds around `classes` centres, wide enough to overlap.
struct Sample {
  torch::Tensor features;
  torch::Tensor labels;
};

Sample clouds(std::int64_t n, std::int64_t dim, std::int64_t classes, std::uint64_t seed) {
  torch::manual_seed(99);
  const torch::Tensor centres = at::randn({classes, dim});
  torch::manual_seed(seed);
  const torch::Tensor labels = at::randint(classes, {n}, torch::kInt64);
  return {centres.index_select(0, labels) + 1.5 * at::randn({n, dim}), labels};
}

KnnConfig config_of(const std::vector<std::int64_t>& k, double temperature = 0.1) {
  KnnConfig config;
  config.k = k;
  config.metric = {KnnMetric::cosine};
  config.weighting = {KnnWeighting::majority, KnnWeighting::temperature};
  config.temperature = temperature;
  config.temperatures = {};
  return config;
}

}  // namespace

CATCH_TEST_CASE("kNN agrees with the definition in float64", "[eval]") {
  const Sample train = clouds(300, 12, 5, 1);
  const Sample test = clouds(157, 12, 5, 2);
  for (const double temperature : {0.1, 1.0}) {
    const auto results = knn_grid(train.features, train.labels, test.features, test.labels, 5,
                                  config_of({10, 1, 200, 1000}, temperature));
    CATCH_REQUIRE(results.size() == 8);
    std::size_t place = 0;
    for (const std::int64_t k : {10, 1, 200, 1000}) {
      for (const auto weighting : {KnnWeighting::majority, KnnWeighting::temperature}) {
        CATCH_CHECK(results[place].k == k);
        CATCH_CHECK(results[place].weighting == weighting);
        CATCH_CHECK(results[place].top1 == brute_force(train.features, train.labels, test.features,
                                                       test.labels, false, k, weighting,
                                                       temperature));
        ++place;
      }
    }
    CATCH_CHECK(results[0].top1 > 0.4);
  }
}

CATCH_TEST_CASE("the whole grid of kNN is each of its cells alone", "[eval]") {
  const Sample train = clouds(300, 12, 5, 1);
  const Sample test = clouds(157, 12, 5, 2);
  KnnConfig config;
  config.k = {10, 1, 1000};
  config.temperatures = {0.02, 0.1, 1.0};  // 0.1 is knn.temperature too, and comes once
  const auto grid = knn_grid(train.features, train.labels, test.features, test.labels, 5, config);
  // Cosine: majority, three temperatures, distance; Euclidean: majority, distance.
  CATCH_REQUIRE(grid.size() == 3 * 7);
  CATCH_CHECK(grid[0].metric == KnnMetric::cosine);
  CATCH_CHECK(grid[0].weighting == KnnWeighting::majority);
  for (const KnnResult& cell : grid) {
    KnnConfig one = config_of({cell.k}, cell.temperature > 0 ? cell.temperature : 0.1);
    one.metric = {cell.metric};
    one.weighting = {cell.weighting};
    const auto alone = knn_grid(train.features, train.labels, test.features, test.labels, 5, one);
    CATCH_REQUIRE(alone.size() == 1);
    CATCH_CHECK(alone[0].top1 == cell.top1);
    if (cell.metric != KnnMetric::cosine || cell.weighting == KnnWeighting::distance) continue;
    CATCH_CHECK(cell.top1 == brute_force(train.features, train.labels, test.features, test.labels,
                                         false, cell.k, cell.weighting, one.temperature));
  }
}

CATCH_TEST_CASE("neighbours at distance 0 outvote all others", "[eval]") {
  // Two copies of the query with label 2 among many near rows of label 0.
  torch::manual_seed(5);
  const torch::Tensor query = at::randn({1, 6});
  const torch::Tensor near = query + 1e-2 * at::randn({30, 6});
  const torch::Tensor train = at::cat({near, query, query});
  const torch::Tensor labels = at::cat({at::zeros({30}, torch::kInt64), at::full({2}, 2)});
  KnnConfig config = config_of({32});
  config.metric = {KnnMetric::cosine, KnnMetric::euclidean};
  config.weighting = {KnnWeighting::distance, KnnWeighting::majority};
  const auto grid = knn_grid(train, labels, query, at::full({1}, 2), 3, config);
  CATCH_REQUIRE(grid.size() == 4);
  for (const KnnResult& cell : grid)
    CATCH_CHECK(cell.top1 == (cell.weighting == KnnWeighting::distance ? 1.0 : 0.0));
}

CATCH_TEST_CASE("kNN leave-one-out agrees with the definition in float64", "[eval]") {
  const Sample set = clouds(211, 8, 4, 3);
  for (const std::int64_t k : {1, 10, 500}) {
    for (const auto weighting : {KnnWeighting::majority, KnnWeighting::temperature}) {
      CATCH_CHECK(
          knn_leave_one_out(set.features, set.labels, 4, k, weighting, 0.1) ==
          brute_force(set.features, set.labels, set.features, set.labels, true, k, weighting, 0.1));
    }
  }
}

CATCH_TEST_CASE("kNN takes the smaller training index at equal similarity", "[eval]") {
  // Four equal training rows with different labels: k = 1 must see the first, k = 3 the first
  // three.
  const torch::Tensor test = at::tensor({1.0F, 0.5F}).reshape({1, 2});
  const torch::Tensor train = test.expand({4, 2}).contiguous();
  const auto winner = [&](const std::vector<std::int64_t>& labels, std::int64_t k) {
    for (std::int64_t c = 0; c < 4; ++c) {
      const auto results = knn_grid(train, at::tensor(labels), test, at::tensor({c}, torch::kInt64),
                                    4, config_of({k}));
      CATCH_CHECK(results[0].top1 == results[1].top1);
      if (results[0].top1 == 1.0) return c;
    }
    return std::int64_t{-1};
  };
  CATCH_CHECK(winner({3, 1, 1, 1}, 1) == 3);
  CATCH_CHECK(winner({1, 3, 1, 1}, 1) == 1);
  CATCH_CHECK(winner({3, 2, 3, 2}, 3) == 3);
  CATCH_CHECK(winner({2, 3, 3, 2}, 3) == 3);
}

CATCH_TEST_CASE("kNN takes the smallest label at equal votes", "[eval]") {
  const torch::Tensor test = at::tensor({1.0F, 0.0F}).reshape({1, 2});
  const torch::Tensor train = at::tensor({1.0F, 0.1F, 1.0F, 0.2F, 1.0F, 0.3F, 1.0F, 0.4F});
  // Nearest first: labels 2, 1, 1, 2. Majority of four is a tie that 1 wins, though 2 is nearest.
  const torch::Tensor labels = at::tensor({2, 1, 1, 2}, torch::kInt64);
  KnnConfig config = config_of({1, 2, 4});
  config.weighting = {KnnWeighting::majority};
  const auto results =
      knn_grid(train.reshape({4, 2}), labels, test, at::tensor({1}, torch::kInt64), 3, config);
  CATCH_CHECK(results[0].top1 == 0.0);
  CATCH_CHECK(results[1].top1 == 1.0);
  CATCH_CHECK(results[2].top1 == 1.0);
}

CATCH_TEST_CASE("a zero of either sign ties", "[eval]") {
  // Similarities -0 and +0: the smaller index must win, not the sign.
  const torch::Tensor train = at::tensor({0.0F, -1.0F, 0.0F, 1.0F}).reshape({2, 2});
  const torch::Tensor test = at::tensor({1.0F, 0.0F}).reshape({1, 2});
  const auto results = knn_grid(train, at::tensor({1, 0}, torch::kInt64), test,
                                at::tensor({1}, torch::kInt64), 2, config_of({1}));
  CATCH_CHECK(results[0].top1 == 1.0);
}

CATCH_TEST_CASE("kNN leaves out the row itself, not its equals", "[eval]") {
  // Pairs of equal rows with equal labels: each is judged right by its twin.
  const torch::Tensor half = clouds(20, 6, 3, 4).features;
  const torch::Tensor labels = at::arange(20).remainder(3);
  CATCH_CHECK(knn_leave_one_out(at::cat({half, half}), at::cat({labels, labels}), 3, 1,
                                KnnWeighting::majority, 0.1) == 1.0);
  // Were a row its own neighbour, this would be 1: two rows of different labels.
  CATCH_CHECK(knn_leave_one_out(half.narrow(0, 0, 2), at::tensor({0, 1}, torch::kInt64), 2, 1,
                                KnnWeighting::majority, 0.1) == 0.0);
}

CATCH_TEST_CASE("kNN does not depend on the features' lengths", "[eval]") {
  const Sample train = clouds(120, 7, 3, 5);
  const Sample test = clouds(60, 7, 3, 6);
  const auto plain =
      knn_grid(train.features, train.labels, test.features, test.labels, 3, config_of({5}, 0.01));
  // Powers of two: the same bits after normalising.
  const torch::Tensor scale = at::randint(-60, 60, {120, 1}, torch::kFloat32).exp2();
  const auto scaled = knn_grid(train.features * scale, train.labels, test.features * 0x1p-50,
                               test.labels, 3, config_of({5}, 0.01));
  CATCH_CHECK(plain[0].top1 == scaled[0].top1);
  CATCH_CHECK(plain[1].top1 == scaled[1].top1);
  // A row of zeros is equally far from all: no not-a-numbers, the smallest indices decide.
  const auto zero = knn_grid(train.features, train.labels, at::zeros({1, 7}),
                             train.labels.narrow(0, 0, 1), 3, config_of({1}));
  CATCH_CHECK(zero[0].top1 == 1.0);
}

CATCH_TEST_CASE("a very low temperature leaves the nearest alone to vote", "[eval]") {
  const Sample train = clouds(150, 7, 3, 7);
  const Sample test = clouds(80, 7, 3, 8);
  const auto cold = knn_grid(train.features, train.labels, test.features, test.labels, 3,
                             config_of({1, 50}, 1e-7));
  CATCH_CHECK(cold[3].top1 == cold[0].top1);
}

CATCH_TEST_CASE("kNN in several blocks equals kNN in one", "[eval]") {
  // 5,000 training rows make blocks of 3,355 test rows.
  const Sample train = clouds(5000, 4, 3, 9);
  const Sample test = clouds(4000, 4, 3, 10);
  const auto whole =
      knn_grid(train.features, train.labels, test.features, test.labels, 3, config_of({20}));
  double correct = 0.0;
  for (std::int64_t begin = 0; begin < 4000; begin += 1000) {
    correct += 1000 * knn_grid(train.features, train.labels, test.features.narrow(0, begin, 1000),
                               test.labels.narrow(0, begin, 1000), 3, config_of({20}))[1]
                          .top1;
  }
  // Last bits of a similarity may change with the shape of a product.
  CATCH_CHECK(whole[1].top1 * 4000 == Approx(correct).margin(4.0));
}

CATCH_TEST_CASE("nearest neighbours are those of the definition", "[eval]") {
  const Sample set = clouds(200, 6, 3, 11);
  const Sample queries = clouds(5, 6, 3, 12);
  const Neighbors found = nearest_neighbors(set.features, queries.features, 4);
  const Matrix rows = rows_of(set.features);
  const Matrix asked = rows_of(queries.features);
  for (std::size_t q = 0; q < asked.size(); ++q) {
    std::vector<std::pair<double, std::int64_t>> order;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      double dot = 0.0;
      double squares[2] = {0.0, 0.0};
      for (std::size_t j = 0; j < rows[i].size(); ++j) {
        dot += rows[i][j] * asked[q][j];
        squares[0] += rows[i][j] * rows[i][j];
        squares[1] += asked[q][j] * asked[q][j];
      }
      order.emplace_back(-dot / std::sqrt(squares[0] * squares[1]), i);
    }
    std::sort(order.begin(), order.end());
    for (std::int64_t k = 0; k < 4; ++k) {
      const auto row = static_cast<std::int64_t>(q);
      CATCH_CHECK(found.rows[row][k].item<std::int64_t>() ==
                  order[static_cast<std::size_t>(k)].second);
      CATCH_CHECK(found.cosines[row][k].item<double>() ==
                  Approx(-order[static_cast<std::size_t>(k)].first).margin(1e-5));
    }
  }
  // Fewer rows than asked for.
  CATCH_CHECK(nearest_neighbors(set.features.narrow(0, 0, 2), queries.features, 4).rows.size(1) ==
              2);
}

CATCH_TEST_CASE("kNN refuses labels and shapes that do not fit", "[eval]") {
  const torch::Tensor x = at::ones({3, 2});
  const torch::Tensor y = at::tensor({0, 1, 2}, torch::kInt64);
  CATCH_CHECK_THROWS_AS(knn_grid(x, y, x, y, 2, {}), c10::Error);
  CATCH_CHECK_THROWS_AS(knn_grid(x, y - 1, x, y, 3, {}), c10::Error);
  CATCH_CHECK_THROWS_AS(knn_grid(x, y, at::ones({3, 4}), y, 3, {}), c10::Error);
  CATCH_CHECK_THROWS_AS(
      knn_leave_one_out(x.narrow(0, 0, 1), y.narrow(0, 0, 1), 3, 1, KnnWeighting::majority, 0.1),
      c10::Error);
}

}  // namespace clr
