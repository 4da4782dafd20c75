// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "clr/core/error.h"

namespace clr {

/// JSON with its keys in the order of the file.
using Json = nlohmann::ordered_json;

/// Reads JSON strictly: no duplicate keys, at most 64 levels, no text after the value.
///
/// Throws:  Error{config}: `where:line:column: what was wrong`.
Json parse_json(std::string_view text, const std::string& where);

/// Where the parts of a merged configuration came from: JSON pointer -> file name or `--set
/// key=value`.
using Sources = std::map<std::string, std::string>;

/// A place in a configuration, for messages: `configs/x.json: /augment/views/0/count`.
class Place {
 public:
  explicit Place(std::shared_ptr<const Sources> sources) : sources_(std::move(sources)) {}
  /// A place in one file (or anything else with a name).
  explicit Place(const std::string& file)
      : sources_(std::make_shared<const Sources>(Sources{{"", file}})) {}

  Place operator/(const std::string& key) const;
  Place operator/(std::size_t index) const { return *this / std::to_string(index); }

  const std::string& pointer() const { return pointer_; }
  /// "source: /pointer", the source being that of the nearest enclosing part that has one.
  std::string str() const;

  /// Throws Error{config} "source: /pointer: message".
  [[noreturn]] void fail(const std::string& message) const;

 private:
  std::shared_ptr<const Sources> sources_;
  std::string pointer_;
};

/// The candidate nearest to `word` by edit distance, if near enough to be a typo of it; else "".
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

/// `; did you mean "x"?`, or "" when no candidate is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

/// The text of a value, as every file and message of ours has it. Bytes that are no UTF-8 (file
/// names may hold any) become U+FFFD. indent < 0: one line.
std::string dump_text(const Json& value, int indent = -1);

/// A value shortened for a message: `"text"`, `1.5`, `an object`, `a list of 3`.
std::string show(const Json& value);

}  // namespace clr
