// SPDX-License-Identifier: Apache-2.0
// MoCo v3: a prediction head's queries attract the keys that a slowly moving copy of encoder and
// projection head makes of the image's other view, and are repelled by the batch's other keys of
// that view. No queue. Source: arXiv:2104.02057, algorithm 1.
//
// Objective: ctr(q0, k1) + ctr(q1, k0), where ctr is the mean cross-entropy over the N keys of one
// view, times 2 * temperature.
//
// Where other code differs:
// - Its own code averages the target before it makes the keys, so that its momentum is one step
//   further along the ramp; here, as in solo-learn, a step's momentum follows that step.
// - solo-learn's prediction head ends without batch norm: predictor.batch_norm = hidden.
// - Views go through the networks one by one whatever train.view_forward says, as in both.
#include "clr/loss/contrastive.h"
#include "clr/method/target_prediction.h"

namespace clr {
namespace {

struct Options : MomentumOptions {
  double temperature = 1.0;
  PredictorOptions predictor;

  Options() {
    final_momentum = 1.0;
    predictor = {.batch_norm = HeadBatchNorm::all, .bias = false};
  }

  static void fields(auto&& f) {
    base_fields<Options>(f);
    f("temperature", &Options::temperature, In{1e-3, 100}, "temperature of the InfoNCE loss");
    f("predictor", &Options::predictor, "prediction head on the queries");
  }
};

class MoCoV3 : public TargetPrediction {
 public:
  MoCoV3(const Options& options, const MethodContext& context)
      : TargetPrediction(options, options.predictor, context, "moco_v3"),
        temperature_(options.temperature),
        loss_backend_(context.loss_backend),
        half_precision_(context.half_precision) {}

  StepOutput loss(const Embeddings& embeddings, const Batch& batch,
                  const StepContext& context) override {
    const torch::Tensor& queries = embeddings.z.at(0);
    const torch::Tensor keys = gather(embeddings.z.at(1).detach(), batch, 1);
    const std::int64_t first = first_image(batch);
    StepOutput output;
    torch::Tensor total;
    torch::Tensor pairs = torch::zeros({}, queries.options());
    torch::Tensor all = torch::zeros({}, queries.options());
    for (std::int64_t view = 0; view < 2; ++view) {
      const torch::Tensor rows = unit_rows(queries[view]);
      const torch::Tensor columns = unit_rows(keys[1 - view]);
      const torch::Tensor direction = cross_entropy(rows, columns, first) * (2 * temperature_);
      total = total.defined() ? total + direction : direction;
      pairs += (rows * columns.narrow(0, first, rows.size(0))).detach().sum();
      all += rows.detach().sum(0).dot(columns.sum(0));
    }
    output.loss = total.to(queries.scalar_type()) * share(batch);
    const double n = static_cast<double>(queries.size(1)) / share(batch);
    output.metrics = {{"positive_cosine", pairs / (2 * n)},
                      {"negative_cosine", (all - pairs) / (2 * n * (n - 1))}};
    add_momentum(output, context);
    return output;
  }

 private:
  /// Mean over the rows, column first + i being row i's class.
  torch::Tensor cross_entropy(const torch::Tensor& rows, const torch::Tensor& columns,
                              std::int64_t first) const {
    ContrastiveProblem problem;
    problem.rows = rows;
    problem.columns = columns;
    problem.inverse_temperature = inverse_temperature(temperature_, rows.device());
    problem.pairing = Pairing::same_index;
    problem.row_offset = first;
    problem.backend = loss_backend_;
    problem.half_precision = half_precision_;
    const LogSums sums = log_sums(problem);
    return pair_cross_entropy(sums.pairs, sums.rows).mean();
  }

  double temperature_;
  LossBackend loss_backend_;
  bool half_precision_;
};

}  // namespace

MethodEntry moco_v3_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "moco_v3", "a prediction head's queries meet keys of a slowly moving network, in the batch",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<MoCoV3>(options, context);
      });
}

}  // namespace clr
