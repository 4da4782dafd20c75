// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "clr/dist/world.h"
#include "clr/method/method.h"

namespace clr {

/// Makes sure that all processes are about to train the same: configuration (but for threads),
/// images and weights. All throw alike.
/// Throws:  Error{config} naming rank and key; Error{data}, Error{checkpoint} naming the rank.
void require_agreement(World& world, const std::string& config_json,
                       const std::string& data_fingerprint, const Method& method);

}  // namespace clr
