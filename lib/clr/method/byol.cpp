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
#include "clr/dist/world.h"
#include "clr/loss/contrastive.h"
#include "clr/method/method.h"
#include "clr/method/momentum_encoder.h"
#include "clr/method/prediction_head.h"

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

class Byol : public Method {
 public:
  Byol(const Options& options, const MethodContext& context) : options_(options) {
    require_two_views(context.view_groups, "byol");
    encoder_ = register_module("encoder", context.make_encoder());
    projector_ = register_module(
        "projector", std::make_shared<MlpHead>(encoder_->feature_dim(), context.projector));
    predictor_ =
        register_module("predictor", make_predictor(options.predictor, projector_->output_dim()));
    target_ = register_module("target",
                              std::make_shared<MomentumEncoder>(context, *encoder_, *projector_));
  }

  void before_step(const StepContext& context) override {
    // Weights may have been loaded since the target was made.
    if (context.step == 0) target_->copy(*encoder_, *projector_);
  }

  /// Predictions of both views, then the target's projections of both.
  Embeddings embed(const Batch& batch) override {
    const ViewGroup views = batch.views(0);
    const torch::Tensor predictions =
        forward_views(views, ViewForward::per_view, [this](const View& view) {
          return predictor_->forward(projector_->forward(encoder_->forward(view)));
        });
    const torch::Tensor targets = forward_views(
        views, ViewForward::per_view, [this](const View& view) { return target_->forward(view); });
    return {{for_loss(predictions), for_loss(targets)}};
  }

  StepOutput loss(const Embeddings& embeddings, const Batch& batch,
                  const StepContext& context) override {
    const torch::Tensor predictions = unit_rows(embeddings.z.at(0).flatten(0, 1));
    const torch::Tensor targets = unit_rows(embeddings.z.at(1).detach().flip(0).flatten(0, 1));
    const torch::Tensor cosine = (predictions * targets).sum(1).mean();
    StepOutput output;
    output.loss = (4 - 4 * cosine) * share(batch);
    output.metrics = {{"positive_cosine", cosine.detach() * share(batch)}};
    options_.add_metric(output, context, world().size());
    return output;
  }

  void after_step(const Embeddings&, const Batch&, const StepContext& context) override {
    target_->follow(*encoder_, *projector_, options_.momentum_at(context));
  }

  Encoder& encoder() override { return *encoder_; }
  MlpHead* projector() override { return projector_.get(); }

 private:
  Options options_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<MlpHead> projector_;
  std::shared_ptr<MlpHead> predictor_;
  std::shared_ptr<MomentumEncoder> target_;
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
