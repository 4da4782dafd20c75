// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "clr/core/error.h"
#include "clr/data/sources.h"

namespace clr {

std::vector<std::int64_t> match_classes(const Dataset& train, const Dataset& test) {
  if (!train.labelled()) throw Error(ErrorKind::data, "training set: expected labels, got none");
  if (!test.labelled()) throw Error(ErrorKind::data, "test set: expected labels, got none");
  const auto& known = train.classes();
  std::vector<std::int64_t> result;
  for (const std::string& name : test.classes()) {
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end()) {
      throw Error(
          ErrorKind::data,
          fmt::format("test set: expected the training set's {} classes, got \"{}\" as well",
                      known.size(), name));
    }
    result.push_back(found - known.begin());
  }
  return result;
}

std::vector<std::string> parse_class_names(std::span<const std::uint8_t> text,
                                           const std::string& where, std::size_t count) {
  std::vector<std::string> names(1);
  for (const std::uint8_t byte : text) {
    if (byte == '\n') {
      names.emplace_back();
    } else if (byte != '\r') {
      names.back() += static_cast<char>(byte);
    }
  }
  std::erase(names, "");
  if (names.size() != count) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected {} class names, got {}", where, count, names.size()));
  }
  return names;
}

}  // namespace clr
