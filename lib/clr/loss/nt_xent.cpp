// SPDX-License-Identifier: Apache-2.0
#include "clr/loss/nt_xent.h"

#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>

#include <cmath>

#include "clr/core/error.h"

namespace clr {
namespace {

using torch::Tensor;

// Past this softplus(x) returns x. PyTorch's 20 is off by 1e-10 relative, this one by less than
// float64 can show.
constexpr double kSoftplusLinear = 40.0;

/// Rows and sums of one batch of pairs.
struct Batch {
  Tensor z;
  Pairing pairing;
  const TwoViewOptions& options;

  LogSums sums(const Tensor& inverse_temperature) const {
    ContrastiveProblem problem;
    problem.rows = z;
    problem.inverse_temperature = inverse_temperature;
    problem.pairing = pairing;
    problem.row_ids = options.ids;
    problem.cosine_limit = options.cosine_limit;
    return log_sums(problem);
  }

  /// Anchors' losses to one number.
  Tensor reduce(const Tensor& losses) const {
    const Tensor total = options.weights.defined()
                             ? (losses * options.weights.to(losses.scalar_type())).sum()
                             : losses.mean();
    return total.to(z.scalar_type());
  }
};

Batch batch(const Tensor& z0, const Tensor& z1, const TwoViewOptions& options) {
  TORCH_CHECK(z0.dim() == 2 && z0.sizes() == z1.sizes() && z0.size(0) >= 2,
              "nt_xent: expected two tensors [N, D] with N >= 2, got ", z0.sizes(), " and ",
              z1.sizes());
  TORCH_CHECK(!options.weights.defined() ||
                  (options.weights.dim() == 1 && options.weights.size(0) == 2 * z0.size(0)),
              "nt_xent: expected weights [", 2 * z0.size(0), "]");
  return {unit_rows(z0, z1), Pairing::halves, options};
}

/// -log(Epos / (Epos + Rneg)) = log1p(Rneg / Epos): a batch that has converged keeps all its digits,
/// which the difference of two logarithms would lose.
Tensor positive_against(const Tensor& pairs, const Tensor& negatives) {
  return at::softplus(negatives - pairs, 1, kSoftplusLinear);
}

Tensor nt_xent_of(const Batch& rows, const Tensor& inverse_temperature) {
  const LogSums sums = rows.sums(inverse_temperature);
  return rows.reduce(positive_against(sums.pairs, sums.rows));
}

void check_number(bool good, const char* name, const char* expected, double got) {
  if (!good) throw Error(ErrorKind::config, c10::str(name, ": expected ", expected, ", got ", got));
}

/// Debiased: `negatives` are logarithms of sums over `count` columns.
Tensor debias(const Tensor& pairs, const Tensor& negatives, double count, double prior,
              const Tensor& inverse_temperature) {
  if (prior == 0) return negatives;
  // log((R - prior N P) / (1 - prior)) = log R + log1p(-prior N P / R) - log1p(-prior), and not below
  // log N - 1 / temperature, where the clamp has no slope.
  const Tensor share = (pairs - negatives + std::log(prior * count)).clamp_max(-1e-12).exp();
  const Tensor corrected = negatives + at::log1p(-share) - std::log1p(-prior);
  return at::maximum(corrected, std::log(count) - inverse_temperature);
}

}  // namespace

Tensor nt_xent(const Tensor& z0, const Tensor& z1, double temperature,
               const TwoViewOptions& options) {
  const Tensor inverse = inverse_temperature(temperature, z0.device());
  return nt_xent_of(batch(z0, z1, options), inverse);
}

Tensor nt_xent(const Tensor& z0, const Tensor& z1, const Tensor& temperature,
               const TwoViewOptions& options) {
  return nt_xent_of(batch(z0, z1, options), inverse_temperature(temperature, z0.device()));
}

Tensor nt_xent(const Tensor& z, Pairing pairing, double temperature,
               const TwoViewOptions& options) {
  TORCH_CHECK(pairing == Pairing::halves || pairing == Pairing::interleaved,
              "nt_xent: expected pairs in halves or interleaved");
  TORCH_CHECK(z.dim() == 2 && z.size(0) >= 4 && z.size(0) % 2 == 0,
              "nt_xent: expected a tensor [2N, D] with N >= 2, got ", z.sizes());
  return nt_xent_of({unit_rows(z), pairing, options}, inverse_temperature(temperature, z.device()));
}

Tensor dcl(const Tensor& z0, const Tensor& z1, double temperature, const TwoViewOptions& options) {
  const Batch rows = batch(z0, z1, options);
  const LogSums sums = rows.sums(inverse_temperature(temperature, z0.device()));
  return rows.reduce(sums.rows - sums.pairs);
}

Tensor dclw(const Tensor& z0, const Tensor& z1, double temperature, double sigma,
            const TwoViewOptions& options) {
  check_number(sigma > 0 && std::isfinite(sigma), "sigma", "a number above 0", sigma);
  const Batch rows = batch(z0, z1, options);
  const LogSums sums = rows.sums(inverse_temperature(temperature, z0.device()));
  const Tensor cosines = sums.pairs.detach() * temperature;
  // Both views of a pair have one cosine, so the mean over 2N rows is the mean over N pairs.
  const Tensor weights = 2 - static_cast<double>(cosines.size(0)) * (cosines / sigma).softmax(0);
  return rows.reduce(sums.rows - weights * sums.pairs);
}

Tensor debiased(const Tensor& z0, const Tensor& z1, double temperature, double positive_prior,
                const TwoViewOptions& options) {
  return hard_negative(z0, z1, temperature, positive_prior, 0, options);
}

Tensor hard_negative(const Tensor& z0, const Tensor& z1, double temperature, double positive_prior,
                     double beta, const TwoViewOptions& options) {
  check_number(positive_prior >= 0 && positive_prior < 1, "positive_prior", "0 <= prior < 1",
               positive_prior);
  check_number(beta >= 0 && std::isfinite(beta), "beta", "a number of at least 0", beta);
  const Batch rows = batch(z0, z1, options);
  const Tensor inverse = inverse_temperature(temperature, z0.device());
  const auto count = static_cast<double>(2 * z0.size(0) - 2);
  LogSums sums = rows.sums(inverse * (1 + beta));
  const Tensor pairs = sums.pairs / (1 + beta);
  Tensor negatives = sums.rows;
  if (beta > 0) negatives = negatives - rows.sums(inverse * beta).rows + std::log(count);
  return rows.reduce(
      positive_against(pairs, debias(pairs, negatives, count, positive_prior, inverse)));
}

}  // namespace clr
