// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/linear_probe.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <torch/optim/lbfgs.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "clr/eval/probe_data.h"
#include "clr/eval/statistics.h"

namespace clr {
namespace {

constexpr std::int64_t kBlockRows = 4096;
/// Slopes, as parts of typical_slope(): what a fit aims at; what it must reach to count as
/// converged (the aim is near what float64 resolves); and what is enough to compare values of l2.
constexpr double kAim = 1e-7;
constexpr double kConverged = 1e-6;
constexpr double kSearchAim = 1e-4;
/// l2 = auto tries 10^(kLargestL2 - i / 2) for i in [0, kL2Count).
constexpr double kLargestL2 = 1.0;
constexpr int kL2Count = 15;

/// Standardised rows [n, F] float64 with their labels, turned to their principal axes: the penalty
/// is the same in any directions, and in these the search knows how steep it is along each.
struct Rows {
  torch::Tensor x;
  torch::Tensor labels;
  FeatureScaling scaling;
  torch::Tensor axes;       ///< [F, F], an axis a column
  torch::Tensor variances;  ///< [F], along the axes

  Rows(const torch::Tensor& features, const torch::Tensor& own_labels, bool standardize)
      : x(features.to(torch::kFloat64, /*non_blocking=*/false, /*copy=*/true)),
        labels(own_labels),
        scaling(measure_scaling(x, standardize)) {
    x.sub_(scaling.mean).div_(scaling.deviation);
    const torch::Tensor mean = x.mean(0);
    torch::Tensor covariance = at::mm(x.t(), x).div_(static_cast<double>(x.size(0)));
    covariance.sub_(at::outer(mean, mean));
    std::tie(variances, axes) = at::linalg_eigh(covariance);
    variances.clamp_min_(0.0);
    for (std::int64_t begin = 0; begin < x.size(0); begin += kBlockRows) {
      torch::Tensor block = x.narrow(0, begin, std::min(kBlockRows, x.size(0) - begin));
      block.copy_(at::mm(block, axes));
    }
  }
};

/// Weight and bias of such rows, in float64.
struct Parameters {
  torch::Tensor weight;  ///< [C, F]
  torch::Tensor bias;    ///< [C]

  Parameters(std::int64_t classes, std::int64_t dim)
      : weight(at::zeros({classes, dim}, torch::kFloat64)),
        bias(at::zeros({classes}, torch::kFloat64)) {}
};

/// The objective, with its gradients where Parameters have their values.
struct Evaluation {
  torch::Tensor objective;
  Parameters gradient;
};

Evaluation evaluate(const Rows& rows, double l2, const Parameters& at_point) {
  const auto n = static_cast<double>(rows.x.size(0));
  const torch::Tensor& weight = at_point.weight;
  Evaluation result{at::zeros({}, weight.options()), {weight.size(0), weight.size(1)}};
  for (std::int64_t begin = 0; begin < rows.x.size(0); begin += kBlockRows) {
    const std::int64_t count = std::min(kBlockRows, rows.x.size(0) - begin);
    const torch::Tensor x = rows.x.narrow(0, begin, count);
    const torch::Tensor label = rows.labels.narrow(0, begin, count).unsqueeze(1);
    torch::Tensor slopes = at::log_softmax(at::addmm(at_point.bias, x, weight.t()), 1);
    result.objective -= slopes.gather(1, label).sum();
    slopes.exp_();
    slopes.scatter_add_(1, label, at::full_like(label, -1, slopes.options()));
    result.gradient.weight.addmm_(slopes.t(), x);
    result.gradient.bias += slopes.sum(0);
  }
  result.objective.div_(n).add_(weight.square().sum(), l2);
  result.gradient.weight.div_(n).add_(weight, 2.0 * l2);
  result.gradient.bias.div_(n);
  return result;
}

/// How large a slope is before anything is learnt, so that tolerances suit any scale of features.
double typical_slope(const Rows& rows, std::int64_t classes) {
  const double size = rows.x.norm().item<double>() / std::sqrt(static_cast<double>(rows.x.numel()));
  // A collapsed encoder gives constants, and then only biases are learnt.
  return (size > 0.0 ? size : 1.0) / static_cast<double>(classes);
}

struct Descent {
  double objective = 0.0;
  double largest_slope = 0.0;
  std::int64_t iterations = 0;
};

/// Minimises from where `parameters` are.
///
/// The weights are scaled axis by axis such that the objective is about as steep along all of them,
/// and along the biases: features have variances of many orders of magnitude, and a large l2 would
/// make weights stiffer than the biases. Without that, a search takes a thousand steps, and the
/// objective's last bits hide the slopes long before they are small.
Descent descend(const Rows& rows, double l2, double slope_aim, std::int64_t max_iterations,
                Parameters& parameters) {
  const auto classes = static_cast<double>(parameters.bias.size(0));
  torch::Tensor steepness = rows.variances + 2.0 * l2 * classes;
  const double steepest = std::max(steepness.max().item<double>(), 1e-300);
  // Directions without any variance are as good as those with hardly any.
  const torch::Tensor scale = steepness.clamp_min_(1e-10 * steepest).sqrt_();
  torch::Tensor scaled_weight = parameters.weight * scale;
  torch::Tensor bias = parameters.bias.clone();
  double largest_slope = 0.0;
  const auto objective = [&] {
    const c10::NoGradGuard no_grad;
    parameters.weight = scaled_weight / scale;
    parameters.bias = bias.clone();
    Evaluation result = evaluate(rows, l2, parameters);
    largest_slope = std::max(result.gradient.weight.abs().max().item<double>(),
                             result.gradient.bias.abs().max().item<double>());
    scaled_weight.mutable_grad() = result.gradient.weight.div_(scale);
    bias.mutable_grad() = result.gradient.bias;
    return result.objective;
  };
  torch::optim::LBFGS optimizer(
      std::vector<torch::Tensor>{scaled_weight, bias},
      torch::optim::LBFGSOptions(1.0)
          .max_iter(max_iterations)
          .max_eval(10 * max_iterations)
          .history_size(20)
          // Slopes along the axes are larger than the scaled ones by the scale.
          .tolerance_grad(slope_aim / std::max(1.0, std::sqrt(steepest)))
          // Below float64's resolution of the objective: the slope decides, unless nothing moves.
          .tolerance_change(1e-16)
          .line_search_fn("strong_wolfe"));
  optimizer.step(objective);
  Descent descent;
  descent.objective = objective().item<double>();
  descent.largest_slope = largest_slope;
  for (const auto& [key, state] : optimizer.state()) {
    descent.iterations = static_cast<const torch::optim::LBFGSParamState&>(*state).n_iter();
  }
  return descent;
}

/// Back from the axes, and from the scaling.
LinearHead head_of(const Parameters& parameters, const Rows& rows) {
  return fold_scaling(at::mm(parameters.weight, rows.axes.t()), parameters.bias, rows.scaling);
}

/// (l2, held-out accuracy) from the largest l2 to the smallest.
std::vector<std::pair<double, double>> search_l2(const torch::Tensor& features,
                                                 const torch::Tensor& labels, std::int64_t classes,
                                                 const ProbeConfig& config, std::uint64_t seed) {
  const Split split = held_out_split(labels, config.validation, seed,
                                     "choose probe.l2 by it (or give probe.l2 a number)");
  const torch::Tensor fit = at::tensor(split.first, torch::kInt64);
  const torch::Tensor held = at::tensor(split.second, torch::kInt64);
  const Rows rows(features.index_select(0, fit), labels.index_select(0, fit), config.standardize);
  const torch::Tensor held_features = features.index_select(0, held);
  const torch::Tensor held_labels = labels.index_select(0, held);
  const double aim = kSearchAim * typical_slope(rows, classes);
  Parameters parameters(classes, features.size(1));
  std::vector<std::pair<double, double>> tried;
  for (int i = 0; i < kL2Count; ++i) {
    const double l2 = std::pow(10.0, kLargestL2 - 0.5 * i);
    descend(rows, l2, aim, config.max_iterations, parameters);
    const torch::Tensor probabilities =
        predict_probabilities(head_of(parameters, rows), held_features);
    tried.emplace_back(l2, top_k_accuracy(probabilities, held_labels, 1));
  }
  return tried;
}

}  // namespace

ProbeFit fit_linear_probe(const torch::Tensor& features, const torch::Tensor& labels,
                          std::int64_t classes, const ProbeConfig& config, std::uint64_t seed) {
  check_probe_data(features, labels, classes);
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
  const double slope = typical_slope(rows, classes);
  const Descent descent = descend(rows, fit.l2, kAim * slope, config.max_iterations, parameters);
  fit.head = head_of(parameters, rows);
  fit.objective = descent.objective;
  fit.iterations = descent.iterations;
  fit.converged = descent.largest_slope <= kConverged * slope;
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
