// SPDX-License-Identifier: Apache-2.0
#include "clr/loss/sinkhorn.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/softmax.h>

#include <cmath>

#include "clr/core/error.h"

namespace clr {

torch::Tensor sinkhorn(const torch::Tensor& scores, double epsilon, std::int64_t iterations,
                       const std::function<torch::Tensor(const torch::Tensor&)>& gather) {
  if (!(epsilon > 0) || !std::isfinite(epsilon)) {
    throw Error(ErrorKind::config,
                c10::str("sinkhorn: epsilon: expected a number above 0, got ", epsilon));
  }
  if (iterations < 1) {
    throw Error(ErrorKind::config,
                c10::str("sinkhorn: iterations: expected at least 1, got ", iterations));
  }
  TORCH_CHECK(scores.dim() == 2 && scores.is_floating_point(),
              "sinkhorn: expected scores [N, K] of a floating-point type, got ",
              scores.scalar_type(), " ", scores.sizes());
  const at::NoGradGuard no_grad;
  torch::Tensor codes =
      scores.to(c10::promoteTypes(scores.scalar_type(), torch::kFloat32)) / epsilon;
  if (gather) {
    codes = codes - gather(codes.logsumexp(0, true)).logsumexp(0, true);
  } else {
    codes = at::log_softmax(codes, 0);
  }
  codes = at::softmax(codes, 1);
  // No sum below can vanish: a column that summed to 1 had its rows divided by K at most, a row that
  // summed to 1 its columns by N at most.
  for (std::int64_t i = 1; i < iterations; ++i) {
    const torch::Tensor sums = codes.sum(0, true);
    codes.div_(gather ? gather(sums).sum(0, true) : sums);
    codes.div_(codes.sum(1, true));
  }
  return codes;
}

}  // namespace clr
