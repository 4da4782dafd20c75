// SPDX-License-Identifier: Apache-2.0
#include "clr/train/trained_eval_config.h"

namespace clr {
namespace {

/// SimCLR's training views for classifiers: crop and flip, nothing else.
AugmentConfig training_augment(const AugmentConfig& evaluation) {
  Json chain = Json::array(
      {Json{{"type", "random_resized_crop"}, {"size", Augmenter(evaluation).view_size(0).width}},
       Json{{"type", "horizontal_flip"}, {"p", 0.5}}});
  for (const auto& op : evaluation.views.front().chain) {
    if (op.type == "normalize") chain.push_back(op.dump());
  }
  const Json json = {{"views", Json::array({Json{{"count", 1}, {"chain", std::move(chain)}}})}};
  AugmentConfig result;
  result.compat = evaluation.compat;
  read_value(json, Place("training views"), result);
  return result;
}

template <class Config>
Config read(const ConfigDocument& document) {
  Config config;
  const Place root = document.place();
  read_fields(document.value, root, config);
  if (config.optimizer.type.empty()) {
    (root / "optimizer").fail("expected an object with a \"type\", got none");
  }
  validate_training(config.schedule, config.train, root);
  validate_eval_config(judging_config(config), root);
  if (config.text) {
    if (!config.train_augment.views.empty())
      (root / "train_augment").fail("expected none for texts, got one; training sees whole texts");
  } else if (!config.train_augment.views.empty()) {
    Augmenter(config.train_augment, root / "train_augment");
  } else if (!config.augment.views.empty()) {
    config.train_augment = training_augment(config.augment);
  }
  return config;
}

}  // namespace

EvalKind eval_kind(const ConfigDocument& document) {
  const Json& value = document.value;
  if (value.contains("finetune")) return EvalKind::finetune;
  const auto probe = value.find("probe");
  if (probe != value.end() && probe->is_object()) {
    const auto protocol = probe->find("protocol");
    if (protocol != probe->end() && *protocol == to_string(ProbeProtocol::sgd)) {
      return EvalKind::linear_sgd;
    }
  }
  return EvalKind::features;
}

ConfigDocument over_recipe(const std::string& recipe, const ConfigDocument& given) {
  ConfigDocument document = load_config(recipe, "");
  const Json::json_pointer type("/optimizer/type");
  if (given.value.contains(type) && given.value[type] != document.value[type]) {
    document.value.erase("optimizer");
  }
  document.value.merge_patch(given.value);
  for (const auto& [pointer, source] : *given.sources) (*document.sources)[pointer] = source;
  return document;
}

FinetuneConfig read_finetune_config(const ConfigDocument& document) {
  return read<FinetuneConfig>(document);
}

LinearSgdConfig read_linear_sgd_config(const ConfigDocument& document) {
  return read<LinearSgdConfig>(document);
}

EvalConfig judging_config(const TrainedEvalConfig& config) {
  EvalConfig judging;
  judging.encoder = config.encoder;
  judging.augment = config.augment;
  judging.text = config.text;
  judging.data = config.data;
  judging.train.batch_size = config.train.batch_size;
  judging.train.memory_format = config.train.memory_format;
  judging.train.compute_threads = config.train.compute_threads;
  return judging;
}

EvalConfig judging_config(const LinearSgdConfig& config) {
  EvalConfig judging = judging_config(static_cast<const TrainedEvalConfig&>(config));
  judging.probe = config.probe;
  judging.knn = config.knn;
  return judging;
}

RunConfig classifier_run(const TrainedEvalConfig& config, const ClassifierOptions& classifier,
                         bool frozen, const std::optional<MlpHeadConfig>& projector) {
  RunConfig run;
  run.method.read({{"type", "supervised"},
                   {"from", to_string(classifier.from)},
                   {"head_lr_multiplier", classifier.head_lr_multiplier},
                   {"layer_decay", classifier.layer_decay},
                   {"frozen", frozen}},
                  Place("method of the classifier"));
  run.encoder = config.encoder;
  run.projector = projector.value_or(MlpHeadConfig{});
  run.augment = config.train_augment;
  run.text = config.text;
  run.data = config.data;
  run.optimizer = config.optimizer;
  run.schedule = config.schedule;
  run.train = config.train;
  return run;
}

}  // namespace clr
