// SPDX-License-Identifier: Apache-2.0
#include "clr/train/run_config.h"

#include <cmath>

#include "clr/data/stream_plan.h"

namespace clr {
namespace {

void validate(const RunConfig& config, const Place& root) {
  for (const auto& [key, type] :
       {std::pair{"method", &config.method.type}, std::pair{"encoder", &config.encoder.type},
        std::pair{"optimizer", &config.optimizer.type}}) {
    if (type->empty()) (root / key).fail("expected an object with a \"type\", got none");
  }
  validate_views(config.augment, config.text, root);
  validate_training(config.schedule, config.train, root);
}

}  // namespace

void validate_views(const AugmentConfig& augment, const std::optional<TextConfig>& text,
                    const Place& root) {
  const Place views = root / "augment" / "views";
  if (text) {
    if (!augment.views.empty()) {
      views.fail(
          fmt::format("expected none beside a `text` section, got {}; a run is of images or "
                      "of texts",
                      augment.views.size()));
    }
    TextViews::validate(*text, root / "text");
    return;
  }
  if (augment.views.empty()) views.fail("expected at least one group of views, got none");
  // Building it checks chains, kernels and final sizes.
  Augmenter(augment, root / "augment");
}

void validate_training(const ScheduleConfig& schedule, const TrainConfig& train,
                       const Place& root) {
  const Place micro_batch = root / "train" / "micro_batch";
  if (train.micro_batch == 1 || train.micro_batch > train.batch_size) {
    micro_batch.fail(fmt::format("expected 0 or an integer in [2, train.batch_size = {}], got {}",
                                 train.batch_size, train.micro_batch));
  }
  if (train.batch_size / micro_batches(train.batch_size, train.micro_batch) < 2) {
    micro_batch.fail(
        fmt::format("expected at least 2 images in each part of a batch of {}, got {} and a last "
                    "one of 1; make it larger",
                    train.batch_size, train.micro_batch));
  }
  const Place place = root / "schedule";
  if (schedule.warmup_epochs > static_cast<double>(train.epochs)) {
    (place / "warmup_epochs")
        .fail(fmt::format("expected at most train.epochs = {}, got {}", train.epochs,
                          schedule.warmup_epochs));
  }
  for (std::size_t i = 1; i < schedule.milestones.size(); ++i) {
    if (schedule.milestones[i] <= schedule.milestones[i - 1]) {
      (place / "milestones" / i).fail("expected milestones in ascending order");
    }
  }
  if (schedule.type == ScheduleType::step && schedule.milestones.empty()) {
    (place / "milestones").fail("expected at least one epoch for a step schedule, got none");
  }
}

bool is_run_config(const ConfigDocument& document) {
  const Json& value = document.value;
  if (value.contains("method") || value.contains("projector")) return true;
  for (const char* key : {"probe", "knn", "finetune", "train_augment"}) {
    if (value.contains(key)) return false;
  }
  return true;
}

RunConfig read_run_config(const ConfigDocument& document) {
  RunConfig config;
  read_fields(document.value, document.place(), config);
  validate(config, document.place());
  return config;
}

AugmentConfig make_evaluation_augment(std::int64_t resize, std::int64_t crop,
                                      const Json& normalize) {
  Json chain = Json::array(
      {Json{{"type", "resize"}, {"size", resize}}, Json{{"type", "center_crop"}, {"size", crop}}});
  if (!normalize.is_null()) chain.push_back(normalize);
  const Json json = {{"views", Json::array({Json{{"count", 1}, {"chain", std::move(chain)}}})}};
  AugmentConfig result;
  read_value(json, Place("evaluation transform"), result);
  return result;
}

ViewPlan training_views(const RunConfig& config) { return {config.augment, config.text}; }

ViewPlan evaluation_views(const RunConfig& config) {
  if (config.text) return {{}, whole_texts(*config.text)};
  return {evaluation_augment(config), {}};
}

AugmentConfig evaluation_augment(const RunConfig& config) {
  const Augmenter augmenter(config.augment);
  const std::int64_t side = augmenter.view_size(0).width;
  Json normalize;
  for (const auto& op : config.augment.views.front().chain) {
    if (op.type == "normalize") normalize = op.dump();
  }
  // SimCLR evaluates small images whole and large ones at 224 of 256.
  const bool small = side <= 32 || config.encoder.options.value("stem", "").starts_with("cifar");
  const std::int64_t resize =
      small ? side
            : static_cast<std::int64_t>(std::lround(static_cast<double>(side) * 256.0 / 224.0));
  AugmentConfig result = make_evaluation_augment(resize, side, normalize);
  result.compat = config.augment.compat;
  return result;
}

}  // namespace clr
