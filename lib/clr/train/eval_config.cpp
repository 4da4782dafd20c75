// SPDX-License-Identifier: Apache-2.0
#include "clr/train/eval_config.h"

#include <algorithm>

namespace clr {

void validate_eval_config(const EvalConfig& config, const Place& root) {
  if (config.text) {
    validate_views(config.augment, config.text, root);
    const std::int64_t views = view_shapes({}, config.text).front().views;
    if (views != 1) {
      (root / "text" / "views")
          .fail(fmt::format("expected one view for evaluation, got {}", views));
    }
  } else if (!config.augment.views.empty()) {
    const Augmenter augmenter(config.augment, root / "augment");
    if (augmenter.view_count() != 1) {
      (root / "augment" / "views")
          .fail(fmt::format("expected one view for evaluation, got {}", augmenter.view_count()));
    }
  }
  const auto require = [](const Place& place, bool some, const char* thing) {
    if (!some) place.fail(fmt::format("expected at least one {}, got none", thing));
  };
  const Place knn = root / "knn";
  require(knn / "k", !config.knn.k.empty(), "k");
  require(knn / "metric", !config.knn.metric.empty(), "metric");
  require(knn / "weighting", !config.knn.weighting.empty(), "weighting");
  const auto only = [](const auto& values, auto value) {
    return std::all_of(values.begin(), values.end(), [value](auto v) { return v == value; });
  };
  if (only(config.knn.metric, KnnMetric::euclidean) &&
      only(config.knn.weighting, KnnWeighting::temperature)) {
    (knn / "weighting")
        .fail(
            "expected majority or distance with knn.metric euclidean alone, got temperature, "
            "which is of cosine similarities");
  }
  const Place heads = root / "probe" / "heads";
  require(heads / "learning_rates", !config.probe.heads.learning_rates.empty(), "learning rate");
  require(heads / "weight_decays", !config.probe.heads.weight_decays.empty(), "weight decay");
}

EvalConfig read_eval_config(const ConfigDocument& document) {
  EvalConfig config;
  read_fields(document.value, document.place(), config);
  validate_eval_config(config, document.place());
  return config;
}

}  // namespace clr
