// SPDX-License-Identifier: Apache-2.0
// Lines of text files, whoever wrote them.
#pragma once

#include <algorithm>
#include <string_view>

namespace clr {

/// Takes the next line off `content`: what is before its line feed, or carriage return and line feed.
inline std::string_view take_line(std::string_view& content) {
  const std::size_t end = std::min(content.find('\n'), content.size());
  std::string_view line = content.substr(0, end);
  content.remove_prefix(std::min(end + 1, content.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

/// What follows UTF-8's byte order mark, where there is one.
inline std::string_view without_byte_order_mark(std::string_view content) {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  return content.starts_with(kMark) ? content.substr(kMark.size()) : content;
}

}  // namespace clr
