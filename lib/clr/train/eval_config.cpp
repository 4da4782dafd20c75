// SPDX-License-Identifier: Apache-2.0
#include "clr/train/eval_config.h"

namespace clr {

EvalConfig read_eval_config(const ConfigDocument& document) {
  EvalConfig config;
  const Place root = document.place();
  read_fields(document.value, root, config);
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
  return config;
}

}  // namespace clr
