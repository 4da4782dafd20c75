// SPDX-License-Identifier: Apache-2.0
#include "clr/train/eval_config.h"

namespace clr {

void validate_eval_config(const EvalConfig& config, const Place& root) {
  if (!config.augment.views.empty()) {
    const Augmenter augmenter(config.augment, root / "augment");
    if (augmenter.view_count() != 1) {
      (root / "augment" / "views")
          .fail(fmt::format("expected one view for evaluation, got {}", augmenter.view_count()));
    }
  }
  if (config.knn.k.empty()) (root / "knn" / "k").fail("expected at least one k, got none");
  if (config.knn.weighting.empty()) {
    (root / "knn" / "weighting").fail("expected at least one weighting, got none");
  }
}

EvalConfig read_eval_config(const ConfigDocument& document) {
  EvalConfig config;
  read_fields(document.value, document.place(), config);
  validate_eval_config(config, document.place());
  return config;
}

}  // namespace clr
