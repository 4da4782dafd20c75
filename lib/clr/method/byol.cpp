// SPDX-License-Identifier: Apache-2.0
// BYOL: a prediction head foretells, from one view, what a slowly moving copy of encoder and
// projection head makes of the image's other view. No negatives. Source: arXiv:2006.07733, eq. 2.
//
// Objective: |p0 - t1|^2 + |p1 - t0|^2 of unit vectors, which is 4 - 2 cos(p0, t1) - 2 cos(p1, t0),
// the mean over images; p predictions, t the target's projections, which get no gradient.
//
// Where other code differs:
// - lightly's examples take the mean of both directions' negative cosines: this loss less its
//   constant, a quarter of it. A recipe of theirs wants its learning rate divided by four.
// - The target follows after a step, by that step's momentum, as in DeepMind's code and solo-learn; in
//   lightly's examples before it, by the next one's.
// - Views go through the networks one by one whatever train.view_forward says, as in DeepMind's:
//   batch norm's statistics are of one view, and the target's are of its own passes.
#include "clr/loss/contrastive.h"
#include "clr/method/target_prediction.h"

namespace clr {
namespace {

struct Options : MomentumOptions {
  PredictorOptions predictor;

  Options() {
    momentum = 0.996;
    final_momentum = 1.0;
  }

  static void fields(auto&& f) {
    base_fields<Options>(f);
    f("predictor", &Options::predictor, "prediction head on the trained network's embeddings");
  }
};

class Byol : public TargetPrediction {
 public:
  Byol(const Options& options, const MethodContext& context)
      : TargetPrediction(options, options.predictor, context, "byol") {}

  StepOutput loss(const Embeddings& embeddings, const Batch& batch,
                  const StepContext& context) override {
    const torch::Tensor predictions = unit_rows(embeddings.z.at(0).flatten(0, 1));
    const torch::Tensor targets = unit_rows(embeddings.z.at(1).detach().flip(0).flatten(0, 1));
    const torch::Tensor cosine = (predictions * targets).sum(1).mean();
    StepOutput output;
    output.loss = (4 - 4 * cosine) * share(batch);
    output.metrics = {{"positive_cosine", cosine.detach() * share(batch)}};
    add_momentum(output, context);
    return output;
  }
};

}  // namespace

MethodEntry byol_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "byol", "a prediction head foretells a slowly moving network's embedding of the other view",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<Byol>(options, context);
      });
}

}  // namespace clr
