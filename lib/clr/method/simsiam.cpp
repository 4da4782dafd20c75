// SPDX-License-Identifier: Apache-2.0
// SimSiam: a prediction head foretells, from one view, the embedding of the other, which gets no
// gradient from it. No negatives and no second network. Source: arXiv:2011.10566, algorithm 1.
//
// Objective: -(cos(p0, z1) + cos(p1, z0)) / 2, the mean over images; p predictions, z projections
// as constants.
//
// Its recipe: projector {"layers": 3, "batch_norm": "all"}, 2,048 wide; the head a quarter of that.
// Where other code differs:
// - The paper's code lets the head's learning rate fall with the others' unless it is told not to
//   (--fix-pred-lr), as its recipe does; here it is kept unless told otherwise.
// - Views go through the networks one by one whatever train.view_forward says, as in the paper's code.
#include "clr/loss/contrastive.h"
#include "clr/method/prediction_head.h"
#include "clr/method/projecting_method.h"

namespace clr {
namespace {

struct Options {
  PredictorOptions predictor{.hidden = 512};
  bool fix_predictor_rate = true;

  static void fields(auto&& f) {
    f("predictor", &Options::predictor, "prediction head on the embeddings");
    f("fix_predictor_rate", &Options::fix_predictor_rate,
      "the prediction head's learning rate does not follow the schedule");
  }
};

class SimSiam : public ProjectingMethod {
 public:
  SimSiam(const Options& options, const MethodContext& context)
      : ProjectingMethod(context), options_(options) {
    require_two_views(context.view_groups, "simsiam");
    predictor_ =
        register_module("predictor", make_predictor(options.predictor, projector_->output_dim()));
  }

  /// Predictions of both views, then projections of both, without a graph.
  Embeddings embed(const Batch& batch) override {
    return predictions_and_projections(
        batch.views(0), ViewForward::per_view, [this](const View& view) { return project(view); },
        *predictor_);
  }

  StepOutput loss(const Embeddings& embeddings, const Batch& batch, const StepContext&) override {
    const torch::Tensor predictions = unit_rows(embeddings.z.at(0).flatten(0, 1));
    const torch::Tensor projections = unit_rows(embeddings.z.at(1).detach().flip(0).flatten(0, 1));
    const torch::Tensor cosine = (predictions * projections).sum(1).mean() * share(batch);
    StepOutput output;
    output.loss = -cosine;
    output.metrics = {{"positive_cosine", cosine.detach()}};
    return output;
  }

  std::vector<ParameterGroup> parameter_groups() override {
    std::vector<ParameterGroup> groups;
    for (const ParameterGroup& whole : Method::parameter_groups()) {
      ParameterGroup network{{}, whole.norm_or_bias};
      ParameterGroup head{{}, whole.norm_or_bias};
      head.constant_lr = options_.fix_predictor_rate;
      for (const auto& item : whole.parameters)
        (item.first.starts_with("predictor.") ? head : network).parameters.push_back(item);
      for (const ParameterGroup& group : {network, head}) {
        if (!group.parameters.empty()) groups.push_back(group);
      }
    }
    return groups;
  }

 private:
  Options options_;
  std::shared_ptr<MlpHead> predictor_;
};

}  // namespace

MethodEntry simsiam_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "simsiam",
      "a prediction head foretells the other view's embedding, which stands still for it",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<SimSiam>(options, context);
      });
}

}  // namespace clr
