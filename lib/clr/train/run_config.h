// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "clr/augment/augmenter.h"
#include "clr/config/fields.h"
#include "clr/config/load.h"
#include "clr/data/dataset.h"
#include "clr/data/view_plan.h"
#include "clr/method/method.h"
#include "clr/model/encoder.h"
#include "clr/model/mlp_head.h"
#include "clr/optim/optimizer.h"
#include "clr/optim/schedule.h"

namespace clr {

enum class Precision { automatic, float32, bfloat16, float64 };
constexpr auto enum_names(Precision) {
  return std::array{"auto", "float32", "bfloat16", "float64"};
}
enum class MemoryFormat { automatic, contiguous, channels_last };
constexpr auto enum_names(MemoryFormat) {
  return std::array{"auto", "contiguous", "channels_last"};
}

/// What a run does about collapse, a dead loss and divergence (train/guard.h).
enum class GuardMode { off, warn, stop };
constexpr auto enum_names(GuardMode) { return std::array{"off", "warn", "stop"}; }

/// The `train` section of a training run.
struct TrainConfig {
  std::int64_t epochs = 100;
  std::int64_t batch_size = 256;
  std::int64_t micro_batch = 0;
  bool drop_last = true;
  ViewForward view_forward = ViewForward::joint;
  Precision precision = Precision::automatic;
  MemoryFormat memory_format = MemoryFormat::automatic;
  LossBackend loss_backend = LossBackend::automatic;
  bool deterministic = false;
  bool sync_batch_norm = true;
  std::int64_t compute_threads = 0;
  double gradient_clip = 0.0;
  std::int64_t log_every_steps = 10;
  std::int64_t checkpoint_every_epochs = 1;
  std::int64_t keep_checkpoints = 2;
  std::int64_t knn_every_epochs = 5;
  std::int64_t knn_images = 1000;
  std::int64_t health_every_epochs = 1;
  std::int64_t health_images = 512;
  GuardMode guard = GuardMode::warn;
  std::int64_t seed = 0;

  static void fields(auto&& f) {
    f("epochs", &TrainConfig::epochs, In{1, 1e6}, "passes over the data");
    f("batch_size", &TrainConfig::batch_size, In{2, 1 << 20},
      "images a step (each gives all its views)");
    f("micro_batch", &TrainConfig::micro_batch, In{0, 1 << 20},
      "most images that pass through the networks at once: activation memory for these instead of "
      "the whole batch, the same loss and gradients but for batch norm, a second forward pass; 0 = "
      "the whole batch");
    f("drop_last", &TrainConfig::drop_last, "leave out an epoch's last, smaller batch");
    f("view_forward", &TrainConfig::view_forward,
      "joint: all views in one forward, one set of batch-norm statistics; per_view: one forward "
      "each");
    f("precision", &TrainConfig::precision,
      "auto: bfloat16 autocast where the processor multiplies it natively, else float32; float64: "
      "to "
      "check others against, slow");
    f("memory_format", &TrainConfig::memory_format,
      "of images and convolution weights; auto: channels_last");
    f("loss_backend", &TrainConfig::loss_backend,
      "what computes contrastive losses; auto: fused on the CPU, streaming on a GPU; fused: tiles "
      "by kernels of clr's own; "
      "streaming: tiles by LibTorch's operations");
    f("deterministic", &TrainConfig::deterministic,
      "on CUDA: deterministic algorithms, repeatable to the byte; the CPU always is");
    f("sync_batch_norm", &TrainConfig::sync_batch_norm,
      "with several processes: batch norm by the whole batch's statistics; false: by those of each "
      "process's images, as papers that do not say otherwise have it");
    f("compute_threads", &TrainConfig::compute_threads, In{0, 4096},
      "LibTorch's threads of a process; 0 = all cores, shared among the machine's processes");
    f("gradient_clip", &TrainConfig::gradient_clip, AtLeast{0},
      "largest gradient norm; 0 = no limit");
    f("log_every_steps", &TrainConfig::log_every_steps, In{1, 1e9},
      "steps between rows of metrics.jsonl");
    f("checkpoint_every_epochs", &TrainConfig::checkpoint_every_epochs, In{1, 1e6},
      "epochs between checkpoints (one is always written at the end)");
    f("keep_checkpoints", &TrainConfig::keep_checkpoints, In{1, 1e6}, "newest checkpoints kept");
    f("knn_every_epochs", &TrainConfig::knn_every_epochs, In{0, 1e6},
      "epochs between kNN checks on labelled data; 0 = never");
    f("knn_images", &TrainConfig::knn_images, In{2, 1e7}, "images of the kNN check");
    f("health_every_epochs", &TrainConfig::health_every_epochs, In{0, 1e6},
      "epochs between measurements of alignment, uniformity, deviation and rank; 0 = never");
    f("health_images", &TrainConfig::health_images, In{2, 1e5}, "images of these measurements");
    f("guard", &TrainConfig::guard,
      "what is done about collapsed embeddings, a dead loss and divergence: nothing; a warning; an "
      "end, with everything saved");
    f("seed", &TrainConfig::seed, In{0, 9e15}, "of initialisation, order and augmentation");
  }
};

/// Everything that defines a pretraining run but its data.
struct RunConfig {
  Component<Method> method;
  Component<Encoder> encoder;
  MlpHeadConfig projector;
  AugmentConfig augment;
  std::optional<TextConfig> text;  ///< of texts; then `augment` has no views
  DataConfig data;
  Component<Optimizer> optimizer;
  ScheduleConfig schedule;
  TrainConfig train;

  static void fields(auto&& f) {
    f("method", &RunConfig::method, "what is trained, with which loss");
    f("encoder", &RunConfig::encoder, "the network whose features are wanted");
    f("projector", &RunConfig::projector, "projection head between encoder and loss");
    f("augment", &RunConfig::augment, "views of each image");
    f("text", &RunConfig::text, "instead of `augment`: tokens and views of each text");
    f("data", &RunConfig::data, "reading images or texts");
    f("optimizer", &RunConfig::optimizer, "update rule and learning rate");
    f("schedule", &RunConfig::schedule, "course of the learning rate, per step");
    f("train", &RunConfig::train, "the training loop");
  }
};

/// Reads a resolved document strictly and checks the rules that cross fields.
/// Throws:  Error{config} with source and pointer.
RunConfig read_run_config(const ConfigDocument& document);

/// That views are well described, of images or of texts. Throws:  Error{config} below `root`.
void validate_views(const AugmentConfig& augment, const std::optional<TextConfig>& text,
                    const Place& root);

/// The rules that join the fields of `schedule` and `train`.
/// Throws:  Error{config} with source and pointer; `root` is the whole configuration.
void validate_training(const ScheduleConfig& schedule, const TrainConfig& train, const Place& root);

/// Whether a document describes a training run rather than an evaluation (which has a section that
/// training runs lack, and neither `method` nor `projector`).
bool is_run_config(const ConfigDocument& document);

/// The transform that the encoder of a run on images is judged with: for the cifar stem and small images
/// the training size itself, else resize to 256/224 of it and crop its centre; normalised as in
/// training.
AugmentConfig evaluation_augment(const RunConfig& config);

/// The views that a run trains on, and the one that its encoder is judged with (evaluation_augment(), or
/// whole texts).
ViewPlan training_views(const RunConfig& config);
ViewPlan evaluation_views(const RunConfig& config);

/// A resize, centre crop and normalisation as an `augment` section with one view.
AugmentConfig make_evaluation_augment(std::int64_t resize, std::int64_t crop,
                                      const Json& normalize);

}  // namespace clr
