// SPDX-License-Identifier: Apache-2.0
#include "clr/data/text_dataset.h"

#include <fmt/format.h>

#include "clr/core/error.h"

namespace clr {

Record TextDataset::get(std::int64_t index) const {
  const std::string_view content = text(index, 0);
  return std::vector<std::uint8_t>(content.begin(), content.end());
}

const char* items_of(const Dataset& dataset) {
  return as_texts(dataset) == nullptr ? "images" : "texts";
}

const TextDataset* as_texts(const Dataset& dataset) {
  return dynamic_cast<const TextDataset*>(&dataset);
}

void require_images(const Dataset& dataset, const std::string& path, const std::string& what) {
  if (as_texts(dataset) == nullptr) return;
  throw Error(ErrorKind::data, fmt::format("{}: expected images for {}, got texts", path, what));
}

}  // namespace clr
