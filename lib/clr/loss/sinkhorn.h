// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>

namespace clr {

/// Codes: each sample's shares in the prototypes, such that all prototypes get equally much.
///
/// Sinkhorn-Knopp on exp(scores / epsilon): an iteration scales each prototype's shares to one
/// sum, then each sample's to 1. So the codes of a sample always sum to 1, and those of a prototype
/// come to N / K as the iterations go on. epsilon is how soft the codes are.
///
/// Shapes:  scores [N, K], floating point -> [N, K], float64 for float64 and else float32, under
///          autocast too. No gradient flows through them.
/// Units:   scores / epsilon may be of any size that float32 can hold: the first iteration is done
///          on logarithms, after which no sum can vanish. epsilon > 0, iterations >= 1.
/// Memory:  three times N * K, the result among them.
/// Errors:  Error{config} for an epsilon that is not above 0 or not finite, or no iteration;
///          c10::Error for scores that are no floating-point matrix.
/// Source:  arXiv:2006.09882, eq. 3 and 4, arXiv:1306.0895.
///
/// With `gather`, which gives everyone's [1, K] as [processes, K], the samples are those of all
/// processes, and the codes are this one's.
torch::Tensor sinkhorn(const torch::Tensor& scores, double epsilon, std::int64_t iterations,
                       const std::function<torch::Tensor(const torch::Tensor&)>& gather = {});

}  // namespace clr
