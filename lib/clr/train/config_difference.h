// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "clr/config/json.h"

namespace clr {

/// What a key counts that only some configurations have.
enum class AbsentKey {
  ignored,  ///< nothing: other methods have other keys
  differs   ///< as much as another value
};

/// Where configurations differ, as JSON pointers: the innermost keys, and whole lists where these
/// are not of the same length and types.
std::vector<std::string> differing_pointers(const std::vector<const Json*>& configs,
                                            AbsentKey absent);

/// What a configuration has there; null: nothing.
Json value_at(const Json& config, const std::string& pointer);

/// "/method/temperature" as --set has it: "method.temperature".
std::string dotted_key(const std::string& pointer);

}  // namespace clr
