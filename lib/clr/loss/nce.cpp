// SPDX-License-Identifier: Apache-2.0
#include "clr/loss/nce.h"

#include <ATen/ATen.h>

#include <cmath>

#include "clr/loss/contrastive.h"
#include "clr/loss/op.h"

namespace clr {
namespace {

using torch::Tensor;

struct Logits {
  Tensor data;   ///< [N]
  Tensor noise;  ///< [N, K]
};

/// s - zero. The matrix is made in one go: of several of its size, memory would soon run out.
Logits logits(const Tensor& query, const Tensor& key, const Tensor& noise, double temperature,
              const Tensor& zero) {
  TORCH_CHECK(query.dim() == 2 && query.sizes() == key.sizes() && noise.dim() == 2 &&
                  noise.size(1) == query.size(1) && query.size(0) >= 1 && noise.size(0) >= 1,
              "nce: expected queries and keys [N, D] and noise [K, D], got ", query.sizes(), ", ",
              key.sizes(), " and ", noise.sizes());
  inverse_temperature(temperature, torch::kCPU);  // refuses what is none
  const Tensor from = -zero.to(query.scalar_type());
  return {(query * key.detach()).sum(1) / temperature + from,
          at::addmm(from, query, noise.detach().t(), 1, 1 / temperature)};
}

/// log(1 + exp(x)).
Tensor log1p_exp(const Tensor& x) { return at::softplus(x, 1, detail::kSoftplusLinear); }

}  // namespace

Tensor nce(const Tensor& query, const Tensor& key, const Tensor& noise, double temperature,
           const Tensor& log_normalizer) {
  // log(P / (K / n)) = s - log(Z / n) - log K is the logit of h.
  const Tensor zero = log_normalizer + std::log(static_cast<double>(noise.size(0)));
  const Logits h = logits(query, key, noise, temperature, zero);
  return (log1p_exp(-h.data) + log1p_exp(h.noise).sum(1)).mean();
}

Tensor nce_log_normalizer(const Tensor& query, const Tensor& key, const Tensor& noise,
                          double temperature) {
  const torch::NoGradGuard no_grad;
  const Logits s = logits(query, key, noise, temperature, at::zeros({}, query.options()));
  const Tensor all = at::stack({s.data.to(torch::kFloat64).logsumexp(0),
                                s.noise.to(torch::kFloat64).flatten().logsumexp(0)});
  return all.logsumexp(0) - std::log(static_cast<double>(s.data.numel() + s.noise.numel()));
}

}  // namespace clr
