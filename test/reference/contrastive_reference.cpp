// SPDX-License-Identifier: Apache-2.0
#include "reference/contrastive_reference.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

namespace clr::test {
namespace {

using torch::Tensor;

constexpr double kMinNorm = 1e-12;
constexpr std::int64_t kPiece = 256;

/// Logits of some rows, -inf for the row itself and its partner.
Tensor negatives_of(const Tensor& z, const Tensor& which, const Tensor& partner,
                    double temperature) {
  constexpr double kLeftOut = -std::numeric_limits<double>::infinity();
  Tensor logits = z.index_select(0, which).mm(z.t()) / temperature;
  logits.scatter_(1, which.unsqueeze(1), kLeftOut);
  logits.scatter_(1, partner.index_select(0, which).unsqueeze(1), kLeftOut);
  return logits;
}

}  // namespace

ExactNtXent exact_nt_xent(const Tensor& rows, double temperature, Pairing pairing,
                          const Tensor& weights, const Tensor& sample) {
  const Tensor x = rows.detach().to(torch::kFloat64);
  const std::int64_t m = x.size(0);
  const Tensor index = torch::arange(m, torch::kInt64);
  const Tensor partner = pairing == Pairing::halves ? (index + m / 2).remainder(m)
                                                    : index + 1 - 2 * index.remainder(2);
  const Tensor norm = x.norm(2, 1, true);
  const Tensor z = x / norm.clamp_min(kMinNorm);
  const Tensor positive = (z * z.index_select(0, partner)).sum(1) / temperature;
  const Tensor w = weights.defined()
                       ? weights.to(torch::kFloat64)
                       : torch::full({m}, 1.0 / static_cast<double>(m), torch::kFloat64);

  Tensor negative = torch::empty({m}, torch::kFloat64);
  for (std::int64_t i = 0; i < m; i += kPiece) {
    const Tensor which = index.narrow(0, i, std::min(kPiece, m - i));
    negative.narrow(0, i, which.size(0))
        .copy_(negatives_of(z, which, partner, temperature).logsumexp(1));
  }
  const Tensor margin = negative - positive;
  // log1p(exp(margin)); for large ones margin + log1p(exp(-margin)).
  const Tensor losses = margin.clamp_min(0) + at::log1p((-margin.abs()).exp());
  const Tensor slope = w * margin.sigmoid();  // w q

  const Tensor wanted = sample.defined() ? sample : index;
  ExactNtXent result;
  result.loss = (w * losses).sum().item<double>();
  result.gradient = torch::empty({wanted.size(0), x.size(1)}, torch::kFloat64);
  double radial_sum = 0;
  for (std::int64_t i = 0; i < wanted.size(0); i += kPiece) {
    const Tensor which = wanted.narrow(0, i, std::min(kPiece, wanted.size(0) - i));
    const auto own = [&](const Tensor& v) { return v.index_select(0, which); };
    const Tensor logits = negatives_of(z, which, partner, temperature);
    const Tensor shares = (logits - own(negative).unsqueeze(1)).exp() * own(slope).unsqueeze(1) +
                          (logits - negative).exp() * slope;
    const Tensor pair = own(slope) + own(slope.index_select(0, partner));
    const Tensor dz =
        (shares.mm(z) - pair.unsqueeze(1) * own(z.index_select(0, partner))) / temperature;
    const Tensor radial = (own(z) * dz).sum(1, true);
    radial_sum += radial.sum().item<double>();
    const Tensor short_row = own(norm) <= kMinNorm;
    result.gradient.narrow(0, i, which.size(0))
        .copy_((dz - own(z) * radial.masked_fill(short_row, 0)) / own(norm).clamp_min(kMinNorm));
  }
  if (!sample.defined()) result.temperature_slope = -radial_sum / (2 * temperature);
  return result;
}

Tensor random_rows(std::int64_t rows, std::int64_t d, std::uint64_t seed, double mean) {
  torch::manual_seed(seed);
  return torch::randn({rows, d}, torch::kFloat64) + mean;
}

Tensor aligned_rows(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  torch::manual_seed(seed);
  const Tensor centre = torch::randn({n, d}, torch::kFloat64);
  return torch::cat({centre, centre}) + 0.33 * torch::randn({2 * n, d}, torch::kFloat64);
}

Tensor clustered_rows(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  torch::manual_seed(seed);
  const Tensor centres = torch::randn({10, d}, torch::kFloat64);
  const Tensor which = torch::arange(n, torch::kInt64).remainder(10).repeat({2});
  return centres.index_select(0, which) + 0.3 * torch::randn({2 * n, d}, torch::kFloat64);
}

double relative_distance(const Tensor& a, const Tensor& b) {
  return (a - b).norm().item<double>() / b.norm().item<double>();
}

}  // namespace clr::test
