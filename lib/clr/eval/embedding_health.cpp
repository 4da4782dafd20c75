// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/embedding_health.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_eigvalsh.h>

#include <algorithm>
#include <cmath>

#include "clr/loss/contrastive.h"

namespace clr {
namespace {

constexpr double kEpsilon = 1e-7;

/// log of the mean over pairs i < j of exp(-2 * |u_i - u_j|^2), of unit rows [n, D].
double uniformity(const torch::Tensor& unit) {
  constexpr std::int64_t kBlock = 512;
  const std::int64_t n = unit.size(0);
  double sum = 0.0;
  for (std::int64_t first = 0; first < n; first += kBlock) {
    const torch::Tensor rows = unit.narrow(0, first, std::min(kBlock, n - first));
    // |u - v|^2 = 2 - 2 u.v; rounding must not push a cosine above 1.
    sum += at::mm(rows, unit.t()).clamp_max_(1.0).mul_(4.0).sub_(4.0).exp_().sum().item<double>();
  }
  const auto count = static_cast<double>(n);
  // Each row with itself gives a 1, or with a row of zeros something else.
  const double own = (unit.square().sum(1) * 4.0 - 4.0).exp().sum().item<double>();
  return std::log((sum - own) / (count * (count - 1.0)));
}

double effective_rank(const torch::Tensor& z) {
  // The singular values by way of the smaller Gram matrix: in float64 what is lost lies far below
  // the eps that each share gets.
  const bool tall = z.size(0) >= z.size(1);
  const torch::Tensor gram = tall ? at::mm(z.t(), z) : at::mm(z, z.t());
  const torch::Tensor values = at::linalg_eigvalsh(gram).clamp_min(0.0).sqrt();
  const torch::Tensor shares = values / values.sum().clamp_min(1e-300) + kEpsilon;
  return std::exp(-(shares * shares.log()).sum().item<double>());
}

}  // namespace

EmbeddingHealth embedding_health(const torch::Tensor& views) {
  TORCH_CHECK(views.dim() == 3 && views.size(0) == 2 && views.size(1) >= 2,
              "embedding_health: expected [2, n, D] with n >= 2, got ", views.sizes());
  const at::NoGradGuard no_grad;
  const torch::Tensor z = views.to(torch::kFloat64);
  const torch::Tensor unit = unit_rows(z[0], z[1]).view_as(z);
  EmbeddingHealth health;
  health.alignment = (unit[0] - unit[1]).square().sum(1).mean().item<double>();
  health.uniformity = (uniformity(unit[0]) + uniformity(unit[1])) / 2.0;
  health.deviation = unit.std(1).mean().item<double>();
  health.effective_rank = effective_rank(z[0]);
  return health;
}

}  // namespace clr
