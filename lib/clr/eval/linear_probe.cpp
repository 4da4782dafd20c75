// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/linear_probe.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/optim/lbfgs.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "clr/core/error.h"
#include "clr/eval/statistics.h"

namespace clr {
namespace {

constexpr std::int64_t kBlockRows = 4096;
/// Of the largest slope at zero: where a fit counts as done, and where it is good enough to compare
/// values of l2 by their held-out accuracy.
constexpr double kTolerance = 1e-7;
constexpr double kSearchTolerance = 1e-4;
/// l2 = auto tries 10^(kLargestL2 - i / 2) for i in [0, kL2Count).
constexpr double kLargestL2 = 1.0;
constexpr int kL2Count = 15;

/// What features are shifted and scaled by: (h - mean) / deviation.
struct Scaling {
  torch::Tensor mean;       ///< [F] float64
  torch::Tensor deviation;  ///< [F] float64
};

Scaling measure_scaling(const torch::Tensor& x, bool standardize) {
  const torch::Tensor mean = x.mean(0);
  if (!standardize) return {at::zeros_like(mean), at::ones_like(mean)};
  torch::Tensor squares = at::zeros_like(mean);
  for (std::int64_t begin = 0; begin < x.size(0); begin += kBlockRows) {
    const auto rows = x.narrow(0, begin, std::min(kBlockRows, x.size(0) - begin));
    squares += (rows - mean).square().sum(0);
  }
  const torch::Tensor deviation = (squares / static_cast<double>(x.size(0))).sqrt();
  // The deviation of a constant is a rounding error, and dividing by that would make noise.
  return {mean, deviation.masked_fill(x.amin(0) == x.amax(0), 1.0)};
}

/// Standardised rows [n, F] float64 with their labels.
struct Rows {
  torch::Tensor x;
  torch::Tensor labels;
  Scaling scaling;

  Rows(const torch::Tensor& features, const torch::Tensor& own_labels, bool standardize)
      : x(features.to(torch::kFloat64, /*non_blocking=*/false, /*copy=*/true)),
        labels(own_labels),
        scaling(measure_scaling(x, standardize)) {
    x.sub_(scaling.mean).div_(scaling.deviation);
  }
};

/// Weight and bias of the standardised features, in float64.
struct Parameters {
  torch::Tensor weight;  ///< [C, F]
  torch::Tensor bias;    ///< [C]

  Parameters(std::int64_t classes, std::int64_t dim)
      : weight(at::zeros({classes, dim}, torch::kFloat64)),
        bias(at::zeros({classes}, torch::kFloat64)) {}

  double largest_slope() const {
    return std::max(weight.grad().abs().max().item<double>(),
                    bias.grad().abs().max().item<double>());
  }
};

/// Sets the gradients and gives the objective.
torch::Tensor evaluate(const Rows& rows, double l2, Parameters& parameters) {
  const c10::NoGradGuard no_grad;
  const auto n = static_cast<double>(rows.x.size(0));
  const torch::Tensor& weight = parameters.weight;
  torch::Tensor weight_gradient = at::zeros_like(weight);
  torch::Tensor bias_gradient = at::zeros_like(parameters.bias);
  torch::Tensor loss = at::zeros({}, weight.options());
  for (std::int64_t begin = 0; begin < rows.x.size(0); begin += kBlockRows) {
    const std::int64_t count = std::min(kBlockRows, rows.x.size(0) - begin);
    const torch::Tensor x = rows.x.narrow(0, begin, count);
    const torch::Tensor label = rows.labels.narrow(0, begin, count).unsqueeze(1);
    const torch::Tensor logits = at::addmm(parameters.bias, x, weight.t());
    torch::Tensor slopes = at::log_softmax(logits, 1);
    loss -= slopes.gather(1, label).sum();
    slopes.exp_();
    slopes.scatter_add_(1, label, at::full_like(label, -1, slopes.options()));
    weight_gradient.addmm_(slopes.t(), x);
    bias_gradient += slopes.sum(0);
  }
  parameters.weight.mutable_grad() = weight_gradient.div_(n).add_(weight, 2.0 * l2);
  parameters.bias.mutable_grad() = bias_gradient.div_(n);
  return loss / n + l2 * weight.square().sum();
}

struct Descent {
  double objective = 0.0;
  std::int64_t iterations = 0;
  bool converged = false;
};

/// Largest slope at zero, which makes tolerances independent of the features' scale.
double slope_at_zero(const Rows& rows, std::int64_t classes) {
  Parameters zero(classes, rows.x.size(1));
  evaluate(rows, 0.0, zero);
  return zero.largest_slope();
}

/// Minimises from where `parameters` are.
Descent descend(const Rows& rows, double l2, double slope_goal, std::int64_t max_iterations,
                Parameters& parameters) {
  torch::optim::LBFGS optimizer(
      std::vector<torch::Tensor>{parameters.weight, parameters.bias},
      torch::optim::LBFGSOptions(1.0)
          .max_iter(max_iterations)
          .max_eval(10 * max_iterations)
          .history_size(20)
          .tolerance_grad(slope_goal)
          // Below float64's resolution of the objective: the slope decides, unless nothing moves.
          .tolerance_change(1e-16)
          .line_search_fn("strong_wolfe"));
  optimizer.step([&] { return evaluate(rows, l2, parameters); });
  Descent descent;
  descent.objective = evaluate(rows, l2, parameters).item<double>();
  descent.converged = parameters.largest_slope() <= slope_goal;
  for (const auto& [key, state] : optimizer.state()) {
    descent.iterations = static_cast<const torch::optim::LBFGSParamState&>(*state).n_iter();
  }
  return descent;
}

/// (h - mean) / deviation, then W and b, as one map of the raw h.
LinearHead fold(const Parameters& parameters, const Scaling& scaling) {
  const torch::Tensor weight = parameters.weight / scaling.deviation;
  const torch::Tensor bias = parameters.bias - at::mv(weight, scaling.mean);
  return {weight.to(torch::kFloat32), bias.to(torch::kFloat32)};
}

double accuracy(const Parameters& parameters, const Scaling& scaling, const torch::Tensor& features,
                const torch::Tensor& labels) {
  return top_k_accuracy(predict_probabilities(fold(parameters, scaling), features), labels, 1);
}

/// (l2, held-out accuracy) from the largest l2 to the smallest.
std::vector<std::pair<double, double>> search_l2(const torch::Tensor& features,
                                                 const torch::Tensor& labels, std::int64_t classes,
                                                 const ProbeConfig& config, std::uint64_t seed) {
  const auto* first_label = labels.const_data_ptr<std::int64_t>();
  const Split split =
      stratified_split({first_label, first_label + labels.size(0)}, config.validation, seed);
  if (split.second.empty()) {
    throw Error(ErrorKind::data,
                "probe: expected a class with two or more training images, to hold one out and "
                "choose probe.l2 by it, got one image a class; give probe.l2 a number");
  }
  const torch::Tensor fit = at::tensor(split.first, torch::kInt64);
  const torch::Tensor held = at::tensor(split.second, torch::kInt64);
  const Rows rows(features.index_select(0, fit), labels.index_select(0, fit), config.standardize);
  const torch::Tensor held_features = features.index_select(0, held);
  const torch::Tensor held_labels = labels.index_select(0, held);
  const double goal = kSearchTolerance * slope_at_zero(rows, classes);
  Parameters parameters(classes, features.size(1));
  std::vector<std::pair<double, double>> tried;
  for (int i = 0; i < kL2Count; ++i) {
    const double l2 = std::pow(10.0, kLargestL2 - 0.5 * i);
    descend(rows, l2, goal, config.max_iterations, parameters);
    tried.emplace_back(l2, accuracy(parameters, rows.scaling, held_features, held_labels));
  }
  return tried;
}

void check(const torch::Tensor& features, const torch::Tensor& labels, std::int64_t classes) {
  TORCH_CHECK(features.dim() == 2 && labels.dim() == 1 && features.size(0) == labels.size(0) &&
                  features.size(0) > 0 && labels.scalar_type() == torch::kInt64,
              "fit_linear_probe: features ", features.sizes(), ", labels ", labels.sizes(), " ",
              torch::toString(labels.scalar_type()));
  const auto low = labels.min().item<std::int64_t>();
  const auto high = labels.max().item<std::int64_t>();
  TORCH_CHECK(low >= 0 && high < classes, "fit_linear_probe: labels outside [0, ", classes, ")");
  if (low == high) {
    throw Error(ErrorKind::data,
                fmt::format("probe: expected at least two classes among the training images, got "
                            "class {} alone",
                            low));
  }
}

}  // namespace

ProbeFit fit_linear_probe(const torch::Tensor& features, const torch::Tensor& labels,
                          std::int64_t classes, const ProbeConfig& config, std::uint64_t seed) {
  check(features, labels, classes);
  const c10::NoGradGuard no_grad;
  const torch::Tensor own_labels = labels.contiguous();
  ProbeFit fit;
  fit.l2 = config.l2.value;
  if (config.l2.automatic) {
    fit.tried = search_l2(features, own_labels, classes, config, seed);
    // The first of equals, which is the largest l2.
    const auto less_accurate = [](const auto& a, const auto& b) { return a.second < b.second; };
    fit.l2 = std::max_element(fit.tried.begin(), fit.tried.end(), less_accurate)->first;
  }
  const Rows rows(features, own_labels, config.standardize);
  Parameters parameters(classes, features.size(1));
  const Descent descent = descend(rows, fit.l2, kTolerance * slope_at_zero(rows, classes),
                                  config.max_iterations, parameters);
  fit.head = fold(parameters, rows.scaling);
  fit.objective = descent.objective;
  fit.iterations = descent.iterations;
  fit.converged = descent.converged;
  return fit;
}

torch::Tensor predict_probabilities(const LinearHead& head, const torch::Tensor& features) {
  const c10::NoGradGuard no_grad;
  const torch::Tensor weight = head.weight.to(torch::kFloat64);
  const torch::Tensor bias = head.bias.to(torch::kFloat64);
  torch::Tensor probabilities = at::empty({features.size(0), weight.size(0)}, torch::kFloat32);
  for (std::int64_t begin = 0; begin < features.size(0); begin += kBlockRows) {
    const std::int64_t count = std::min(kBlockRows, features.size(0) - begin);
    const torch::Tensor x = features.narrow(0, begin, count).to(torch::kFloat64);
    probabilities.narrow(0, begin, count).copy_(at::softmax(at::addmm(bias, x, weight.t()), 1));
  }
  return probabilities;
}

}  // namespace clr
