// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/probe_heads.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <tuple>

#include "clr/core/rng.h"
#include "clr/eval/probe_data.h"
#include "clr/loss/matrix_product.h"

namespace clr {
namespace {

constexpr std::int64_t kGroupBytes = std::int64_t{256} << 20;
constexpr std::int64_t kJudgedLogits = std::int64_t{16} << 20;

/// What is trained: features scaled to float32, and their labels.
struct Rows {
  torch::Tensor x;  ///< [n, F] float32
  torch::Tensor labels;
  FeatureScaling scaling;

  Rows(const torch::Tensor& features, const torch::Tensor& own_labels, bool standardize)
      : labels(own_labels) {
    const torch::Tensor exact = features.to(torch::kFloat64);
    scaling = measure_scaling(exact, standardize);
    x = ((exact - scaling.mean) / scaling.deviation).to(torch::kFloat32);
  }
};

struct Setting {
  double learning_rate;
  double weight_decay;
};

/// Several heads side by side: their weights are one matrix [F, H * C].
class Heads {
 public:
  Heads(const std::vector<Setting>& settings, std::int64_t dim, std::int64_t classes)
      : settings_(settings),
        dim_(dim),
        classes_(classes),
        weight_(at::zeros({dim, columns()}, torch::kFloat32)),
        weight_velocity_(at::zeros_like(weight_)),
        weight_gradient_(at::empty_like(weight_)),
        bias_(at::zeros({columns()}, torch::kFloat32)),
        bias_velocity_(at::zeros_like(bias_)) {}

  std::int64_t count() const { return static_cast<std::int64_t>(settings_.size()); }
  std::int64_t columns() const { return count() * classes_; }

  /// [n, H, C] of scaled features.
  torch::Tensor logits(const torch::Tensor& x) const {
    torch::Tensor result = at::empty({x.size(0), columns()}, torch::kFloat32);
    detail::matrix_product(result, x, weight_, false);
    return result.add_(bias_).view({x.size(0), count(), classes_});
  }

  /// One step on the mean cross-entropy of a batch. `factor`: of the learning rates.
  void step(const torch::Tensor& x, const torch::Tensor& labels, double factor, double momentum) {
    torch::Tensor slopes = at::softmax(logits(x), 2);
    const torch::Tensor own = labels.view({-1, 1, 1}).expand({x.size(0), count(), 1});
    slopes.scatter_add_(2, own, at::full({1}, -1.0F).expand({x.size(0), count(), 1}));
    slopes = slopes.mul_(1.0 / static_cast<double>(x.size(0))).view({x.size(0), columns()});
    detail::matrix_product(weight_gradient_, x.t(), slopes, false);
    update(weight_, weight_velocity_, weight_gradient_, factor, momentum, /*decayed=*/true);
    update(bias_, bias_velocity_, slopes.sum(0), factor, momentum, /*decayed=*/false);
  }

  /// Share of rows that each head is right about; 0 for heads that are not finite.
  std::vector<double> accuracy(const torch::Tensor& x, const torch::Tensor& labels) const {
    torch::Tensor correct = at::zeros({count()}, torch::kInt64);
    const std::int64_t block = std::clamp<std::int64_t>(kJudgedLogits / columns(), 1, x.size(0));
    for (std::int64_t begin = 0; begin < x.size(0); begin += block) {
      const std::int64_t rows = std::min(block, x.size(0) - begin);
      const torch::Tensor winner = logits(x.narrow(0, begin, rows)).argmax(2);
      correct += (winner == labels.narrow(0, begin, rows).unsqueeze(1)).sum(0);
    }
    const torch::Tensor finite = weight_.view({dim_, count(), classes_}).isfinite().all(2).all(0);
    correct *= finite;
    std::vector<double> shares;
    for (std::int64_t h = 0; h < count(); ++h) {
      shares.push_back(static_cast<double>(correct[h].item<std::int64_t>()) /
                       static_cast<double>(x.size(0)));
    }
    return shares;
  }

  /// The first head, of raw features.
  LinearHead folded(const FeatureScaling& scaling) const {
    return fold_scaling(weight_.narrow(1, 0, classes_).t().to(torch::kFloat64),
                        bias_.narrow(0, 0, classes_).to(torch::kFloat64), scaling);
  }

 private:
  /// v = momentum v + g + decay w; w -= rate (g + decay w + momentum v).
  void update(torch::Tensor& values, torch::Tensor& velocity, const torch::Tensor& gradient,
              double factor, double momentum, bool decayed) const {
    float* value = values.mutable_data_ptr<float>();
    float* speed = velocity.mutable_data_ptr<float>();
    const torch::Tensor own = gradient.contiguous();
    const float* slope = own.const_data_ptr<float>();
    const auto m = static_cast<float>(momentum);
    at::parallel_for(0, values.numel() / columns(), 16, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t row = first; row < last; ++row) {
        for (std::int64_t h = 0; h < count(); ++h) {
          const Setting& setting = settings_[static_cast<std::size_t>(h)];
          const auto rate = static_cast<float>(factor * setting.learning_rate);
          const auto decay = decayed ? static_cast<float>(setting.weight_decay) : 0.0F;
          const std::int64_t begin = row * columns() + h * classes_;
          for (std::int64_t i = begin; i < begin + classes_; ++i) {
            const float g = slope[i] + decay * value[i];
            speed[i] = m * speed[i] + g;
            value[i] -= rate * (g + m * speed[i]);
          }
        }
      }
    });
  }

  std::vector<Setting> settings_;
  std::int64_t dim_;
  std::int64_t classes_;
  torch::Tensor weight_;
  torch::Tensor weight_velocity_;
  torch::Tensor weight_gradient_;
  torch::Tensor bias_;
  torch::Tensor bias_velocity_;
};

/// Trains on all rows; `after_epoch` sees each epoch's end, counted from 1.
template <class AfterEpoch>
void train(Heads& heads, const Rows& rows, const ProbeHeadsConfig& config, std::uint64_t seed,
           const AfterEpoch& after_epoch) {
  const std::int64_t n = rows.x.size(0);
  const std::int64_t batch = std::min(config.batch_size, n);
  const std::int64_t per_epoch = (n + batch - 1) / batch;
  const auto total = static_cast<double>(per_epoch * config.epochs);
  std::int64_t step = 0;
  torch::Tensor order = at::empty({n}, torch::kInt64);
  for (std::int64_t epoch = 1; epoch <= config.epochs; ++epoch) {
    const Permutation permutation(seed, static_cast<std::uint32_t>(epoch),
                                  static_cast<std::uint64_t>(n), OpId::epoch_order);
    auto* place = order.mutable_data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < n; ++i)
      place[i] = static_cast<std::int64_t>(permutation(static_cast<std::uint64_t>(i)));
    for (std::int64_t begin = 0; begin < n; begin += batch, ++step) {
      const torch::Tensor chosen = order.narrow(0, begin, std::min(batch, n - begin));
      const double factor =
          0.5 * (1.0 + std::cos(std::numbers::pi * static_cast<double>(step) / total));
      heads.step(rows.x.index_select(0, chosen), rows.labels.index_select(0, chosen), factor,
                 config.momentum);
    }
    after_epoch(epoch);
  }
}

/// Trains a group of the grid on the kept rows and judges it on the others, epoch by epoch.
void judge_group(const std::vector<Setting>& settings, const Rows& kept, const torch::Tensor& held,
                 const torch::Tensor& held_labels, std::int64_t classes,
                 const ProbeHeadsConfig& config, std::uint64_t seed,
                 std::vector<ProbeHeadTrial>& tried) {
  Heads heads(settings, kept.x.size(1), classes);
  const std::size_t first = tried.size();
  for (const auto& [rate, decay] : settings) tried.push_back({rate, decay, 0.0, -1.0, 0});
  train(heads, kept, config, seed, [&](std::int64_t epoch) {
    const std::vector<double> shares = heads.accuracy(held, held_labels);
    for (std::size_t h = 0; h < shares.size(); ++h) {
      ProbeHeadTrial& trial = tried[first + h];
      trial.last_top1 = shares[h];
      if (shares[h] <= trial.best_top1) continue;
      trial.best_top1 = shares[h];
      trial.best_epoch = epoch;
    }
  });
}

std::vector<Setting> grid_of(const ProbeHeadsConfig& config) {
  std::vector<Setting> settings;
  for (const double rate : config.learning_rates) {
    for (const double decay : config.weight_decays) settings.push_back({rate, decay});
  }
  TORCH_CHECK(!settings.empty(), "fit_probe_heads: an empty grid");
  return settings;
}

/// Better: more right, then more decay, then the lower rate.
auto merit(const ProbeHeadTrial& trial) {
  return std::make_tuple(trial.last_top1, trial.weight_decay, -trial.learning_rate);
}

/// Trains the whole grid on a part of the images, judges it on the others and selects.
void judge_grid(const torch::Tensor& features, const torch::Tensor& labels, std::int64_t classes,
                const ProbeHeadsConfig& config, bool standardize, double validation,
                std::uint64_t seed, ProbeHeadsFit& fit) {
  const std::vector<Setting> grid = grid_of(config);
  const Split split = held_out_split(labels, validation, seed, "judge probe.heads by it");
  const torch::Tensor kept_rows = at::tensor(split.first, torch::kInt64);
  const torch::Tensor held_rows = at::tensor(split.second, torch::kInt64);
  const Rows kept(features.index_select(0, kept_rows), labels.index_select(0, kept_rows),
                  standardize);
  const torch::Tensor held =
      ((features.index_select(0, held_rows).to(torch::kFloat64) - kept.scaling.mean) /
       kept.scaling.deviation)
          .to(torch::kFloat32);
  const torch::Tensor held_labels = labels.index_select(0, held_rows);
  fit.held_out = held.size(0);
  const std::int64_t head_bytes = 16 * features.size(1) * classes;
  const auto group = static_cast<std::size_t>(std::max<std::int64_t>(1, kGroupBytes / head_bytes));
  for (std::size_t begin = 0; begin < grid.size(); begin += group) {
    const auto end = std::min(grid.size(), begin + group);
    judge_group({grid.begin() + static_cast<std::ptrdiff_t>(begin),
                 grid.begin() + static_cast<std::ptrdiff_t>(end)},
                kept, held, held_labels, classes, config, seed, fit.tried);
  }
  const auto best =
      std::max_element(fit.tried.begin(), fit.tried.end(),
                       [](const auto& a, const auto& b) { return merit(a) < merit(b); });
  fit.selected = static_cast<std::size_t>(best - fit.tried.begin());
}

/// Trains the selected one again, on all images.
void train_selected(const torch::Tensor& features, const torch::Tensor& labels,
                    std::int64_t classes, const ProbeHeadsConfig& config, bool standardize,
                    std::uint64_t seed, ProbeHeadsFit& fit) {
  const ProbeHeadTrial& selected = fit.tried[fit.selected];
  const Rows all(features, labels, standardize);
  Heads chosen({{selected.learning_rate, selected.weight_decay}}, features.size(1), classes);
  train(chosen, all, config, seed, [&](std::int64_t epoch) {
    if (epoch == selected.best_epoch) fit.best = chosen.folded(all.scaling);
  });
  fit.last = chosen.folded(all.scaling);
}

}  // namespace

ProbeHeadsFit fit_probe_heads(const torch::Tensor& features, const torch::Tensor& labels,
                              std::int64_t classes, const ProbeHeadsConfig& config,
                              bool standardize, double validation, std::uint64_t seed) {
  const c10::NoGradGuard no_grad;
  check_probe_data(features, labels, classes);
  ProbeHeadsFit fit;
  judge_grid(features, labels, classes, config, standardize, validation, seed, fit);
  train_selected(features, labels, classes, config, standardize, seed, fit);
  return fit;
}

ProbeHeadsFit fit_middle_head(const torch::Tensor& features, const torch::Tensor& labels,
                              std::int64_t classes, const ProbeHeadsConfig& config,
                              bool standardize, std::uint64_t seed) {
  const c10::NoGradGuard no_grad;
  check_probe_data(features, labels, classes);
  const auto& rates = config.learning_rates;
  const auto& decays = config.weight_decays;
  ProbeHeadsFit fit;
  fit.tried = {{rates.at(rates.size() / 2), decays.at(decays.size() / 2), 0.0, 0.0, config.epochs}};
  train_selected(features, labels, classes, config, standardize, seed, fit);
  return fit;
}

}  // namespace clr
