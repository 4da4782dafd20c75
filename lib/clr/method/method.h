// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "clr/config/registry.h"
#include "clr/core/batch.h"
#include "clr/core/rng.h"
#include "clr/loss/contrastive.h"
#include "clr/loss/shared_batch.h"
#include "clr/model/encoder.h"
#include "clr/model/mlp_head.h"

namespace clr {

class WordPiece;
class World;

/// joint: all views of a group in one forward, one set of batch-norm statistics; per_view: one
/// each.
enum class ViewForward { joint, per_view };
constexpr auto enum_names(ViewForward) { return std::array{"joint", "per_view"}; }

/// What a method is built from.
struct MethodContext {
  std::function<std::shared_ptr<Encoder>()> make_encoder;  ///< a freshly initialised encoder
  MlpHeadConfig projector;
  ViewForward view_forward = ViewForward::joint;
  LossBackend loss_backend = LossBackend::automatic;
  bool half_precision = false;  ///< embed() runs under autocast in 16 bits
  std::int64_t dataset_size = 0;
  std::int64_t classes = 0;  ///< 0: unlabelled
  std::int64_t steps_per_epoch = 0;
  std::int64_t total_steps = 0;
  std::vector<int> view_groups = {2};         ///< views of each size, as in Batch::groups
  std::int64_t micro_batch = 0;               ///< most images at once; 0: the whole batch
  std::shared_ptr<const WordPiece> pieces{};  ///< of texts
  /// How often each piece is in the data; unset where nothing is trained.
  std::function<std::vector<std::int64_t>()> piece_counts{};
};

/// Where training stands.
struct StepContext {
  std::int64_t step = 0;  ///< over the whole run
  std::int64_t epoch = 0;
  std::int64_t total_steps = 0;
  std::uint64_t seed = 0;

  /// Draws of a method's own (negatives, permutations), keyed by the step.
  Rng rng(std::uint32_t occurrence = 0) const {
    return Rng(seed, {static_cast<std::uint64_t>(step), 0, 0}, OpId::step, occurrence);
  }

  /// A random order of [0, size), this step's. size >= 1.
  Permutation order(std::int64_t size) const {
    return Permutation(seed, static_cast<std::uint32_t>(step), static_cast<std::uint64_t>(size),
                       OpId::step_order);
  }
};

/// What embed() gives and loss() takes. Everything that must carry a gradient back is in `z`.
struct Embeddings {
  /// An entry a view group or network, [V, N, D]; the method's own convention, but for N: an
  /// image's row along dimension 1 depends on no other image (batch norm excepted), so that
  /// train/gradient_cache.h may embed a batch in parts and join them there.
  std::vector<torch::Tensor> z;
};

/// Of several processes each has its share: loss and metrics are what add up to those of one that
/// holds the whole batch.
struct StepOutput {
  torch::Tensor loss;  ///< scalar, float32
  /// The method's own metrics: scalars, on the device, detached.
  std::vector<std::pair<std::string, torch::Tensor>> metrics;
};

/// Parameters that are treated alike by the optimiser.
struct ParameterGroup {
  std::vector<std::pair<std::string, torch::Tensor>> parameters;
  bool norm_or_bias = false;  ///< subject to optimizer.exclude_norm_and_bias
  double lr_multiplier = 1.0;
  bool constant_lr = false;  ///< the schedule does not apply
};

/// A training method: networks and a loss.
///
/// Owns its networks, targets, queues and prototypes as parameters and buffers, so that saving and
/// moving need no extra code. Names under `encoder.` and `projector.` are exported, all others are
/// training state.
class Method : public torch::nn::Module {
 public:
  Method();

  /// Batches are held by several processes from now on; with `sync_batch_norm` batch norm sees them
  /// as one. Queues, banks and targets are the same in all.
  /// Throws:  Error{config} for options that so many processes cannot share.
  virtual void join(std::shared_ptr<World> world, bool sync_batch_norm);

  /// Called before each step's embed().
  virtual void before_step(const StepContext&) {}

  /// The batch through the networks. Runs under autocast; must not change any state but batch
  /// norm's.
  virtual Embeddings embed(const Batch& batch) = 0;

  /// The loss, in float32, outside autocast. Changes no state. Of the batch it gets labels and
  /// indices; groups is empty.
  virtual StepOutput loss(const Embeddings& embeddings, const Batch& batch,
                          const StepContext& context) = 0;

  /// Called after the optimiser's step; the only place where queues, banks, targets and centres
  /// change. The batch is loss()'s.
  virtual void after_step(const Embeddings&, const Batch&, const StepContext&) {}

  /// Parameters to be trained. Default: all, one group of norms and biases and one of the others.
  virtual std::vector<ParameterGroup> parameter_groups();

  /// The network that is exported and judged.
  virtual Encoder& encoder() = 0;

  /// The projection head that is exported with it; null when there is none.
  virtual MlpHead* projector() { return nullptr; }

  /// Freezes (or thaws) batch norm's running statistics (model/batch_norm.h), for passes that must
  /// not count. Training mode still normalises by the batch.
  void freeze_running_statistics(bool frozen);

 protected:
  World& world() const { return *world_; }

  /// Whether batch norm sees the whole batch, whoever holds it.
  bool shared_statistics() const { return shared_statistics_; }

  /// This process's part of the batch's images: what a mean over its own rows counts.
  double share(const Batch& batch) const;

  /// Images of the processes before this one.
  std::int64_t first_image(const Batch& batch) const;

  /// Everyone's rows along `dimension`, k for each image of the batch, in the order of processes;
  /// with a gradient (dist/gather.h).
  torch::Tensor gather(const torch::Tensor& x, const Batch& batch,
                       std::int64_t dimension = 0) const;

  /// The batch as losses see it. Rows are k for each image.
  SharedBatch shared(const Batch& batch) const;

  /// x, which all processes have alike, as a metric: a share of it.
  torch::Tensor equal_share(const torch::Tensor& x) const;

  /// The sum of everyone's x, without a gradient.
  torch::Tensor sum(const torch::Tensor& x) const;

 private:
  bool shared_statistics_ = true;
  std::shared_ptr<World> world_;  ///< one process until join()
};

/// All views of a group through `encode`: one forward of [V * N, ...] when joint, V forwards
/// otherwise.
///
/// Shapes:  group [V, N, ...] -> [V, N, D] where encode gives [n, D] for [n, ...].
torch::Tensor forward_views(const ViewGroup& group, ViewForward mode,
                            const std::function<torch::Tensor(const View&)>& encode);

/// `x` in the type that losses are computed in: bfloat16 is widened, float64 stays.
torch::Tensor for_loss(const torch::Tensor& x);

/// Throws:  Error{config} unless there are at least two views, all of one size.
void require_views_of_one_size(const std::vector<int>& view_groups, const std::string& method);

/// Throws:  Error{config} unless the views are two of one size.
void require_two_views(const std::vector<int>& view_groups, const std::string& method);

/// Throws:  Error{data} for unlabelled images.
void require_labels(const MethodContext& context, const std::string& method);

using MethodEntry = Entry<std::shared_ptr<Method>, const MethodContext&>;
using MethodRegistry = Registry<std::shared_ptr<Method>, const MethodContext&>;

/// Every method that `method.type` can name.
const MethodRegistry& methods();

template <>
struct ComponentTraits<Method> {
  static const ComponentTable& table() { return methods(); }
};

}  // namespace clr
