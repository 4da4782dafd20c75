// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "clr/config/json.h"

namespace clr {

/// The JSON Schema of every configuration file, made from the field lists.
Json config_schema();

/// docs/config.md, made from the same lists.
std::string config_markdown();

}  // namespace clr
