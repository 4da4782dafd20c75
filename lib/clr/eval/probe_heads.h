// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "clr/config/fields.h"
#include "clr/eval/feature_scaling.h"

namespace clr {

/// The `probe.heads` section.
struct ProbeHeadsConfig {
  std::vector<double> learning_rates{0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0};
  std::vector<double> weight_decays{0.0, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1};
  std::int64_t epochs = 50;
  std::int64_t batch_size = 256;
  double momentum = 0.9;

  static void fields(auto&& f) {
    f("learning_rates", &ProbeHeadsConfig::learning_rates, Above{0},
      "of the first step, for batch_size images; to 0 by a cosine");
    f("weight_decays", &ProbeHeadsConfig::weight_decays, AtLeast{0},
      "added to the gradient: decay * weight");
    f("epochs", &ProbeHeadsConfig::epochs, In{1, 1e6}, "passes over the features");
    f("batch_size", &ProbeHeadsConfig::batch_size, In{1, 1 << 20}, "features a step");
    f("momentum", &ProbeHeadsConfig::momentum, In{0, 0.9999}, "Nesterov's");
  }
};

/// One of the grid, and how right it was about the held-out images.
struct ProbeHeadTrial {
  double learning_rate = 0.0;
  double weight_decay = 0.0;
  double last_top1 = 0.0;       ///< after the last epoch; 0 where it diverged
  double best_top1 = 0.0;       ///< of the best epoch
  std::int64_t best_epoch = 0;  ///< the first of the best, from 1
};

struct ProbeHeadsFit {
  std::vector<ProbeHeadTrial> tried;  ///< rate by rate, decay by decay
  std::size_t selected = 0;   ///< best after the last epoch; ties: more decay, then the lower rate
  std::int64_t held_out = 0;  ///< images that chose; 0: none did
  LinearHead last;  ///< the selected one, trained again on all images, after the last epoch
  LinearHead best;  ///< and after the epoch that was the best when it was chosen
};

/// Softmax regression by Nesterov's gradient descent from zero, for a whole grid of learning rates
/// and weight decays at once: all heads see the same batches, so that a step is one product with
/// all of their weights. The grid is judged on a stratified seeded part of the images; the chosen
/// one is trained again on all.
///
/// Shapes:  features [n, F] float32, labels [n] int64 in [0, classes). On the CPU. Batches by a
///          keyed permutation an epoch. The bias is not decayed.
/// Memory:  the features in float64 while they are scaled, 24 * n * F bytes in all, and
///          16 * F * classes bytes a head, of about 256 MB of heads at a time.
/// Throws:  Error{data} when fewer than two classes occur, or no class has the two images that
///          holding one out takes. c10::Error for other shapes or labels.
ProbeHeadsFit fit_probe_heads(const torch::Tensor& features, const torch::Tensor& labels,
                              std::int64_t classes, const ProbeHeadsConfig& config,
                              bool standardize, double validation, std::uint64_t seed);

/// The same for images of which none can be held out: the middle of the grid (the upper one of an
/// even number) is trained, and `tried` holds it alone.
ProbeHeadsFit fit_middle_head(const torch::Tensor& features, const torch::Tensor& labels,
                              std::int64_t classes, const ProbeHeadsConfig& config,
                              bool standardize, std::uint64_t seed);

}  // namespace clr
