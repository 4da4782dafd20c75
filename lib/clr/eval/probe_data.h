// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

#include "clr/eval/statistics.h"

namespace clr {

/// What every fit of a linear classifier asks of features [n, F] and labels [n].
///
/// Throws:  Error{data} for one class alone; c10::Error for other shapes, or labels outside
///          [0, classes).
void check_probe_data(const torch::Tensor& features, const torch::Tensor& labels,
                      std::int64_t classes);

/// Whether a class has two images, so that one can be held out to choose by.
bool can_hold_out(const torch::Tensor& labels);

/// A stratified part of the training images (`second`), held out to choose by.
///
/// Throws:  Error{data} when no class has two images: "to hold one out and PURPOSE".
Split held_out_split(const torch::Tensor& labels, double fraction, std::uint64_t seed,
                     const std::string& purpose);

}  // namespace clr
