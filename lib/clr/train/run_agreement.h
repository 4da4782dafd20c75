// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include <string>

#include "clr/config/json.h"
#include "clr/dist/world.h"

namespace clr {

/// Makes sure that all processes are about to train or to judge the same: configuration (but for
/// threads), images and weights. All throw alike.
/// Throws:  Error{config} naming rank and key; Error{data}, Error{checkpoint} naming the rank.
void require_agreement(World& world, Json config, const std::string& data_fingerprint,
                       const torch::nn::Module& model);

}  // namespace clr
