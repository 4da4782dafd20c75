// SPDX-License-Identifier: Apache-2.0
#include "clr/data/view_plan.h"

#include "clr/core/error.h"
#include "clr/data/text_dataset.h"

namespace clr {

std::vector<ViewShape> view_shapes(const AugmentConfig& augment,
                                   const std::optional<TextConfig>& text) {
  std::vector<ViewShape> result;
  if (text) {
    ViewShape all{0, {text->max_tokens}};
    for (const TextViewConfig& entry : text->views) all.views += entry.count;
    return {all};
  }
  const Augmenter augmenter(augment);
  for (const Augmenter::Group& group : augmenter.groups()) {
    result.push_back(
        {static_cast<std::int64_t>(group.views.size()), {3, group.size.height, group.size.width}});
  }
  return result;
}

std::unique_ptr<Loader> make_loader(const std::shared_ptr<const Dataset>& dataset,
                                    const ViewPlan& plan, const LoaderOptions& options) {
  require_kind(*dataset, plan.text.has_value());
  if (!plan.text) {
    return make_thread_loader(dataset, std::make_shared<const Augmenter>(plan.augment), options);
  }
  return make_thread_loader(std::dynamic_pointer_cast<const TextDataset>(dataset),
                            std::make_shared<const TextViews>(*plan.text), options);
}

void require_kind(const Dataset& dataset, bool text_section) {
  const bool texts = as_texts(dataset) != nullptr;
  if (texts == text_section) return;
  throw Error(ErrorKind::config,
              texts ? "/text: expected such a section, and an encoder.type of texts like bert, for "
                      "data of texts (--data), got none"
                    : "/text: expected texts (--data) for a configuration with such a section, got "
                      "images");
}

}  // namespace clr
