// SPDX-License-Identifier: Apache-2.0
// NNCLR: the positive of a view is not the image's other view but that one's nearest neighbour among
// embeddings of earlier batches; the predictions of the batch's other images repel.
// Source: arXiv:2104.14548, eq. 4 and 5.
//
// Objective: for both directions, their mean, InfoNCE of each neighbour q_i of z_i (one view) over
// the predictions p_k of the other view: -log(exp(q_i . p_i / t) / sum_k exp(q_i . p_k / t)), all of
// unit length. Neighbours get no gradient. The queue takes the first view's projections after each step.
//
// Where other code differs:
// - lightly's example has NTXentLoss for the loss: the batch's other rows of both sides are negatives,
//   neighbours among them. Its queue takes the second view's embeddings, solo-learn's the first's.
// - train.view_forward says whether batch norm sees views together; solo-learn's is per_view.
#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "clr/loss/contrastive.h"
#include "clr/method/prediction_head.h"
#include "clr/method/projecting_method.h"
#include "clr/method/row_queue.h"

namespace clr {
namespace {

struct Options {
  double temperature = 0.1;
  std::int64_t queue_size = 98304;
  PredictorOptions predictor;

  static void fields(auto&& f) {
    f("temperature", &Options::temperature, In{1e-3, 100}, "temperature of the InfoNCE loss");
    f("queue_size", &Options::queue_size, In{1, 1 << 26},
      "embeddings of earlier batches, among which neighbours are looked for");
    f("predictor", &Options::predictor, "prediction head on the embeddings");
  }
};

class NnClr : public ProjectingMethod {
 public:
  NnClr(const Options& options, const MethodContext& context)
      : ProjectingMethod(context),
        options_(options),
        loss_backend_(context.loss_backend),
        half_precision_(context.half_precision),
        view_forward_(context.view_forward) {
    require_two_views(context.view_groups, "nnclr");
    predictor_ =
        register_module("predictor", make_predictor(options.predictor, projector_->output_dim()));
    queue_ = register_buffer("queue",
                             unit_rows(at::randn({options.queue_size, projector_->output_dim()})));
    queue_position_ = register_buffer("queue_position", at::zeros({}, torch::dtype(torch::kInt64)));
  }

  /// Predictions of both views, then projections of both, without a graph.
  Embeddings embed(const Batch& batch) override {
    return predictions_and_projections(
        batch.views(0), view_forward_, [this](const View& view) { return project(view); },
        *predictor_);
  }

  StepOutput loss(const Embeddings& embeddings, const Batch& batch, const StepContext&) override {
    const torch::Tensor& predictions = embeddings.z.at(0);
    const std::int64_t n = predictions.size(1);
    const torch::Tensor own = unit_rows(embeddings.z.at(1).detach().flatten(0, 1));
    const torch::Tensor found = neighbors(own);
    const torch::Tensor columns = unit_rows(gather(predictions, batch, 1).flatten(0, 1));
    const std::int64_t all = columns.size(0) / 2;
    const std::int64_t first = first_image(batch);
    torch::Tensor total;
    torch::Tensor cosines;
    for (std::int64_t view = 0; view < 2; ++view) {
      ContrastiveProblem problem;
      problem.rows = found.narrow(0, view * n, n);
      problem.columns = columns.narrow(0, (1 - view) * all, all);
      problem.inverse_temperature = inverse_temperature(options_.temperature, columns.device());
      problem.pairing = Pairing::same_index;
      problem.row_offset = first;
      problem.backend = loss_backend_;
      problem.half_precision = half_precision_;
      const LogSums sums = log_sums(problem);
      const torch::Tensor direction = pair_cross_entropy(sums.pairs, sums.rows).mean() / 2;
      const torch::Tensor pairs = sums.pairs.detach().mean() * (options_.temperature / 2);
      total = total.defined() ? total + direction : direction;
      cosines = cosines.defined() ? cosines + pairs : pairs;
    }
    StepOutput output;
    output.loss = total.to(predictions.scalar_type()) * share(batch);
    output.metrics = {{"positive_cosine", cosines * share(batch)},
                      {"neighbor_cosine", (own * found).sum(1).mean() * share(batch)}};
    return output;
  }

  void after_step(const Embeddings& embeddings, const Batch& batch, const StepContext&) override {
    enqueue(queue_, queue_position_, unit_rows(gather(embeddings.z.at(1)[0].detach(), batch)));
  }

 private:
  /// The queue's row nearest to each of `rows`, piece by piece, so that no matrix of both is held.
  torch::Tensor neighbors(const torch::Tensor& rows) const {
    const torch::NoGradGuard no_grad;
    constexpr std::int64_t kElements = std::int64_t{1} << 24;
    const std::int64_t most = std::max<std::int64_t>(1, kElements / options_.queue_size);
    const torch::Tensor queue = queue_.to(rows.scalar_type());
    std::vector<torch::Tensor> nearest;
    for (const torch::Tensor& part : rows.split(most))
      nearest.push_back(at::argmax(at::mm(part, queue.t()), 1));
    return queue.index_select(0, at::cat(nearest));
  }

  Options options_;
  LossBackend loss_backend_;
  bool half_precision_;
  ViewForward view_forward_;
  std::shared_ptr<MlpHead> predictor_;
  torch::Tensor queue_;           ///< [K, D], unit rows
  torch::Tensor queue_position_;  ///< where the next row goes: the oldest one
};

}  // namespace

MethodEntry nnclr_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "nnclr", "a view's positive is its nearest neighbour among earlier embeddings",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<NnClr>(options, context);
      });
}

}  // namespace clr
