// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "clr/config/fields.h"
#include "clr/eval/feature_scaling.h"
#include "clr/eval/probe_heads.h"

namespace clr {

enum class ProbeProtocol { lbfgs, heads, sgd };
constexpr auto enum_names(ProbeProtocol) { return std::array{"lbfgs", "heads", "sgd"}; }

/// The `probe` section.
struct ProbeConfig {
  ProbeProtocol protocol = ProbeProtocol::lbfgs;
  AutoOr<double> l2;
  bool standardize = true;
  double validation = 0.1;
  std::int64_t max_iterations = 1000;
  ProbeHeadsConfig heads;

  static void fields(auto&& f) {
    f("protocol", &ProbeConfig::protocol,
      "lbfgs: logistic regression on cached features; heads: gradient descent on them, a grid of "
      "learning rates and weight decays at once; sgd: SimCLR's, gradient descent on augmented "
      "images");
    f("l2", &ProbeConfig::l2, AtLeast{0},
      "lbfgs: factor of the summed squared weights beside the mean loss; auto = chosen on held-out "
      "training images");
    f("standardize", &ProbeConfig::standardize,
      "lbfgs, heads: features to mean 0, deviation 1 (of the training set)");
    f("validation", &ProbeConfig::validation, In{0.01, 0.5},
      "lbfgs, heads: share of train held out to choose by");
    f("max_iterations", &ProbeConfig::max_iterations, In{1, 1e6}, "lbfgs: of the search");
    f("heads", &ProbeConfig::heads, "heads: the grid, and how it is trained");
  }
};

/// A fitted probe, and what the fit found.
struct ProbeFit {
  LinearHead head;
  double l2 = 0.0;
  double objective = 0.0;  ///< mean cross-entropy + l2 * sum of squared (standardised) weights
  std::int64_t iterations = 0;
  bool converged = false;  ///< largest slope <= 1e-6 of the features' size / C
  std::vector<std::pair<double, double>> tried;  ///< (l2, validation accuracy), with l2 = auto
};

/// L2-regularised multinomial logistic regression by L-BFGS, in float64 from zero.
///
/// Shapes:  features [n, F] float32, labels [n] int64 in [0, classes). On the CPU. The bias is not
///          regularised. Standardisation (population deviation; constant features: 1) is folded
///          into the returned head.
/// l2=auto: tries 10^1 ... 10^-6 in half decades (each begun where the larger one ended) on a
///          stratified seeded split, takes the best (ties: the larger), and fits again on all rows.
/// Memory:  8 * F * (n + 3 * F) bytes, and one block of logits.
/// Throws:  Error{data} when fewer than two classes occur, or, with l2=auto, no class has the two
///          images that holding one out takes. c10::Error for other shapes or labels.
ProbeFit fit_linear_probe(const torch::Tensor& features, const torch::Tensor& labels,
                          std::int64_t classes, const ProbeConfig& config, std::uint64_t seed);

/// Class probabilities [n, C] float32 of a head on raw features (summed in float64).
torch::Tensor predict_probabilities(const LinearHead& head, const torch::Tensor& features);

}  // namespace clr
