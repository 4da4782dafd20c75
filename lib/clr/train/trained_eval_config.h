// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "clr/method/classifier_options.h"
#include "clr/train/eval_config.h"
#include "clr/train/run_config.h"

namespace clr {

/// What the evaluations that train have in common. `encoder` and `augment` (or `text`) begin as
/// what the checkpoint says.
struct TrainedEvalConfig {
  Component<Encoder> encoder;
  AugmentConfig augment;
  AugmentConfig train_augment;
  std::optional<TextConfig> text;
  DataConfig data;
  Component<Optimizer> optimizer;
  ScheduleConfig schedule;
  TrainConfig train;

  template <class Config>
  static void base_fields(auto&& f) {
    f("encoder", &Config::encoder, "overrides the checkpoint's architecture");
    f("augment", &Config::augment, "evaluation transform, one view; default: the checkpoint's");
    f("train_augment", &Config::train_augment,
      "views of the training images; default: random_resized_crop to the evaluation transform's "
      "size, horizontal_flip, its normalisation");
    f("text", &Config::text,
      "of texts: tokens, one view, for training and judging; default: the checkpoint's");
    f("data", &Config::data, "reading images or texts");
    f("optimizer", &Config::optimizer, "update rule and learning rate");
    f("schedule", &Config::schedule, "course of the learning rate, per step");
    f("train", &Config::train, "the training loop");
  }
};

/// The `finetune` section.
struct FinetuneOptions : ClassifierOptions {
  static void fields(auto&& f) { base_fields<FinetuneOptions>(f); }
};

/// Configuration of finetune.
struct FinetuneConfig : TrainedEvalConfig {
  FinetuneOptions finetune;

  static void fields(auto&& f) {
    base_fields<FinetuneConfig>(f);
    f("finetune", &FinetuneConfig::finetune, "the classifier and the rates of the layers below it");
  }
};

/// Configuration of linear-eval by the sgd protocol.
struct LinearSgdConfig : TrainedEvalConfig {
  ProbeConfig probe;
  KnnConfig knn;

  static void fields(auto&& f) {
    base_fields<LinearSgdConfig>(f);
    f("probe", &LinearSgdConfig::probe, "linear classifier on frozen features");
    f("knn", &LinearSgdConfig::knn, "nearest-neighbour classifier");
  }
};

/// The preset that a configuration of the kind is read over: what a file leaves out is SimCLR's.
inline constexpr const char* kFinetuneRecipe = "finetune";
inline constexpr const char* kLinearSgdRecipe = "linear_eval_sgd";

enum class EvalKind { features, linear_sgd, finetune };

/// Which evaluation a document is for, by its sections: `finetune`; `probe` with protocol sgd; else
/// one that only computes features.
EvalKind eval_kind(const ConfigDocument& document);

/// The recipe of that name with `given` merged over it. An optimizer of another type replaces the
/// recipe's as a whole.
/// Throws:  Error{config} when there is no such preset.
ConfigDocument over_recipe(const std::string& recipe, const ConfigDocument& given);

/// Reads a resolved document strictly. Where an evaluation transform is known and no
/// `train_augment` is given, it is made from that.
/// Throws:  Error{config} with source and pointer.
FinetuneConfig read_finetune_config(const ConfigDocument& document);
LinearSgdConfig read_linear_sgd_config(const ConfigDocument& document);

/// How the result is judged: the evaluation transform, in float32 on every machine.
EvalConfig judging_config(const TrainedEvalConfig& config);
EvalConfig judging_config(const LinearSgdConfig& config);

/// The training run of a classifier: the method `supervised` with these options.
/// `projector`: the checkpoint's head, if it has one.
RunConfig classifier_run(const TrainedEvalConfig& config, const ClassifierOptions& classifier,
                         bool frozen, const std::optional<MlpHeadConfig>& projector);

}  // namespace clr
