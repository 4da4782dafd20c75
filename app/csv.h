// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace clr {

/// A field as RFC 4180 wants it: quoted where it holds a comma, a quote or a line break.
inline std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace clr
