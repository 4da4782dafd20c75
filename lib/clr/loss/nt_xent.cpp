// SPDX-License-Identifier: Apache-2.0
#include "clr/loss/nt_xent.h"

#include <ATen/ATen.h>
#include <c10/util/StringUtil.h>

#include <cmath>

#include "clr/core/error.h"
#include "clr/loss/op.h"

namespace clr {
namespace {

using torch::Tensor;

/// [2n, ...] in halves to pairs that follow each other.
Tensor interleave(const Tensor& x) {
  return x.unflatten(0, {2, x.size(0) / 2}).transpose(0, 1).flatten(0, 1);
}

/// Rows and sums of one batch of pairs.
struct Batch {
  Tensor z;
  Pairing pairing;
  bool half_precision;
  const TwoViewOptions& options;
  Tensor columns;     ///< of all processes; undefined: the rows
  Tensor weights;     ///< in the rows' order, or undefined
  Tensor row_ids;     ///< the same
  Tensor column_ids;  ///< of `columns`

  Batch(Tensor rows, Pairing paired, bool half, const TwoViewOptions& given)
      : z(std::move(rows)),
        pairing(paired),
        half_precision(half),
        options(given),
        weights(given.weights),
        row_ids(given.ids) {
    if (!options.shared) return;
    // Each process's rows are to follow each other among the columns.
    if (pairing == Pairing::halves) {
      pairing = Pairing::interleaved;
      z = interleave(z);
      if (weights.defined()) weights = interleave(weights);
      if (row_ids.defined()) row_ids = interleave(row_ids);
    }
    columns = options.shared.gather(z);
    if (row_ids.defined()) column_ids = options.shared.gather(row_ids);
  }

  LogSums sums(const Tensor& inverse_temperature) const {
    ContrastiveProblem problem;
    problem.rows = z;
    problem.columns = columns;
    problem.rows_among_columns = columns.defined();
    problem.row_offset = 2 * options.shared.first;
    problem.inverse_temperature = inverse_temperature;
    problem.pairing = pairing;
    problem.row_ids = row_ids;
    problem.column_ids = column_ids;
    problem.cosine_limit = options.cosine_limit;
    problem.backend = options.backend;
    problem.half_precision = half_precision || options.half_precision;
    return log_sums(problem);
  }

  /// Anchors' losses to one number.
  Tensor reduce(const Tensor& losses) const {
    Tensor total;
    if (weights.defined()) {
      total = (losses * weights.to(losses.scalar_type())).sum();
    } else if (options.shared) {
      total = losses.sum() / static_cast<double>(2 * options.shared.images);
    } else {
      total = losses.mean();
    }
    return total.to(z.scalar_type());
  }

  /// Of all processes' anchors, and those of this one's among them.
  Tensor all_of(const Tensor& anchors) const {
    return options.shared ? options.shared.gather(anchors) : anchors;
  }
  Tensor own_of(const Tensor& all) const {
    return options.shared ? all.narrow(0, 2 * options.shared.first, z.size(0)) : all;
  }

  /// Negatives of an anchor: a number of the graph's, so that one traced for all sizes serves them.
  Tensor log_negatives(const Tensor& z0, const Tensor& inverse) const {
    if (options.shared) {
      return at::scalar_tensor(2 * options.shared.images - 2, inverse.options()).log();
    }
    return at::scalar_tensor(z0.sym_size(0) * 2 - 2, inverse.options()).log();
  }
};

Batch batch(const Tensor& z0, const Tensor& z1, const TwoViewOptions& options) {
  TORCH_CHECK(z0.dim() == 2 && z0.sym_sizes() == z1.sym_sizes() &&
                  z0.sym_size(0) >= (options.shared ? 1 : 2),
              "nt_xent: expected two tensors [N, D] with N >= 2, got ", z0.sym_sizes(), " and ",
              z1.sym_sizes());
  const c10::SymInt rows = z0.sym_size(0) * 2;
  TORCH_CHECK(!options.weights.defined() ||
                  (options.weights.dim() == 1 && options.weights.sym_size(0) == rows),
              "nt_xent: expected weights [", rows, "]");
  return {unit_rows(z0, z1), Pairing::halves, is_half_precision(z0), options};
}

Tensor nt_xent_of(const Batch& rows, const Tensor& inverse_temperature) {
  const LogSums sums = rows.sums(inverse_temperature);
  return rows.reduce(pair_cross_entropy(sums.pairs, sums.rows));
}

void check_number(bool good, const char* name, const char* expected, double got) {
  if (!good) throw Error(ErrorKind::config, c10::str(name, ": expected ", expected, ", got ", got));
}

/// Debiased: `negatives` are logarithms of sums over exp(log_count) columns.
Tensor debias(const Tensor& pairs, const Tensor& negatives, const Tensor& log_count, double prior,
              const Tensor& inverse_temperature) {
  if (prior == 0) return negatives;
  // log((R - prior N P) / (1 - prior)) = log R + log1p(-prior N P / R) - log1p(-prior), and not
  // below log N - 1 / temperature, where the clamp has no slope.
  const Tensor share = (pairs - negatives + log_count + std::log(prior)).clamp_max(-1e-12).exp();
  const Tensor corrected = negatives + at::log1p(-share) - std::log1p(-prior);
  return at::maximum(corrected, log_count - inverse_temperature);
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
  TORCH_CHECK(z.dim() == 2 && z.sym_size(0) >= (options.shared ? 2 : 4) && z.sym_size(0) % 2 == 0,
              "nt_xent: expected a tensor [2N, D] with N >= 2, got ", z.sym_sizes());
  return nt_xent_of({unit_rows(z), pairing, is_half_precision(z), options},
                    inverse_temperature(temperature, z.device()));
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
  const Tensor share = (rows.all_of(cosines) / sigma).softmax(0);
  const Tensor weights = 2 - rows.own_of(share) / share.mean();
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
  const Tensor log_count = rows.log_negatives(z0, inverse);
  LogSums sums = rows.sums(inverse * (1 + beta));
  const Tensor pairs = sums.pairs / (1 + beta);
  Tensor negatives = sums.rows;
  if (beta > 0) negatives = negatives - rows.sums(inverse * beta).rows + log_count;
  return rows.reduce(
      pair_cross_entropy(pairs, debias(pairs, negatives, log_count, positive_prior, inverse)));
}

namespace {

using OptionalTensor = std::optional<Tensor>;

/// An op of a loss: the arguments that it has of its own, then those that all losses of two views
/// share.
template <typename... Own>
struct TwoViewOp {
  template <typename Loss>
  static void add(torch::Library& library, const char* name_and_arguments, Loss loss) {
    library.def((std::string(name_and_arguments) +
                 ", *, Tensor? weights=None, Tensor? ids=None, float? cosine_limit=None, "
                 "str backend='auto') -> Tensor")
                    .c_str(),
                [loss](Own... own, const OptionalTensor& weights, const OptionalTensor& ids,
                       std::optional<double> cosine_limit, std::string_view backend) {
                  TwoViewOptions options;
                  options.weights = weights.value_or(Tensor());
                  options.ids = ids.value_or(Tensor());
                  if (cosine_limit) options.cosine_limit = *cosine_limit;
                  options.backend = detail::enum_of<LossBackend>(backend, "backend");
                  return loss(own..., options);
                },
                detail::op_tags());
  }
};

}  // namespace

TORCH_LIBRARY_FRAGMENT(clr, m) {
  using Views = const Tensor&;
  // First, as Python would turn the tensor into a number if it met the other one before.
  TwoViewOp<Views, Views, const Tensor&>::add(
      m, "nt_xent.tensor_temperature(Tensor z0, Tensor z1, Tensor temperature",
      [](const auto&... arguments) { return nt_xent(arguments...); });
  TwoViewOp<Views, Views, double>::add(
      m, "nt_xent(Tensor z0, Tensor z1, float temperature",
      [](const auto&... arguments) { return nt_xent(arguments...); });
  TwoViewOp<Views, std::string_view, double>::add(
      m, "nt_xent.one_tensor(Tensor z, str pairing, float temperature",
      [](const Tensor& z, std::string_view pairing, double temperature,
         const TwoViewOptions& options) {
        return nt_xent(z, detail::enum_of<Pairing>(pairing, "pairing"), temperature, options);
      });
  TwoViewOp<Views, Views, double>::add(m, "dcl(Tensor z0, Tensor z1, float temperature", &dcl);
  TwoViewOp<Views, Views, double, double>::add(
      m, "dclw(Tensor z0, Tensor z1, float temperature, float sigma=0.5", &dclw);
  TwoViewOp<Views, Views, double, double>::add(
      m, "debiased(Tensor z0, Tensor z1, float temperature, float positive_prior", &debiased);
  TwoViewOp<Views, Views, double, double, double>::add(
      m, "hard_negative(Tensor z0, Tensor z1, float temperature, float positive_prior, float beta",
      &hard_negative);
}

}  // namespace clr
