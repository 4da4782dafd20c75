// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>

#include "clr/config/fields.h"
#include "clr/method/method.h"
#include "clr/model/encoder.h"
#include "clr/model/mlp_head.h"

namespace clr {

/// What methods with a target network are told of it; listed first by each one's own Options.
struct MomentumOptions {
  double momentum = 0.99;
  double final_momentum = 0.0;

  template <class Options>
  static void base_fields(auto&& f) {
    f("momentum", &Options::momentum, In{0, 1},
      "share of itself that the target network keeps at each step");
    f("final_momentum", &Options::final_momentum, In{0, 1},
      "momentum at the end of the run, reached along a cosine; 0 = constant");
  }

  /// Throws:  Error{config} for a final momentum below the first.
  void validate(const Place& place) const;

  bool ramped() const { return final_momentum > momentum; }

  /// `momentum`, where it changes; a share of it, of so many processes.
  void add_metric(StepOutput& output, const StepContext& context, int processes) const;

  /// With a final momentum: final - (final - first) * (1 + cos(pi * t)) / 2, t = step / total_steps.
  /// The first one where there is no run to go along (total_steps 0).
  double momentum_at(const StepContext& context) const;
};

/// A target: an encoder and its projection head that no gradient reaches and that follow the
/// trained ones as a moving average.
///
/// Only parameters are averaged. Batch norm's buffers come from the target's own passes, as in
/// MoCo's code; in training mode these normalise by their own batch. Register it under a name that
/// is not exported, `target`.
class MomentumEncoder : public torch::nn::Module {
 public:
  /// Starts as a copy of `encoder` and `projector`.
  MomentumEncoder(const MethodContext& context, const Encoder& encoder, const MlpHead& projector);

  /// Embeddings [N, D] of a view, without a graph; nothing is left out at random.
  torch::Tensor forward(const View& view);

  /// Takes over all parameters and buffers of the trained networks.
  void copy(const Encoder& encoder, const MlpHead& projector);

  /// Parameters become momentum * themselves + (1 - momentum) * the trained ones.
  void follow(const Encoder& encoder, const MlpHead& projector, double momentum);

 private:
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<MlpHead> projector_;
};

}  // namespace clr
