// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "clr/data/dataset.h"
#include "clr/train/run_config.h"

namespace clr {

/// What one trick of the input pipeline saves: processor time of one thread without and with it,
/// everything else alike.
struct Trick {
  std::string name;
  std::string unit;  ///< what the times are of: "an image", "a blur"
  double without_us = 0.0;
  double with_us = 0.0;
};

/// Measures every trick that applies to the set and the configuration, both ways in turn, for about
/// `seconds` each. Packs are written to a folder of their own, which goes.
std::vector<Trick> measure_tricks(const RunConfig& config,
                                  const std::shared_ptr<const Dataset>& dataset, double seconds);

}  // namespace clr
