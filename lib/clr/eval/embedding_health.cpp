// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/embedding_health.h"

#include <ATen/Functions.h>
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

double spectrum_decay(const torch::Tensor& z) {
  const torch::Tensor centred = z - z.mean(0);
  const bool tall = z.size(0) >= z.size(1);
  const torch::Tensor gram = tall ? at::mm(centred.t(), centred) : at::mm(centred, centred.t());
  const torch::Tensor values = at::linalg_eigvalsh(gram).flip(0).contiguous();
  const double* value = values.const_data_ptr<double>();
  std::int64_t count = 0;
  while (count < values.size(0) && value[count] > 1e-12 * value[0]) ++count;
  if (!(value[0] > 0.0) || count < 2) return 0.0;
  const std::int64_t first = count < 8 ? 1 : 4;
  const std::int64_t last = std::min<std::int64_t>(count, 100);
  // Weighted least squares of a line.
  double weight = 0.0;
  double x_mean = 0.0;
  double y_mean = 0.0;
  for (std::int64_t j = first; j <= last; ++j) {
    const double w = 1.0 / static_cast<double>(j);
    weight += w;
    x_mean += w * std::log(static_cast<double>(j));
    y_mean += w * std::log(value[j - 1]);
  }
  x_mean /= weight;
  y_mean /= weight;
  double products = 0.0;
  double squares = 0.0;
  for (std::int64_t j = first; j <= last; ++j) {
    const double w = 1.0 / static_cast<double>(j);
    const double x = std::log(static_cast<double>(j)) - x_mean;
    products += w * x * (std::log(value[j - 1]) - y_mean);
    squares += w * x * x;
  }
  return -products / squares;
}

/// Adds cosines to the bins of a histogram.
void count_cosines(const torch::Tensor& cosines, std::vector<double>& bins) {
  const torch::Tensor places = ((cosines + 1.0) * (ViewSimilarity::kBins / 2.0))
                                   .floor()
                                   .clamp(0, ViewSimilarity::kBins - 1)
                                   .to(torch::kInt64);
  const torch::Tensor counts = at::bincount(places, {}, ViewSimilarity::kBins);
  for (int i = 0; i < ViewSimilarity::kBins; ++i)
    bins[static_cast<std::size_t>(i)] += counts[i].item<double>();
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
  health.alpha = spectrum_decay(z[0]);
  return health;
}

ViewSimilarity view_similarity(const torch::Tensor& views, const torch::Tensor& labels) {
  TORCH_CHECK(views.dim() == 3 && views.size(0) == 2 && views.size(1) >= 2,
              "view_similarity: expected [2, n, D] with n >= 2, got ", views.sizes());
  constexpr std::int64_t kBlock = 512;
  const at::NoGradGuard no_grad;
  const torch::Tensor z = views.to(torch::kFloat64);
  const torch::Tensor unit = unit_rows(z[0], z[1]).view_as(z);
  const std::int64_t n = z.size(1);
  const torch::Tensor own = (unit[0] * unit[1]).sum(1);
  ViewSimilarity result;
  result.positives.resize(ViewSimilarity::kBins);
  result.negatives.resize(ViewSimilarity::kBins);
  count_cosines(own, result.positives);
  result.positive_mean = own.mean().item<double>();
  double sum = 0.0;
  double nearer = 0.0;
  double same = 0.0;
  for (std::int64_t first = 0; first < n; first += kBlock) {
    const std::int64_t rows = std::min(kBlock, n - first);
    const torch::Tensor cosines = at::mm(unit[0].narrow(0, first, rows), unit[1].t());
    torch::Tensor negative = at::ones({rows, n}, torch::kBool);
    negative.diagonal(first).fill_(false);
    const torch::Tensor hard =
        negative.logical_and(cosines > own.narrow(0, first, rows).unsqueeze(1));
    const torch::Tensor values = cosines.masked_select(negative);
    count_cosines(values, result.negatives);
    sum += values.sum().item<double>();
    nearer += hard.sum().item<double>();
    if (labels.defined()) {
      const torch::Tensor equal = labels.narrow(0, first, rows).unsqueeze(1) == labels.unsqueeze(0);
      same += hard.logical_and(equal).sum().item<double>();
    }
  }
  const auto images = static_cast<double>(n);
  const double pairs = images * (images - 1.0);
  for (double& share : result.positives) share /= images;
  for (double& share : result.negatives) share /= pairs;
  result.negative_mean = sum / pairs;
  result.nearer_negatives = nearer / pairs;
  result.nearer_same_class = nearer > 0 ? same / nearer : 0.0;
  return result;
}

}  // namespace clr
