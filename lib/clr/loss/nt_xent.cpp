// SPDX-License-Identifier: Apache-2.0
#include "clr/loss/nt_xent.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/zeros.h>
#include <c10/util/StringUtil.h>

#include <cmath>
#include <limits>

#include "clr/core/error.h"

namespace clr {
namespace {

constexpr double kMinNorm = 1e-12;
// Past this softplus(x) returns x. PyTorch's 20 is off by 1e-10 relative, this one by less than
// float64 can show.
constexpr double kSoftplusLinear = 40.0;

/// True where row and column are one row, or the two views of one image.
torch::Tensor self_and_partner(std::int64_t n, torch::Device device) {
  torch::Tensor mask = torch::zeros({2 * n, 2 * n}, torch::dtype(torch::kBool).device(device));
  for (const std::int64_t offset : {-n, std::int64_t{0}, n}) mask.diagonal(offset).fill_(true);
  return mask;
}

}  // namespace

torch::Tensor nt_xent(const torch::Tensor& z0, const torch::Tensor& z1, double temperature) {
  if (!(temperature > 0) || !std::isfinite(temperature)) {
    throw Error(ErrorKind::config,
                c10::str("temperature: expected a number above 0, got ", temperature));
  }
  TORCH_CHECK(z0.dim() == 2 && z0.sizes() == z1.sizes() && z0.size(0) >= 2,
              "nt_xent: expected two tensors [N, D] with N >= 2, got ", z0.sizes(), " and ",
              z1.sizes());
  TORCH_CHECK(z0.scalar_type() == z1.scalar_type() && z0.device() == z1.device() &&
                  (z0.scalar_type() == torch::kFloat32 || z0.scalar_type() == torch::kFloat64),
              "nt_xent: expected float32 or float64 on one device, got ", z0.scalar_type(), " on ",
              z0.device(), " and ", z1.scalar_type(), " on ", z1.device());

  const std::int64_t n = z0.size(0);
  const torch::Tensor x = torch::cat({z0, z1});
  const torch::Tensor z = x / at::linalg_vector_norm(x, 2, {1}, true).clamp_min(kMinNorm);
  const torch::Tensor scaled = z / temperature;
  const torch::Tensor pairs = (scaled.narrow(0, 0, n) * z.narrow(0, n, n)).sum(1);
  const torch::Tensor others =
      scaled.matmul(z.t())
          .masked_fill_(self_and_partner(n, z.device()), -std::numeric_limits<double>::infinity())
          .logsumexp(1);
  // -log(Epos / (Epos + Rneg)) = log1p(Rneg / Epos): a batch that has converged keeps all its
  // digits, which the difference of two logarithms would lose.
  return at::softplus(others - pairs.repeat({2}), 1, kSoftplusLinear).mean();
}

}  // namespace clr
