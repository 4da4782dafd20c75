// SPDX-License-Identifier: Apache-2.0
#include "clr/data/stored_texts.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "clr/core/error.h"
#include "clr/data/fingerprint.h"
#include "clr/text/words.h"

namespace clr {

void StoredTexts::add(const std::vector<std::string_view>& columns, std::int64_t label,
                      std::string name, std::int64_t line) {
  for (const std::string_view column : columns) {
    bytes_.append(column);
    ends_.push_back(bytes_.size());
  }
  labels_.push_back(label);
  if (lines_) {
    line_numbers_.push_back(line);
  } else {
    names_.push_back(std::move(name));
  }
}

void StoredTexts::end_document() {
  const std::int64_t end = size();
  if (end > (document_ends_.empty() ? 0 : document_ends_.back())) document_ends_.push_back(end);
}

std::string_view StoredTexts::text(std::int64_t index, std::int64_t column) const {
  const auto at = static_cast<std::size_t>(index * columns_ + column);
  const std::uint64_t first = at == 0 ? 0 : ends_.at(at - 1);
  const std::string_view found = std::string_view(bytes_).substr(first, ends_.at(at) - first);
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorKind::data, fmt::format("{}: {}", location(index), what));
  };
  if (const auto bad = find_invalid_utf8(found)) {
    fail(fmt::format(
        "expected UTF-8, got byte {:02X} at {}; convert the file (iconv -f LATIN1 -t UTF-8)",
        static_cast<unsigned char>(found[*bad]), *bad + 1));
  }
  if (found.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos)
    fail("expected a text, got none");
  return found;
}

std::pair<std::int64_t, std::int64_t> StoredTexts::document(std::int64_t index) const {
  const auto end = std::upper_bound(document_ends_.begin(), document_ends_.end(), index);
  if (end == document_ends_.end()) return {index, index + 1};
  return {end == document_ends_.begin() ? 0 : *(end - 1), *end};
}

std::string StoredTexts::name(std::int64_t index) const {
  const auto at = static_cast<std::size_t>(index);
  if (!lines_) return names_.at(at);
  return fmt::format("{}:{}", std::filesystem::path(root_).filename().string(),
                     line_numbers_.at(at));
}

std::string StoredTexts::location(std::int64_t index) const {
  const auto at = static_cast<std::size_t>(index);
  return lines_ ? fmt::format("{}:{}", root_, line_numbers_.at(at)) : root_ + "/" + names_.at(at);
}

std::string StoredTexts::fingerprint() const {
  Fingerprint result;
  for (const auto& name : classes_) result.add(name);
  result.add(columns_);
  std::uint64_t first = 0;
  for (const std::uint64_t end : ends_) {
    result.add(std::string_view(bytes_).substr(first, end - first));
    first = end;
  }
  for (const std::int64_t label : labels_) result.add(label);
  for (const std::int64_t end : document_ends_) result.add(end);
  return result.hex();
}

}  // namespace clr
