// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <string>
#include <string_view>

#include "clr/core/error.h"
#include "clr/core/text_lines.h"
#include "clr/data/sources.h"
#include "clr/data/stored_texts.h"

namespace clr {

std::unique_ptr<Dataset> open_text_file(const std::string& path, std::string_view content) {
  content = without_byte_order_mark(content);
  auto dataset = std::make_unique<StoredTexts>(path, 1, /*lines=*/true);
  bool documents = false;
  std::int64_t number = 0;
  while (!content.empty()) {
    ++number;
    const std::string_view line = take_line(content);
    if (line.find_first_not_of(" \t\f\v") == std::string_view::npos) {
      documents = true;
      dataset->end_document();
    } else {
      dataset->add({line}, -1, {}, number);
    }
  }
  // Without an empty line there are no documents, not one.
  if (documents) dataset->end_document();
  if (dataset->size() == 0)
    throw Error(ErrorKind::data, path + ": expected texts, a line each, got none");
  return dataset;
}

}  // namespace clr
