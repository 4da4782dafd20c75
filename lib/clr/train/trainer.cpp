// SPDX-License-Identifier: Apache-2.0
#include "clr/train/trainer.h"

#include <ATen/ops/stack.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "clr/core/autocast.h"
#include "clr/core/log.h"
#include "clr/core/progress.h"
#include "clr/core/row_keys.h"
#include "clr/core/stop.h"
#include "clr/data/bad_images.h"
#include "clr/data/text_dataset.h"
#include "clr/data/token_store.h"
#include "clr/dist/gradient_reducer.h"
#include "clr/io/file.h"
#include "clr/model/batch_norm.h"
#include "clr/model/text_encoder.h"
#include "clr/train/device_copies.h"
#include "clr/train/gradient_cache.h"
#include "clr/train/guard.h"
#include "clr/train/health_monitor.h"
#include "clr/train/knn_monitor.h"
#include "clr/train/metrics_log.h"
#include "clr/train/run_agreement.h"
#include "clr/train/run_folder.h"
#include "clr/train/run_setup.h"
#include "clr/train/shared_checkpoint.h"
#include "clr/train/step_exchange.h"
#include "clr/train/training_state.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// Where the training time goes, kNN checks and checkpoints left out.
struct Throughput {
  std::int64_t images = 0;
  double seconds = 0.0;
  double waiting = 0.0;

  void add(const Throughput& other) {
    images += other.images;
    seconds += other.seconds;
    waiting += other.waiting;
  }
  double images_per_s() const { return seconds > 0 ? static_cast<double>(images) / seconds : 0.0; }
  double data_wait() const { return seconds > 0 ? waiting / seconds : 0.0; }
};

std::vector<OptimizerGroup> optimizer_groups(Method& method, bool exclude_norm_and_bias) {
  std::vector<OptimizerGroup> groups;
  for (ParameterGroup& group : method.parameter_groups()) {
    groups.push_back({std::move(group.parameters), group.norm_or_bias && exclude_norm_and_bias,
                      group.lr_multiplier, group.constant_lr});
  }
  return groups;
}

/// Views that take several times as long as they could.
void log_unfused_views(const Augmenter& augmenter) {
  for (int view = 0; view < augmenter.view_count(); ++view) {
    if (augmenter.fused(view)) continue;
    log_info(
        "view {}: rendered operation by operation, slower; chains in the order crop, flip, jitter, "
        "gray, blur, solarize, normalize are rendered in one go",
        view);
    return;
  }
}

}  // namespace

class Trainer::Loop {
 public:
  Loop(const RunConfig& config, std::shared_ptr<const Dataset> dataset,
       const TrainerOptions& options)
      : config_(config),
        options_(options),
        world_(options.world),
        exchange_(options.world),
        dataset_(std::move(dataset)),
        copies_(options.device),
        bad_(dataset_->size(), config.data.max_bad),
        steps_per_epoch_(steps_per_epoch(config, dataset_->size(), world_->size())),
        total_steps_(steps_per_epoch_ * config.train.epochs),
        config_json_(dump_text(dump_value(config))),
        guard_(config) {
    const RunConfig& c = config_;
    require_kind(*dataset_, c.text.has_value());
    method_ =
        build_method(c, dataset_->size(), static_cast<std::int64_t>(dataset_->classes().size()),
                     steps_per_epoch_, [this] { return piece_counts(); });
    method_->join(world_, c.train.sync_batch_norm);
    load_initial_weights();
    require_agreement(*world_, Json::parse(config_json_), dataset_->fingerprint(), *method_);
    place_module(*method_, options.device, c.train.memory_format == MemoryFormat::channels_last,
                 c.train.precision);
    optimizer_options_ = shared_options(c.optimizer);
    base_rate_ = effective_learning_rate(optimizer_options_, c.train.batch_size);
    const auto groups = optimizer_groups(*method_, optimizer_options_.exclude_norm_and_bias);
    for (const auto& group : groups) {
      for (const auto& [name, parameter] : group.parameters) parameters_.push_back(parameter);
    }
    optimizer_ = optimizers().make(c.optimizer, groups);
    if (!world_->is_alone()) reducer_ = std::make_unique<GradientReducer>(world_, parameters_);
    if (c.text) {
      vocabulary_ = c.text->pieces->text();
      warn_of_equal_views(TextViews(*c.text));
    } else {
      log_unfused_views(Augmenter(c.augment));
    }
    loader_ =
        make_loader(dataset_, training_views(c),
                    training_loader_options(c, options.device, options.loader_threads, *world_));
    if (dataset_->labelled() && c.train.knn_every_epochs > 0) {
      knn_monitor_ =
          std::make_unique<KnnMonitor>(c, dataset_, options.device, options.loader_threads, world_);
    }
    if (c.train.health_every_epochs > 0) {
      health_monitor_ = std::make_unique<HealthMonitor>(c, dataset_, options.device,
                                                        options.loader_threads, world_);
    }
    if (c.train.guard == GuardMode::stop && !health_monitor_) {
      log_warning("train.guard = stop sees no collapse with train.health_every_epochs = 0");
    }
    if (options.resume) resume();
    // Last: what cannot be trained leaves no folder, and what goes on in one is locked from here on.
    if (world_->leads()) {
      make_output_folder(options.out);
      metrics_ = std::make_unique<MetricsLog>(options.out, state_.metrics_bytes, state_.step);
      if (state_.step > 0) guard_.replay(options.out / "metrics.jsonl");
    }
    world_->barrier();
  }

  bool at_start() const { return state_.step == 0; }
  bool finished() const { return state_.step == total_steps_; }
  Method& method() { return *method_; }

  void show(const std::string& tag, const std::string& png, int width, int height) {
    if (metrics_) metrics_->picture(tag, png, width, height);
  }

  TrainResult run() {
    const auto start = Clock::now();
    if (state_.step > 0) {
      log_info("resumed {} at step {} of {}", checkpoint_.string(), state_.step, total_steps_);
    }
    // Stopped between its last checkpoint and its result: what the checks found is in neither.
    if (finished() && knn_monitor_) knn_top1_ = knn_monitor_->top1(method_->encoder());
    if (finished() && health_monitor_) health_ = health_monitor_->measure(*method_);
    if (state_.step == 0 && health_monitor_) {
      // What the network is before it learns: everything after is to be read against it.
      health_ = health_monitor_->measure(*method_);
      Json json = row("start");
      for (const auto& [name, value] : health_) json[name] = value;
      write_row(json);
    }
    Progress progress("training", total_steps_, state_.step);
    method_->train();
    if (state_.step < total_steps_) loader_->start(state_.epoch, state_.step_in_epoch);
    while (state_.step < total_steps_) {
      train_step();
      progress.update(state_.step, note());
      const bool epoch_ended = state_.step_in_epoch == steps_per_epoch_;
      if (epoch_ended) {
        end_epoch();
      } else if (looked_at_early()) {
        write_health_row();
      }
      const StopReason stop = exchange_.agreed(wish());
      if (stop == StopReason::none) continue;
      if (checkpoint_step_ != state_.step) save();
      progress.finish();
      if (stop == StopReason::guard) {
        throw Error(ErrorKind::diverged,
                    fmt::format("{}: stopped by train.guard: {}", options_.out.string(),
                                found_ ? found_->message : "rank 0 saw why"));
      }
      if (stop == StopReason::signal) {
        throw Error(
            ErrorKind::stopped,
            fmt::format(
                "{}: stopped by a signal after step {} of {}, all saved; run again with --resume",
                options_.out.string(), state_.step, total_steps_));
      }
    }
    progress.finish();
    if (checkpoint_step_ < 0) save();
    TrainResult result;
    result.epochs = config_.train.epochs;
    result.steps = state_.step;
    result.loss = state_.last_epoch_loss;
    result.images_per_s = overall_.images_per_s();
    result.data_wait = overall_.data_wait();
    result.seconds = seconds_since(start);
    result.knn_top1 = knn_top1_;
    result.health = health_;
    result.bad_images = static_cast<std::int64_t>(bad_.images().size());
    result.checkpoint = checkpoint_;
    return result;
  }

 private:
  /// Dropout as the only difference between views teaches next to nothing from random weights.
  void warn_of_equal_views(const TextViews& views) const {
    const bool differ = views.view_count() < 2 || !views.all_the_same() ||
                        require_text_encoder(method_->encoder(), "texts").augments_embeddings();
    if (differ || options_.resume || !options_.init_name.empty()) return;
    log_warning(
        "text.views: all views of a text are the same, and weights begin at random: dropout alone "
        "teaches them next to nothing; take crops, neighbours or columns (source.type), or begin "
        "with trained weights (--init)");
  }

  /// Of a run of texts. Each method asks at most once: all are cut into tokens for it.
  std::vector<std::int64_t> piece_counts() const {
    const WordPiece& pieces = *config_.text->pieces;
    return TokenStore(*as_texts(*dataset_), pieces, options_.loader_threads).counts(pieces.size());
  }

  /// A whole model file, or an encoder alone.
  void load_initial_weights() {
    // Not kept: they are as large as the networks.
    const SafeTensors content = std::exchange(options_.init, {});
    if (content.tensors.empty()) return;
    load_tensors(method_->encoder(), content, "encoder.", options_.init_name);
    if (method_->projector() != nullptr && has_prefix(content, "projector.")) {
      load_tensors(*method_->projector(), content, "projector.", options_.init_name);
    }
  }

  void resume() {
    std::optional<fs::path> folder;
    std::optional<Checkpoint> read;
    if (world_->leads()) folder = newest_good_checkpoint(options_.out);
    if (folder) read = read_checkpoint(*folder);
    read = share_checkpoint(*world_, std::move(read));
    if (!read) return;
    if (!folder) folder = options_.out / "checkpoints";
    const Checkpoint& content = *read;
    const auto vocabulary = content.model.metadata.find(kVocabularyKey);
    if (vocabulary != content.model.metadata.end() && vocabulary->second != vocabulary_) {
      throw Error(ErrorKind::config,
                  fmt::format("/text/vocabulary: expected the pieces that the run was trained "
                              "with, got others in {}",
                              config_.text->vocabulary));
    }
    const auto stored = content.model.metadata.find(kDataKey);
    if (stored != content.model.metadata.end() && stored->second != dataset_->fingerprint()) {
      throw Error(
          ErrorKind::data,
          fmt::format("{}: expected the {} that the run was trained on (fingerprint {}), got "
                      "others ({}); give the same --data",
                      folder->string(), items_of(*dataset_), stored->second,
                      dataset_->fingerprint()));
    }
    state_ = restore_checkpoint(content, folder->string(), *method_, *optimizer_);
    bad_.restore(state_.bad);
    for (auto& [name, sum] : state_.epoch_sums) {
      sum = sum.to(options_.device);
      // Of all processes' steps: one has it.
      if (!world_->leads()) sum.zero_();
    }
    checkpoint_ = *folder;
    checkpoint_step_ = state_.step;
  }

  /// What a step leaves beside gradients.
  struct Computed {
    Embeddings embeddings;
    Batch batch;  ///< labels and indices; the views are gone
    StepOutput output;
    double waited = 0.0;  ///< seconds, for data
  };

  /// From the loader, on the CPU. Adds to `waited`.
  Batch next_batch(double& waited) {
    const auto start = Clock::now();
    Batch batch = loader_->next();
    waited += seconds_since(start);
    exchange_.exchange(batch, wish());
    note_bad(batch.bad);
    if (batch.size() == 0 && batch.total() > 0) {
      refuse(
          fmt::format("expected a readable image for each process, got none for rank {}; set "
                      "data.on_error=replace, or raise train.batch_size",
                      world_->rank()));
    }
    if (batch.size() > 0) set_row_keys(batch, static_cast<std::uint64_t>(config_.train.seed));
    return batch;
  }

  /// To the device, in the type that the networks take.
  void move(Batch& batch) const {
    copies_.move(batch);
    for (torch::Tensor& group : batch.groups) group = as_input(group, config_.train.precision);
  }

  StopReason wish() const {
    if (found_ && config_.train.guard == GuardMode::stop) return StopReason::guard;
    return stop_requested() ? StopReason::signal : StopReason::none;
  }

  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ErrorKind::data,
                fmt::format("epoch {}, step {}: {}", state_.epoch, state_.step_in_epoch, what));
  }

  void require_two(std::int64_t images, const char* where, const char* hint = "") const {
    if (images >= 2) return;
    refuse(fmt::format("expected at least 2 readable {} in a {}, got {}{}", items_of(*dataset_),
                       where, images, hint));
  }

  /// Batch norm of this process alone can make nothing of one image.
  void require_two_here(const Batch& batch) const {
    if (world_->is_alone() || config_.train.sync_batch_norm || batch.size() == 0) return;
    require_two(batch.size(), "process's share of a batch",
                "; raise train.batch_size, or set train.sync_batch_norm");
  }

  bool bfloat16() const { return config_.train.precision == Precision::bfloat16; }

  Computed whole_batch(const StepContext& context) {
    Computed result;
    result.batch = next_batch(result.waited);
    require_two(result.batch.total(), "batch");
    require_two_here(result.batch);
    move(result.batch);
    {
      const BFloat16Autocast autocast(options_.device.type(), bfloat16());
      result.embeddings = method_->embed(result.batch);
    }
    // No loss may look at pixels: with micro-batches there are none any more.
    result.batch.groups.clear();
    result.output = method_->loss(result.embeddings, result.batch, context);
    optimizer_->zero_grad();
    if (reducer_) reducer_->expect();
    result.output.loss.backward();
    return result;
  }

  Computed in_micro_batches(const StepContext& context) {
    Computed result;
    GradientCache cache(*method_, options_.device, bfloat16());
    const std::int64_t parts = loader_->parts(state_.step_in_epoch);
    std::vector<torch::Tensor> shown;  // indices of each part's images
    std::int64_t images = 0;
    for (std::int64_t i = 0; i < parts; ++i) {
      Batch part = next_batch(result.waited);
      // Without any it is passed over; of one, batch norm can make nothing.
      if (part.total() > 0) {
        require_two(part.total(), "micro-batch",
                    "; raise train.micro_batch, or replace unreadable images "
                    "(data.on_error)");
      }
      require_two_here(part);
      images += part.total();
      shown.push_back(part.indices);
      move(part);
      cache.embed(part);
    }
    require_two(images, "batch");
    optimizer_->zero_grad();
    result.output = cache.loss(context);
    for (const torch::Tensor& indices : shown) {
      Batch part = next_batch(result.waited);
      if (reducer_ && &indices == &shown.back()) reducer_->expect();
      if (!torch::equal(part.indices, indices)) {
        refuse(
            "expected the images of the first pass again, got others: one could be read only "
            "once; look at the disk");
      }
      move(part);
      cache.backward(part);
    }
    result.embeddings = cache.embeddings();
    result.batch = cache.batch();
    return result;
  }

  void train_step() {
    const auto start = Clock::now();
    const StepContext context{state_.step, state_.epoch, total_steps_,
                              static_cast<std::uint64_t>(config_.train.seed)};
    const double rate =
        base_rate_ * schedule_factor(config_.schedule, state_.step, total_steps_, steps_per_epoch_);
    const bool log_row = (state_.step + 1) % config_.train.log_every_steps == 0;

    method_->before_step(context);
    Computed computed =
        config_.train.micro_batch > 0 ? in_micro_batches(context) : whole_batch(context);
    StepOutput& output = computed.output;
    if (reducer_) reducer_->finish();
    if (!config_.train.sync_batch_norm)
      average_statistics(*method_, *world_, computed.batch.size());
    const torch::Tensor gradient_norm = limit_gradient();
    optimizer_->set_weight_decay(weight_decay_at(optimizer_options_, state_.step, total_steps_));
    optimizer_->step(rate, base_rate_);
    method_->after_step(computed.embeddings, computed.batch, context);

    output.metrics.insert(output.metrics.begin(), {"loss", output.loss.detach()});
    // Like the method's, these are shares that add up.
    const double share = 1.0 / world_->size();
    output.metrics.emplace_back("gradient_norm", gradient_norm * share);
    output.metrics.emplace_back("learning_rate", torch::tensor(rate * share, torch::kFloat64));
    for (const auto& [name, value] : output.metrics) {
      auto& sum = state_.epoch_sums[name];
      const torch::Tensor addend = value.to(torch::kFloat64);
      sum = sum.defined() ? sum + addend : addend.clone();
    }
    // On the CPU every step is looked at; on a GPU that would make it wait for each.
    if (options_.device.is_cpu() || log_row)
      check_finite(output.loss, computed.batch, context.step);

    ++state_.step;
    ++state_.step_in_epoch;
    const Throughput step{computed.batch.total(), seconds_since(start), computed.waited};
    since_row_.add(step);
    this_epoch_.add(step);
    overall_.add(step);
    if (log_row) write_step_row(output);
  }

  [[noreturn]] void diverged(const std::string& what) const {
    throw Error(
        ErrorKind::diverged,
        fmt::format("{}: {}; lower optimizer.learning_rate or lengthen schedule.warmup_epochs; "
                    "the newest checkpoint is from before",
                    options_.out.string(), what));
  }

  void check_finite(const torch::Tensor& loss, const Batch& batch, std::int64_t step) {
    // Of several processes, about: as if this one's share were the batch.
    last_loss_ = loss.item<double>() * static_cast<double>(batch.total()) /
                 static_cast<double>(batch.size());
    if (!std::isfinite(last_loss_)) {
      diverged(fmt::format("the loss of step {} (epoch {}) is {}", step, state_.epoch, last_loss_));
    }
  }

  /// Before anything is saved: a loss that was not looked at, or a last update, may have gone
  /// wrong.
  void check_weights() const {
    if (!torch::stack(at::_foreach_norm(parameters_)).isfinite().all().item<bool>()) {
      diverged(fmt::format("the norm of the weights is not finite after step {}", state_.step));
    }
  }

  /// Clips the gradients if wanted and returns their norm before that, on the device.
  torch::Tensor limit_gradient() {
    std::vector<torch::Tensor> gradients;
    for (const auto& parameter : parameters_) {
      if (parameter.grad().defined()) gradients.push_back(parameter.grad());
    }
    if (gradients.empty()) return torch::zeros({});
    const torch::Tensor norm = torch::stack(at::_foreach_norm(gradients)).norm();
    if (config_.train.gradient_clip > 0) {
      at::_foreach_mul_(gradients, (config_.train.gradient_clip / (norm + 1e-6)).clamp_max(1.0));
    }
    return norm;
  }

  void note_bad(const std::vector<BadImage>& reported) {
    for (const BadImage& image : bad_.add(reported)) {
      log_warning("{}: {}; {}", image.name, image.reason,
                  config_.data.on_error == OnError::skip ? "skipped" : "replaced");
    }
  }

  /// Microseconds of a loader thread for each image since the last row.
  void add_loader_times(Json& json) {
    const LoaderTimes now = loader_->times();
    const LoaderTimes since = now - loader_times_;
    loader_times_ = now;
    const double scale = 1e6 / static_cast<double>(std::max(since.images, std::int64_t{1}));
    json["read_us"] = scale * since.read;
    json["decode_us"] = scale * since.decode;
    json["augment_us"] = scale * since.augment;
  }

  Json row(const char* kind) const {
    return {{"kind", kind}, {"time", unix_time()}, {"step", state_.step}, {"epoch", state_.epoch}};
  }

  /// Writes a row, and what the guard makes of it: rank 0 does.
  void write_row(const Json& json) {
    if (!metrics_) return;
    metrics_->write(json);
    if (config_.train.guard == GuardMode::off) return;
    auto found = guard_.see(json);
    if (!found) return;
    Json seen = row("guard");
    seen["found"] = found->kind;
    seen["message"] = found->message;
    metrics_->write(seen);
    if (config_.train.guard == GuardMode::warn) log_warning("{}", found->message);
    found_ = std::move(found);
  }

  /// Whether the guard wants to see the health before the first epoch ends, which may be hours away.
  bool looked_at_early() const {
    const std::int64_t step = state_.step;
    return health_monitor_ && config_.train.guard != GuardMode::off && state_.epoch == 0 &&
           (step == 64 || step == 256 || step == 1024 || step == 4096);
  }

  void write_health_row() {
    Json json = row("health");
    for (const auto& [name, value] : health_monitor_->measure(*method_)) json[name] = value;
    write_row(json);
  }

  /// Numbers of which each process has a share.
  std::vector<double> totals(
      const std::vector<std::pair<std::string, torch::Tensor>>& shares) const {
    if (shares.empty()) return {};
    std::vector<torch::Tensor> numbers;
    for (const auto& [name, value] : shares)
      numbers.push_back(value.to(torch::kCPU, torch::kFloat64).reshape({}));
    const torch::Tensor all = at::stack(numbers);
    world_->sum(all);
    const auto* data = all.const_data_ptr<double>();
    return {data, data + all.numel()};
  }

  /// The sums of the epoch so far become rank 0's, where a checkpoint finds them.
  void settle_sums() {
    if (world_->is_alone() || state_.epoch_sums.empty()) return;
    const std::vector<std::pair<std::string, torch::Tensor>> sums(state_.epoch_sums.begin(),
                                                                  state_.epoch_sums.end());
    const std::vector<double> values = totals(sums);
    for (std::size_t i = 0; i < values.size(); ++i)
      sums[i].second.fill_(world_->leads() ? values[i] : 0.0);
  }

  void write_step_row(const StepOutput& output) {
    Json json = row("step");
    const std::vector<double> values = totals(output.metrics);
    for (std::size_t i = 0; i < values.size(); ++i) json[output.metrics[i].first] = values[i];
    json["images_per_s"] = since_row_.images_per_s();
    json["data_wait"] = since_row_.data_wait();
    write_row(json);
    since_row_ = {};
  }

  void end_epoch() {
    Json json = row("epoch");
    const std::vector<std::pair<std::string, torch::Tensor>> sums(state_.epoch_sums.begin(),
                                                                  state_.epoch_sums.end());
    const std::vector<double> values = totals(sums);
    for (std::size_t i = 0; i < values.size(); ++i) {
      json[sums[i].first] = values[i] / static_cast<double>(steps_per_epoch_);
    }
    state_.last_epoch_loss = json["loss"].get<double>();
    if (!std::isfinite(state_.last_epoch_loss))
      diverged(fmt::format("the mean loss of epoch {} is not finite", state_.epoch));
    json["images_per_s"] = this_epoch_.images_per_s();
    json["data_wait"] = this_epoch_.data_wait();
    add_loader_times(json);
    this_epoch_ = {};
    if (!bad_.images().empty()) json["bad_images"] = bad_.images().size();
    const bool last = state_.step == total_steps_;
    const std::int64_t epochs_done = state_.epoch + 1;
    knn_top1_.reset();
    if (knn_monitor_ && (last || epochs_done % config_.train.knn_every_epochs == 0)) {
      knn_top1_ = knn_monitor_->top1(method_->encoder());
    }
    if (knn_top1_) {
      json["knn_top1"] = *knn_top1_;
      json["knn_images"] = knn_monitor_->images();
    }
    health_.clear();
    if (health_monitor_ && (last || epochs_done % config_.train.health_every_epochs == 0)) {
      health_ = health_monitor_->measure(*method_);
    }
    std::string rank;
    for (const auto& [name, value] : health_) {
      json[name] = value;
      if (name == "h_rank") rank = fmt::format("  rank {:.1f}", value);
    }
    write_row(json);
    const std::string line = fmt::format(
        "epoch {}/{}  loss {:.4f}{}{}  {:.0f} {}/s", epochs_done, config_.train.epochs,
        state_.last_epoch_loss, knn_top1_ ? fmt::format("  kNN {:.1f} %", 100 * *knn_top1_) : "",
        rank, overall_.images_per_s(), items_of(*dataset_));
    // On few images epochs fly past faster than anyone reads; metrics.jsonl has them all.
    const auto now = std::chrono::steady_clock::now();
    if (!options_.silent && (last || knn_top1_ || now - epoch_line_ >= std::chrono::seconds(2))) {
      log_info("{}", line);
      epoch_line_ = now;
    } else {
      log_debug("{}", line);
    }
    state_.epoch = epochs_done;
    state_.step_in_epoch = 0;
    state_.epoch_sums.clear();
    if (last || epochs_done % config_.train.checkpoint_every_epochs == 0) save();
  }

  void save() {
    check_weights();
    settle_sums();
    checkpoint_step_ = state_.step;
    if (world_->leads()) write();
    world_->barrier();
  }

  void write() {
    state_.metrics_bytes = metrics_->sync();
    state_.bad = bad_.images();
    if (!state_.bad.empty()) write_bad_list();
    checkpoint_ = write_checkpoint(options_.out, state_.step,
                                   make_checkpoint(*method_, *optimizer_, state_,
                                                   {{kConfigKey, config_json_},
                                                    {kDataKey, dataset_->fingerprint()},
                                                    {kVocabularyKey, vocabulary_}}),
                                   config_.train.keep_checkpoints);
  }

  void write_bad_list() const {
    std::string text = "name\treason\n";
    for (const auto& [index, image] : state_.bad) text += image.name + "\t" + image.reason + "\n";
    write_file_durably(options_.out / "bad_images.tsv", text);
  }

  std::string note() const {
    return fmt::format("epoch {}/{}  loss {:.3f}  {:.0f} {}/s", state_.epoch + 1,
                       config_.train.epochs, last_loss_, overall_.images_per_s(),
                       items_of(*dataset_));
  }

  RunConfig config_;
  TrainerOptions options_;
  std::shared_ptr<World> world_;
  StepExchange exchange_;
  std::chrono::steady_clock::time_point epoch_line_{};  ///< when the last one was shown
  std::shared_ptr<const Dataset> dataset_;
  DeviceCopies copies_;
  BadImages bad_;
  std::int64_t steps_per_epoch_;
  std::int64_t total_steps_;
  std::string config_json_;
  std::string vocabulary_;  ///< of texts: its pieces, one a line
  std::shared_ptr<Method> method_;
  OptimizerOptions optimizer_options_;
  double base_rate_ = 0.0;
  std::vector<torch::Tensor> parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<GradientReducer> reducer_;  ///< null: one process
  std::unique_ptr<Loader> loader_;
  LoaderTimes loader_times_;  ///< up to the last row of an epoch
  std::unique_ptr<KnnMonitor> knn_monitor_;
  std::unique_ptr<HealthMonitor> health_monitor_;
  std::unique_ptr<MetricsLog> metrics_;  ///< rank 0's
  Guard guard_;
  std::optional<Guard::Finding> found_;  ///< what it saw last
  TrainingState state_;
  Throughput since_row_;
  Throughput this_epoch_;
  Throughput overall_;
  double last_loss_ = 0.0;
  std::optional<double> knn_top1_;
  std::vector<std::pair<std::string, double>> health_;  ///< the last measured, of this moment
  fs::path checkpoint_;
  std::int64_t checkpoint_step_ = -1;
};

Trainer::Trainer(const RunConfig& config, std::shared_ptr<const Dataset> dataset,
                 const TrainerOptions& options)
    : loop_(std::make_unique<Loop>(config, std::move(dataset), options)) {}

Trainer::~Trainer() = default;

bool Trainer::at_start() const { return loop_->at_start(); }

bool Trainer::finished() const { return loop_->finished(); }

void Trainer::show(const std::string& tag, const std::string& png, int width, int height) {
  loop_->show(tag, png, width, height);
}

TrainResult Trainer::run() { return loop_->run(); }

Method& Trainer::method() { return loop_->method(); }

}  // namespace clr
