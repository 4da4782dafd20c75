// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace clr {

/// Puts rows over the oldest ones of a queue that holds the last K: first in, first out. Of more rows
/// than it holds, the last ones stay.
///
/// Shapes:  queue [K, D], position int64 scalar: the oldest row, where the next one goes; both are
///          changed in place, on their device, without waiting for it. rows [N, D].
void enqueue(const torch::Tensor& queue, const torch::Tensor& position, torch::Tensor rows);

}  // namespace clr
