// SPDX-License-Identifier: Apache-2.0
// Separated values as RFC 4180 has them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace clr {

/// A field, quoted where it holds a comma, a quote or a line break.
std::string csv_field(const std::string& text);

/// Reads separated values with quotes ("a ""quoted"" field"), one record at a time.
class CsvReader {
 public:
  /// `text` stays the caller's; `where` is the file, for messages.
  CsvReader(std::string_view text, char separator, std::string where)
      : text_(text), separator_(separator), where_(std::move(where)) {}

  /// The next record that is not an empty line; its first line is line().
  /// Throws:  Error{data} "WHERE:LINE: ..." for quotes that are not closed, or closed too early.
  std::optional<std::vector<std::string>> next();

  std::size_t line() const { return line_; }

 private:
  [[noreturn]] void fail(const char* what) const;
  std::vector<std::string> read_record();
  std::string plain();
  std::string quoted();

  std::string_view text_;
  char separator_;
  std::string where_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  std::size_t next_line_ = 1;
};

}  // namespace clr
