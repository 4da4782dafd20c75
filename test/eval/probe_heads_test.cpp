// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/probe_heads.h"

#include <ATen/Functions.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "clr/core/error.h"
#include "clr/core/rng.h"
#include "clr/eval/linear_probe.h"
#include "clr/eval/statistics.h"
#include "support/catch.h"

namespace clr {
namespace {

struct Sample {
  torch::Tensor features;
  torch::Tensor labels;
};

/// Overlapping clouds of features with unequal means and deviations.
Sample clouds(std::int64_t n, std::int64_t dim, std::int64_t classes, std::uint64_t seed) {
  torch::manual_seed(17);
  const torch::Tensor centres = at::randn({classes, dim});
  const torch::Tensor scale = at::logspace(-1, 1, dim);
  torch::manual_seed(seed);
  const torch::Tensor labels = at::arange(n).remainder(classes);
  return {(centres.index_select(0, labels) + 1.5 * at::randn({n, dim}) + 2.0) * scale, labels};
}

/// The definition by loops in float64: Nesterov's descent as PyTorch's SGD(nesterov=True) has it, a
/// cosine over all steps, from zero; weights of standardised features, folded back.
LinearHead reference(const Sample& data, std::int64_t classes, const ProbeHeadsConfig& config,
                     std::uint64_t seed, std::int64_t epochs) {
  const torch::Tensor h = data.features.to(torch::kFloat64);
  const torch::Tensor mean = h.mean(0);
  const torch::Tensor deviation = h.std(0, /*unbiased=*/false);
  const torch::Tensor x = (h - mean) / deviation;
  const std::int64_t n = x.size(0);
  torch::Tensor weight = at::zeros({classes, x.size(1)}, torch::kFloat64);
  torch::Tensor bias = at::zeros({classes}, torch::kFloat64);
  torch::Tensor weight_velocity = at::zeros_like(weight);
  torch::Tensor bias_velocity = at::zeros_like(bias);
  const std::int64_t per_epoch = (n + config.batch_size - 1) / config.batch_size;
  std::int64_t step = 0;
  for (std::int64_t epoch = 1; epoch <= epochs; ++epoch) {
    const Permutation order(seed, static_cast<std::uint32_t>(epoch), static_cast<std::uint64_t>(n),
                            OpId::epoch_order);
    for (std::int64_t begin = 0; begin < n; begin += config.batch_size, ++step) {
      const std::int64_t count = std::min(config.batch_size, n - begin);
      torch::Tensor weight_slope = config.weight_decays[0] * weight;
      torch::Tensor bias_slope = at::zeros_like(bias);
      for (std::int64_t i = 0; i < count; ++i) {
        const auto row = static_cast<std::int64_t>(order(static_cast<std::uint64_t>(begin + i)));
        torch::Tensor slope = at::softmax(at::mv(weight, x[row]) + bias, 0);
        slope[data.labels[row].item<std::int64_t>()] -= 1.0;
        weight_slope += at::outer(slope, x[row]) / static_cast<double>(count);
        bias_slope += slope / static_cast<double>(count);
      }
      const double progress =
          static_cast<double>(step) / static_cast<double>(per_epoch * config.epochs);
      const double rate =
          config.learning_rates[0] * 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
      weight_velocity = config.momentum * weight_velocity + weight_slope;
      bias_velocity = config.momentum * bias_velocity + bias_slope;
      weight -= rate * (weight_slope + config.momentum * weight_velocity);
      bias -= rate * (bias_slope + config.momentum * bias_velocity);
    }
  }
  const torch::Tensor raw = weight / deviation;
  return {raw.to(torch::kFloat32), (bias - at::mv(raw, mean)).to(torch::kFloat32)};
}

ProbeHeadsConfig one_setting(double rate, double decay) {
  ProbeHeadsConfig config;
  config.learning_rates = {rate};
  config.weight_decays = {decay};
  config.epochs = 4;
  config.batch_size = 32;
  return config;
}

double top1(const LinearHead& head, const Sample& data) {
  return top_k_accuracy(predict_probabilities(head, data.features), data.labels, 1);
}

}  // namespace

CATCH_TEST_CASE("a head is trained as the definition says", "[eval]") {
  // 100 rows in batches of 32: the last of an epoch is smaller.
  const Sample data = clouds(100, 7, 3, 1);
  for (const double decay : {0.0, 0.05}) {
    const ProbeHeadsConfig config = one_setting(0.2, decay);
    const ProbeHeadsFit fit = fit_probe_heads(data.features, data.labels, 3, config, true, 0.2, 11);
    CATCH_REQUIRE(fit.tried.size() == 1);
    const LinearHead last = reference(data, 3, config, 11, config.epochs);
    CATCH_CHECK(at::allclose(fit.last.weight, last.weight, 1e-3, 1e-4));
    CATCH_CHECK(at::allclose(fit.last.bias, last.bias, 1e-3, 1e-4));
    const LinearHead best = reference(data, 3, config, 11, fit.tried[0].best_epoch);
    CATCH_CHECK(at::allclose(fit.best.weight, best.weight, 1e-3, 1e-4));

    // What chose: the same descent on the rows that were kept, judged on those held out.
    const auto* label = data.labels.const_data_ptr<std::int64_t>();
    const Split split = stratified_split({label, label + 100}, 0.2, 11);
    CATCH_CHECK(fit.held_out == static_cast<std::int64_t>(split.second.size()));
    const auto part = [&](const std::vector<std::int64_t>& rows) {
      const torch::Tensor chosen = at::tensor(rows, torch::kInt64);
      return Sample{data.features.index_select(0, chosen), data.labels.index_select(0, chosen)};
    };
    const LinearHead judged = reference(part(split.first), 3, config, 11, config.epochs);
    CATCH_CHECK(fit.tried[0].last_top1 == Approx(top1(judged, part(split.second))));
    CATCH_CHECK(fit.tried[0].best_top1 >= fit.tried[0].last_top1);
  }
}

CATCH_TEST_CASE("heads do not see each other", "[eval]") {
  const Sample data = clouds(300, 6, 4, 2);
  ProbeHeadsConfig grid = one_setting(0.1, 0.0);
  grid.learning_rates = {0.001, 0.1, 3e38};  // the last one diverges, and spoils nothing
  grid.weight_decays = {0.0, 0.01};
  const ProbeHeadsFit all = fit_probe_heads(data.features, data.labels, 4, grid, true, 0.1, 5);
  CATCH_REQUIRE(all.tried.size() == 6);
  for (const ProbeHeadTrial& trial : all.tried) {
    const ProbeHeadsFit alone =
        fit_probe_heads(data.features, data.labels, 4,
                        one_setting(trial.learning_rate, trial.weight_decay), true, 0.1, 5);
    CATCH_INFO(trial.learning_rate << " " << trial.weight_decay);
    CATCH_CHECK(alone.tried[0].last_top1 == trial.last_top1);
    CATCH_CHECK(alone.tried[0].best_epoch == trial.best_epoch);
  }
  CATCH_CHECK(all.tried[4].last_top1 == 0.0);
  const ProbeHeadTrial& selected = all.tried[all.selected];
  for (const ProbeHeadTrial& trial : all.tried) CATCH_CHECK(selected.last_top1 >= trial.last_top1);
  CATCH_CHECK(selected.learning_rate < 1.0);
}

CATCH_TEST_CASE("trained long enough, a head is the L-BFGS probe", "[eval]") {
  const Sample data = clouds(400, 5, 3, 3);
  ProbeHeadsConfig config = one_setting(0.3, 2e-2);
  config.epochs = 200;
  config.batch_size = 400;
  const ProbeHeadsFit fit = fit_probe_heads(data.features, data.labels, 3, config, true, 0.1, 0);
  ProbeConfig exact;
  exact.l2 = {false, 1e-2};  // its gradient is 2 l2 w
  const ProbeFit lbfgs = fit_linear_probe(data.features, data.labels, 3, exact, 0);
  CATCH_CHECK(at::allclose(fit.last.weight, lbfgs.head.weight, 1e-3, 1e-4));
}

CATCH_TEST_CASE("without images to choose by the middle of the grid is trained", "[eval]") {
  const Sample data = clouds(300, 6, 4, 2);
  ProbeHeadsConfig grid = one_setting(0.1, 0.0);
  grid.learning_rates = {0.001, 0.1, 1.0};
  grid.weight_decays = {0.0, 0.01, 0.1};
  const ProbeHeadsFit fit = fit_middle_head(data.features, data.labels, 4, grid, true, 5);
  CATCH_REQUIRE(fit.tried.size() == 1);
  CATCH_CHECK(fit.held_out == 0);
  const ProbeHeadsFit same =
      fit_probe_heads(data.features, data.labels, 4, one_setting(0.1, 0.01), true, 0.1, 5);
  CATCH_CHECK(at::equal(fit.last.weight, same.last.weight));
  CATCH_CHECK(at::equal(fit.best.weight, fit.last.weight));
}

CATCH_TEST_CASE("probe heads refuse what cannot be judged", "[eval]") {
  const torch::Tensor features = at::randn({4, 3});
  const ProbeHeadsConfig config = one_setting(0.1, 0.0);
  CATCH_CHECK_THROWS_AS(
      fit_probe_heads(features, at::zeros({4}, torch::kInt64), 2, config, true, 0.1, 0), Error);
  CATCH_CHECK_THROWS_AS(fit_probe_heads(features, at::arange(4), 4, config, true, 0.1, 0), Error);
}

}  // namespace clr
