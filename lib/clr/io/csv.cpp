// SPDX-License-Identifier: Apache-2.0
#include "clr/io/csv.h"

#include <fmt/format.h>

#include "clr/core/error.h"

namespace clr {

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

void CsvReader::fail(const char* what) const {
  throw Error(ErrorKind::data, fmt::format("{}:{}: {}", where_, line_, what));
}

std::optional<std::vector<std::string>> CsvReader::next() {
  while (at_ < text_.size()) {
    line_ = next_line_;
    auto record = read_record();
    if (record.size() > 1 || !record.front().empty()) return record;
  }
  return std::nullopt;
}

std::vector<std::string> CsvReader::read_record() {
  std::vector<std::string> fields;
  while (true) {
    fields.push_back(at_ < text_.size() && text_[at_] == '"' ? quoted() : plain());
    if (at_ < text_.size() && text_[at_] == '\r') ++at_;
    if (at_ >= text_.size()) return fields;
    const char c = text_[at_++];
    if (c == '\n') {
      ++next_line_;
      return fields;
    }
    if (c != separator_) fail("expected a separator after a quoted field");
  }
}

std::string CsvReader::plain() {
  const std::size_t first = at_;
  while (at_ < text_.size() && text_[at_] != separator_ && text_[at_] != '\n') ++at_;
  std::size_t last = at_;
  if (last > first && text_[last - 1] == '\r' && (at_ == text_.size() || text_[at_] == '\n'))
    --last;
  return std::string(text_.substr(first, last - first));
}

std::string CsvReader::quoted() {
  std::string field;
  for (++at_; at_ < text_.size(); ++at_) {
    if (text_[at_] == '\n') ++next_line_;
    if (text_[at_] == '"') {
      ++at_;
      if (at_ >= text_.size() || text_[at_] != '"') return field;
    }
    field += text_[at_];
  }
  fail("expected a closing quote, got the end of the file");
}

}  // namespace clr
