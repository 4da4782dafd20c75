// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/linear_probe.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "clr/core/error.h"
#include "clr/eval/statistics.h"
#include "support/catch.h"

namespace clr {
namespace {

struct Sample {
  torch::Tensor features;
  torch::Tensor labels;
};

/// Overlapping clouds whose features have means and deviations far apart.
Sample clouds(std::int64_t n, std::int64_t dim, std::int64_t classes, std::uint64_t seed) {
  torch::manual_seed(17);
  const torch::Tensor centres = at::randn({classes, dim});
  const torch::Tensor scale = at::logspace(-2, 2, dim);
  const torch::Tensor shift = 3.0 * at::randn({dim}) * scale;
  torch::manual_seed(seed);
  const torch::Tensor labels = at::arange(n).remainder(classes);
  const torch::Tensor h = centres.index_select(0, labels) + 1.5 * at::randn({n, dim});
  return {h * scale + shift, labels};
}

/// Objective and largest slope of a head in the standardised coordinates, in float64 by loops: an
/// oracle that shares nothing with the fit.
struct Oracle {
  double objective = 0.0;
  double largest_slope = 0.0;
};

Oracle judge(const LinearHead& head, const Sample& data, double l2, bool standardize) {
  const torch::Tensor h = data.features.to(torch::kFloat64);
  const auto n = static_cast<std::size_t>(h.size(0));
  const auto dim = static_cast<std::size_t>(h.size(1));
  const auto classes = static_cast<std::size_t>(head.weight.size(0));
  const auto x = h.accessor<double, 2>();
  std::vector<double> mean(dim, 0.0);
  std::vector<double> deviation(dim, 1.0);
  if (standardize) {
    for (std::size_t j = 0; j < dim; ++j) {
      for (std::size_t i = 0; i < n; ++i) mean[j] += x[i][j] / static_cast<double>(n);
      double square = 0.0;
      for (std::size_t i = 0; i < n; ++i) square += std::pow(x[i][j] - mean[j], 2);
      if (square > 0.0) deviation[j] = std::sqrt(square / static_cast<double>(n));
    }
  }
  const torch::Tensor weight = head.weight.to(torch::kFloat64);
  const torch::Tensor bias = head.bias.to(torch::kFloat64);
  const auto w = weight.accessor<double, 2>();
  const auto b = bias.accessor<double, 1>();
  std::vector<std::vector<double>> weight_slope(classes, std::vector<double>(dim, 0.0));
  std::vector<double> bias_slope(classes, 0.0);
  Oracle oracle;
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<double> logits(classes);
    for (std::size_t c = 0; c < classes; ++c) {
      logits[c] = b[c];
      for (std::size_t j = 0; j < dim; ++j) logits[c] += w[c][j] * x[i][j];
    }
    const double top = *std::max_element(logits.begin(), logits.end());
    double sum = 0.0;
    for (const double logit : logits) sum += std::exp(logit - top);
    const auto label = static_cast<std::size_t>(data.labels[static_cast<long>(i)].item<long>());
    oracle.objective += (top + std::log(sum) - logits[label]) / static_cast<double>(n);
    for (std::size_t c = 0; c < classes; ++c) {
      const double slope =
          (std::exp(logits[c] - top) / sum - (c == label ? 1.0 : 0.0)) / static_cast<double>(n);
      bias_slope[c] += slope;
      for (std::size_t j = 0; j < dim; ++j) {
        weight_slope[c][j] += slope * (x[i][j] - mean[j]) / deviation[j];
      }
    }
  }
  for (std::size_t c = 0; c < classes; ++c) {
    oracle.largest_slope = std::max(oracle.largest_slope, std::abs(bias_slope[c]));
    for (std::size_t j = 0; j < dim; ++j) {
      const double standardized = w[c][j] * deviation[j];
      oracle.objective += l2 * standardized * standardized;
      oracle.largest_slope =
          std::max(oracle.largest_slope, std::abs(weight_slope[c][j] + 2.0 * l2 * standardized));
    }
  }
  return oracle;
}

ProbeConfig config_of(double l2, bool standardize = true) {
  ProbeConfig config;
  config.l2 = {false, l2};
  config.standardize = standardize;
  return config;
}

std::string data_error(const Sample& data, const ProbeConfig& config) {
  try {
    fit_linear_probe(data.features, data.labels, 3, config, 0);
  } catch (const Error& error) {
    CATCH_CHECK(error.kind() == ErrorKind::data);
    return error.what();
  }
  return "";
}

}  // namespace

CATCH_TEST_CASE("the probe ends where an independent gradient is zero", "[eval]") {
  const Sample data = clouds(400, 10, 4, 1);
  for (const double l2 : {10.0, 1e-1, 1e-3, 1e-5}) {
    const ProbeFit fit = fit_linear_probe(data.features, data.labels, 4, config_of(l2), 0);
    const Oracle oracle = judge(fit.head, data, l2, true);
    CATCH_INFO("l2 " << l2);
    CATCH_CHECK(fit.converged);
    CATCH_CHECK(fit.l2 == l2);
    CATCH_CHECK(fit.iterations > 0);
    CATCH_CHECK(fit.tried.empty());
    // The head's float32 leaves this much.
    CATCH_CHECK(oracle.largest_slope < 2e-6);
    CATCH_CHECK(fit.objective == Approx(oracle.objective).epsilon(1e-7));
  }
}

CATCH_TEST_CASE("the probe without standardisation minimises on the raw features", "[eval]") {
  Sample data = clouds(300, 6, 3, 2);
  data.features = (data.features - data.features.mean(0)) / data.features.std(0) + 0.5;
  const ProbeFit fit = fit_linear_probe(data.features, data.labels, 3, config_of(1e-2, false), 0);
  CATCH_CHECK(fit.converged);
  const Oracle oracle = judge(fit.head, data, 1e-2, false);
  CATCH_CHECK(oracle.largest_slope < 1e-6);
  CATCH_CHECK(fit.objective == Approx(oracle.objective).epsilon(1e-7));
}

// Two classes and one two-valued feature x = -1 or 1, a share q of each side in "its" class, no
// penalty: the fitted probability of that class must be q, so the difference of weights is logit q.
CATCH_TEST_CASE("the probe has the closed solution of a two by two table", "[eval]") {
  std::vector<float> x;
  std::vector<std::int64_t> y;
  for (int i = 0; i < 100; ++i) {
    x.push_back(i < 50 ? -1.0F : 1.0F);
    const bool own_side = i % 50 < 40;
    y.push_back((i < 50) == own_side ? 0 : 1);
  }
  const Sample data{at::tensor(x).reshape({100, 1}), at::tensor(y)};
  const ProbeFit fit = fit_linear_probe(data.features, data.labels, 2, config_of(0.0), 0);
  const double difference = (fit.head.weight[1][0] - fit.head.weight[0][0]).item<double>();
  CATCH_CHECK(difference == Approx(std::log(4.0)).epsilon(1e-5));
  CATCH_CHECK(std::abs(fit.head.bias[1].item<double>() - fit.head.bias[0].item<double>()) < 1e-5);
  CATCH_CHECK(fit.objective == Approx(-0.8 * std::log(0.8) - 0.2 * std::log(0.2)).epsilon(1e-9));
}

CATCH_TEST_CASE("a huge penalty leaves the classes' shares, by the free bias", "[eval]") {
  Sample data = clouds(100, 5, 2, 3);
  data.labels = (at::arange(100) < 30).to(torch::kInt64);
  const ProbeFit fit = fit_linear_probe(data.features, data.labels, 2, config_of(100.0), 0);
  CATCH_CHECK(fit.converged);
  const torch::Tensor p = predict_probabilities(fit.head, data.features);
  CATCH_CHECK(at::allclose(p.select(1, 1), at::full({100}, 0.3), 0.0, 2e-2));
}

CATCH_TEST_CASE("standardisation is folded into the head", "[eval]") {
  const Sample data = clouds(200, 8, 3, 4);
  const torch::Tensor h = data.features.to(torch::kFloat64);
  const torch::Tensor standardized = (h - h.mean(0)) / h.std(0, /*unbiased=*/false);
  const ProbeFit raw = fit_linear_probe(data.features, data.labels, 3, config_of(1e-3), 0);
  const ProbeFit plain =
      fit_linear_probe(standardized.to(torch::kFloat32), data.labels, 3, config_of(1e-3, false), 0);
  CATCH_CHECK(raw.objective == Approx(plain.objective).epsilon(1e-6));
  CATCH_CHECK(at::allclose(predict_probabilities(raw.head, data.features),
                           predict_probabilities(plain.head, standardized.to(torch::kFloat32)),
                           1e-3, 1e-4));
}

CATCH_TEST_CASE("a constant feature does no harm", "[eval]") {
  const Sample data = clouds(150, 6, 3, 5);
  const ProbeFit without = fit_linear_probe(data.features, data.labels, 3, config_of(1e-3), 0);
  // 0.1 is no float, so that a mean over 150 of them is not exactly it.
  const torch::Tensor padded = at::cat({data.features, at::full({150, 1}, 0.1)}, 1);
  const ProbeFit with = fit_linear_probe(padded, data.labels, 3, config_of(1e-3), 0);
  CATCH_CHECK(with.converged);
  CATCH_CHECK(with.objective == Approx(without.objective).epsilon(1e-9));
  CATCH_CHECK(with.head.weight.select(1, 6).abs().max().item<double>() < 1e-6);
}

CATCH_TEST_CASE("features of a collapsed encoder give the classes' shares", "[eval]") {
  const torch::Tensor labels = (at::arange(100) < 30).to(torch::kInt64);
  const ProbeFit fit = fit_linear_probe(at::full({100, 4}, 0.1), labels, 2, config_of(1e-3), 0);
  CATCH_CHECK(fit.converged);
  const torch::Tensor p = predict_probabilities(fit.head, at::full({1, 4}, 0.1));
  CATCH_CHECK(p[0][1].item<double>() == Approx(0.3).epsilon(1e-5));
}

CATCH_TEST_CASE("every penalty that l2 = auto tries converges", "[eval]") {
  const Sample data = clouds(1000, 128, 10, 12);
  for (int i = 0; i < 15; ++i) {
    const double l2 = std::pow(10.0, 1.0 - 0.5 * i);
    const ProbeFit fit = fit_linear_probe(data.features, data.labels, 10, config_of(l2), 0);
    CATCH_INFO("l2 " << l2);
    CATCH_CHECK(fit.converged);
    // Stiff weights beside soft biases take twice as many unless they are scaled.
    if (l2 >= 1.0) CATCH_CHECK(fit.iterations < 40);
  }
}

CATCH_TEST_CASE("the same input gives the same head to the byte", "[eval]") {
  const Sample data = clouds(500, 12, 5, 6);
  ProbeConfig config;
  const ProbeFit first = fit_linear_probe(data.features, data.labels, 5, config, 3);
  const ProbeFit again = fit_linear_probe(data.features.clone(), data.labels.clone(), 5, config, 3);
  CATCH_CHECK(at::equal(first.head.weight, again.head.weight));
  CATCH_CHECK(at::equal(first.head.bias, again.head.bias));
  CATCH_CHECK(first.objective == again.objective);
  CATCH_CHECK(first.tried == again.tried);
}

CATCH_TEST_CASE("rows in several blocks sum to the same objective", "[eval]") {
  const Sample data = clouds(9000, 4, 3, 7);
  const ProbeFit fit = fit_linear_probe(data.features, data.labels, 3, config_of(1e-3), 0);
  const Oracle oracle = judge(fit.head, data, 1e-3, true);
  CATCH_CHECK(fit.converged);
  CATCH_CHECK(oracle.largest_slope < 2e-6);
  CATCH_CHECK(fit.objective == Approx(oracle.objective).epsilon(1e-7));
}

CATCH_TEST_CASE("l2 = auto takes the best held-out accuracy, the larger at ties", "[eval]") {
  const Sample data = clouds(300, 20, 4, 8);
  ProbeConfig config;
  config.validation = 0.3;
  const std::uint64_t seed = 11;
  const ProbeFit fit = fit_linear_probe(data.features, data.labels, 4, config, seed);
  CATCH_REQUIRE(fit.tried.size() == 15);
  double best = -1.0;
  double best_l2 = 0.0;
  std::set<double> accuracies;
  for (std::size_t i = 0; i < fit.tried.size(); ++i) {
    const auto [l2, accuracy] = fit.tried[i];
    CATCH_CHECK(l2 == Approx(std::pow(10.0, 1.0 - 0.5 * static_cast<double>(i))).epsilon(1e-12));
    accuracies.insert(accuracy);
    if (accuracy > best) {
      best = accuracy;
      best_l2 = l2;
    }
  }
  CATCH_CHECK(accuracies.size() > 1);
  CATCH_CHECK(fit.l2 == best_l2);

  // Each accuracy is that of a fit on the other rows, judged on the held-out ones.
  const Split split = stratified_split({data.labels.const_data_ptr<std::int64_t>(),
                                        data.labels.const_data_ptr<std::int64_t>() + 300},
                                       0.3, seed);
  const torch::Tensor rest = at::tensor(split.first);
  const torch::Tensor held = at::tensor(split.second);
  for (const std::size_t i : {0UL, 8UL, 14UL}) {
    const ProbeFit alone =
        fit_linear_probe(data.features.index_select(0, rest), data.labels.index_select(0, rest), 4,
                         config_of(fit.tried[i].first), 0);
    const double accuracy =
        top_k_accuracy(predict_probabilities(alone.head, data.features.index_select(0, held)),
                       data.labels.index_select(0, held), 1);
    // The search stops earlier than the final fit: one row of 90 may fall on the other side.
    CATCH_CHECK(fit.tried[i].second == Approx(accuracy).margin(1.01 / 90.0));
  }

  // The returned head is the fit on all rows.
  const ProbeFit all = fit_linear_probe(data.features, data.labels, 4, config_of(fit.l2), 0);
  CATCH_CHECK(at::equal(fit.head.weight, all.head.weight));
  CATCH_CHECK(fit.objective == all.objective);
}

CATCH_TEST_CASE("a probe that may not iterate enough says so", "[eval]") {
  const Sample data = clouds(300, 20, 4, 9);
  ProbeConfig config = config_of(1e-5);
  config.max_iterations = 3;
  const ProbeFit fit = fit_linear_probe(data.features, data.labels, 4, config, 0);
  CATCH_CHECK_FALSE(fit.converged);
  CATCH_CHECK(fit.iterations == 3);
}

CATCH_TEST_CASE("classes without a training image get a head too", "[eval]") {
  const Sample data = clouds(100, 5, 2, 10);
  const ProbeFit fit = fit_linear_probe(data.features, data.labels, 4, config_of(1e-2), 0);
  const torch::Tensor p = predict_probabilities(fit.head, data.features);
  CATCH_CHECK(p.sizes() == torch::IntArrayRef({100, 4}));
  CATCH_CHECK(at::allclose(p.sum(1), at::ones({100})));
  CATCH_CHECK(p.narrow(1, 2, 2).max().item<double>() < 0.05);
}

CATCH_TEST_CASE("a probe that cannot be fitted says what is missing", "[eval]") {
  Sample data = clouds(12, 5, 3, 11);
  data.labels.fill_(2);
  CATCH_CHECK(data_error(data, config_of(1e-3)) ==
              "probe: expected at least two classes among the training images, got class 2 alone");
  data = {data.features.narrow(0, 0, 3), at::arange(3)};
  CATCH_CHECK(data_error(data, {}).find("give probe.l2 a number") != std::string::npos);
  CATCH_CHECK(data_error(data, config_of(1e-3)).empty());
  CATCH_CHECK_THROWS_AS(fit_linear_probe(data.features, data.labels + 1, 3, config_of(1e-3), 0),
                        c10::Error);
}

}  // namespace clr
