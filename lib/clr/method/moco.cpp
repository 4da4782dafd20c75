// SPDX-License-Identifier: Apache-2.0
// MoCo: a query attracts the key that a slowly moving copy of its network makes of the image's
// other view, and is repelled by a queue of keys of earlier batches. Sources: arXiv:1911.05722 (v1),
// arXiv:2003.04297 (v2: a hidden layer in the head, more augmentation, a cosine schedule).
//
// Objective: InfoNCE of each query over its key and the K rows of the queue (loss/info_nce.h). The
// query is of view 0 and the key of view 1; `symmetric` takes the mean with the other direction.
//
// Where other code differs:
// - MoCo's CIFAR demo sums both directions. Its recipe at the mean wants twice its learning rate and
//   half its weight decay, which for SGD is the same to the last step.
// - solo-learn has a queue for each view; here both directions see one, as in the demo.
// - lightly 1.6 puts keys into the queue between the two directions: the second one has the
//   current batch's keys among its negatives. Here they come after the step, behind both.
// - Views go through the networks one by one whatever train.view_forward says, as in all of these.
// - The momentum's ramp, which the papers lack, is solo-learn's.
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include "clr/dist/world.h"
#include "clr/loss/info_nce.h"
#include "clr/method/momentum_encoder.h"
#include "clr/method/projecting_method.h"
#include "clr/method/row_queue.h"
#include "clr/model/batch_norm.h"

namespace clr {
namespace {

struct Options : MomentumOptions {
  double temperature = 0.07;
  std::int64_t queue_size = 65536;
  std::int64_t batch_norm_splits = 1;
  bool symmetric = false;

  Options() { momentum = 0.999; }

  static void fields(auto&& f) {
    base_fields<Options>(f);
    f("temperature", &Options::temperature, In{1e-3, 100}, "temperature of the InfoNCE loss");
    f("queue_size", &Options::queue_size, In{1, 1 << 26}, "keys of earlier batches, the negatives");
    f("batch_norm_splits", &Options::batch_norm_splits, In{1, 4096},
      "groups of a batch that batch norm treats as batches of their own, as on so many GPUs; keys "
      "are then grouped otherwise than queries, so that statistics give no pair away");
    f("symmetric", &Options::symmetric,
      "each view is query and key: the mean of both losses, twice the work");
  }
};

class MoCo : public ProjectingMethod {
 public:
  MoCo(const Options& options, const MethodContext& context)
      : ProjectingMethod(context), options_(options), loss_backend_(context.loss_backend) {
    require_two_views(context.view_groups, "moco");
    target_ = register_module("target",
                              std::make_shared<MomentumEncoder>(context, *encoder_, *projector_));
    queue_ = register_buffer("queue",
                             unit_rows(at::randn({options.queue_size, projector_->output_dim()})));
    queue_position_ = register_buffer("queue_position", at::zeros({}, torch::dtype(torch::kInt64)));
    for (const auto& module : modules(/*include_self=*/false)) {
      if (auto* norm = dynamic_cast<BatchNorm*>(module.get())) {
        norm->set_splits(options.batch_norm_splits);
      }
    }
  }

  void join(std::shared_ptr<World> world, bool sync_batch_norm) override {
    const std::int64_t splits = options_.batch_norm_splits;
    if (sync_batch_norm && splits > 1 && splits % world->size() != 0) {
      throw Error(ErrorKind::config,
                  fmt::format("/method/batch_norm_splits: expected a multiple of the {} processes, "
                              "got {}",
                              world->size(), splits));
    }
    Method::join(std::move(world), sync_batch_norm);
  }

  void before_step(const StepContext& context) override {
    context_ = context;
    // Weights may have been loaded since the target was made.
    if (context.step == 0) target_->copy(*encoder_, *projector_);
  }

  /// Queries of view 0, or of both; then keys of view 1, or of both.
  Embeddings embed(const Batch& batch) override {
    const ViewGroup views = batch.views(0);
    const torch::Tensor queries =
        forward_views(options_.symmetric ? views : views.narrow(0, 1), ViewForward::per_view,
                      [this](const View& view) { return project(view); });
    const torch::Tensor keys =
        forward_views(options_.symmetric ? views : views.narrow(1, 1), ViewForward::per_view,
                      [&](const View& view) { return keys_of(view, batch); });
    return {{for_loss(queries), for_loss(keys)}};
  }

  StepOutput loss(const Embeddings& embeddings, const Batch& batch,
                  const StepContext& context) override {
    const torch::Tensor queries = embeddings.z.at(0).flatten(0, 1);
    // Of the other view: one direction has one row of keys, which stays where it is.
    const torch::Tensor keys = embeddings.z.at(1).detach().flip(0).flatten(0, 1);
    StepOutput output;
    output.loss =
        info_nce(queries, keys, queue_, options_.temperature, loss_backend_) * share(batch);

    const torch::NoGradGuard no_grad;
    const torch::Tensor unit = unit_rows(queries);
    const double rows = static_cast<double>(unit.size(0)) / share(batch);
    output.metrics = {{"positive_cosine", (unit * unit_rows(keys)).sum() / rows},
                      {"negative_cosine", unit.sum(0).dot(queue_.sum(0)) /
                                              (rows * static_cast<double>(options_.queue_size))}};
    options_.add_metric(output, context, world().size());
    return output;
  }

  /// The target first follows here and not before the next step's keys, which is the same.
  void after_step(const Embeddings& embeddings, const Batch& batch,
                  const StepContext& context) override {
    target_->follow(*encoder_, *projector_, options_.momentum_at(context));
    enqueue(queue_, queue_position_,
            unit_rows(gather(embeddings.z.at(1).detach(), batch, 1).flatten(0, 1)));
  }

 private:
  /// Where batch norm sees parts of the batch, the keys' are other ones: whatever process an image
  /// is of, its key may be made by any.
  torch::Tensor keys_of(const View& view, const Batch& batch) {
    if (options_.batch_norm_splits == 1 && shared_statistics()) return target_->forward(view);
    const std::int64_t own = view.input.size(0);
    const std::int64_t rows = world().is_alone() ? own : batch.total();
    const Permutation order = context_.order(rows);
    torch::Tensor taken = at::empty({rows}, torch::dtype(torch::kInt64));
    for (std::int64_t i = 0; i < rows; ++i) {
      taken.data_ptr<std::int64_t>()[i] =
          static_cast<std::int64_t>(order(static_cast<std::uint64_t>(i)));
    }
    const torch::Device device = view.input.device();
    const std::int64_t first = first_image(batch);
    const View permuted{
        gather(view.input, batch).index_select(0, taken.narrow(0, first, own).to(device)), {}};
    return gather(target_->forward(permuted), batch)
        .index_select(0, taken.argsort().narrow(0, first, own).to(device));
  }

  Options options_;
  LossBackend loss_backend_;
  StepContext context_;
  std::shared_ptr<MomentumEncoder> target_;
  torch::Tensor queue_;           ///< [K, D], unit rows
  torch::Tensor queue_position_;  ///< where the next key goes: the oldest one's row
};

}  // namespace

MethodEntry moco_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "moco", "queries meet keys of a slowly moving network, against a queue of earlier keys",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<MoCo>(options, context);
      });
}

}  // namespace clr
