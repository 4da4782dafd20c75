// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace clr {

/// NT-Xent loss over two views of one batch.
///
/// Shapes:  z0, z1 [N, D], float32 or float64, same device, N >= 2; row i of z0 and row i of z1 are
///          views of one image. Returns a scalar of the same type.
/// Units:   nats, mean over the 2N anchors. temperature > 0; rows are L2-normalised inside, by
///          max(norm, 1e-12). A row that is not finite makes the loss NaN.
/// Memory:  O(N^2): the 2N x 2N similarity matrix is formed.
/// Throws:  Error{config} for temperature <= 0 or not finite; c10::Error for a wrong shape, dtype
/// or device. Source:  arXiv:2002.05709, eq. 1. SimCLR's own code sums two means: twice this value.
torch::Tensor nt_xent(const torch::Tensor& z0, const torch::Tensor& z1, double temperature);

}  // namespace clr
