// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/clustering.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "clr/core/rng.h"

namespace clr {
namespace {

constexpr std::int64_t kMostIterations = 300;

/// Squared distances [n, K] of rows to centres.
torch::Tensor square_distances(const torch::Tensor& rows, const torch::Tensor& row_squares,
                               const torch::Tensor& centres) {
  return at::addmm(row_squares.unsqueeze(1) + centres.square().sum(1).unsqueeze(0), rows,
                   centres.t(), 1.0, -2.0)
      .clamp_min_(0.0);
}

/// A row drawn with the given weights [n] float64.
std::int64_t draw_row(const torch::Tensor& weights, double place) {
  const torch::Tensor sums = weights.cumsum(0);
  const double total = sums[-1].item<double>();
  // All rows are centres already: any will do.
  if (!(total > 0.0))
    return static_cast<std::int64_t>(place * static_cast<double>(weights.size(0)));
  const auto found = at::searchsorted(sums, at::scalar_tensor(place * total, torch::kFloat64),
                                      /*out_int32=*/false, /*right=*/true);
  return std::min(found.item<std::int64_t>(), weights.size(0) - 1);
}

/// Greedy k-means++: of some candidates, each drawn by its squared distance to the centres so far,
/// the one that lowers the sum of these most.
torch::Tensor first_centres(const torch::Tensor& rows, const torch::Tensor& row_squares,
                            std::int64_t clusters, std::uint64_t seed, std::int64_t start) {
  const auto place = [seed, start](std::int64_t cluster, std::uint32_t candidate) {
    const Rng rng(seed, {static_cast<std::uint64_t>(cluster), 0, static_cast<std::uint32_t>(start)},
                  OpId::none);
    return static_cast<double>(rng.bits64(candidate) >> 11) * 0x1p-53;
  };
  const auto to_row = [&](std::int64_t row) {
    return square_distances(rows, row_squares, rows.narrow(0, row, 1))
        .squeeze(1)
        .to(torch::kFloat64);
  };
  const auto candidates = static_cast<std::uint32_t>(2 + std::log(static_cast<double>(clusters)));
  std::vector<std::int64_t> chosen{
      static_cast<std::int64_t>(place(0, 0) * static_cast<double>(rows.size(0)))};
  torch::Tensor nearest = to_row(chosen.front());
  for (std::int64_t c = 1; c < clusters; ++c) {
    // Rounding must not let a row be drawn twice.
    nearest[chosen.back()] = 0.0;
    std::int64_t best_row = 0;
    torch::Tensor best;
    for (std::uint32_t candidate = 0; candidate < candidates; ++candidate) {
      const std::int64_t row = draw_row(nearest, place(c, candidate));
      const torch::Tensor left = at::minimum(nearest, to_row(row));
      if (best.defined() && !(left.sum().item<double>() < best.sum().item<double>())) continue;
      best = left;
      best_row = row;
    }
    nearest = best;
    chosen.push_back(best_row);
  }
  return rows.index_select(0, at::tensor(chosen, torch::kInt64));
}

/// Means of the assigned rows; `distances` [n] are those to the own centre.
torch::Tensor mean_centres(const torch::Tensor& rows, const torch::Tensor& assignments,
                           torch::Tensor distances, std::int64_t clusters) {
  torch::Tensor sums = at::zeros({clusters, rows.size(1)}, torch::kFloat64);
  sums.index_add_(0, assignments, rows.to(torch::kFloat64));
  const torch::Tensor counts = at::bincount(assignments, {}, clusters);
  torch::Tensor centres = (sums / counts.clamp_min(1).unsqueeze(1)).to(torch::kFloat32);
  const torch::Tensor empty = (counts == 0).nonzero().flatten();
  for (std::int64_t i = 0; i < empty.size(0); ++i) {
    const torch::Tensor farthest = distances.argmax();
    centres[empty[i].item<std::int64_t>()] = rows[farthest.item<std::int64_t>()];
    distances[farthest.item<std::int64_t>()] = -1.0;
  }
  return centres;
}

Clusters lloyd(const torch::Tensor& rows, const torch::Tensor& row_squares, torch::Tensor centres) {
  Clusters result;
  for (std::int64_t iteration = 1; iteration <= kMostIterations; ++iteration) {
    auto [distances, assignments] = square_distances(rows, row_squares, centres).min(1);
    const bool settled = result.assignments.defined() && at::equal(assignments, result.assignments);
    result.assignments = assignments;
    result.inertia = distances.sum(torch::kFloat64).item<double>();
    result.iterations = iteration;
    if (settled) break;
    centres = mean_centres(rows, assignments, distances, centres.size(0));
  }
  return result;
}

double entropy(const std::map<std::int64_t, double>& counts, double n) {
  double sum = 0.0;
  for (const auto& [group, count] : counts) sum -= count / n * std::log(count / n);
  return sum;
}

double pairs(double count) { return count * (count - 1.0) / 2.0; }

}  // namespace

Clusters k_means(const torch::Tensor& rows, std::int64_t clusters, std::int64_t starts,
                 std::uint64_t seed) {
  TORCH_CHECK(rows.dim() == 2 && clusters >= 1 && rows.size(0) >= clusters && starts >= 1,
              "k_means: ", clusters, " clusters of ", rows.sizes());
  const c10::NoGradGuard no_grad;
  const torch::Tensor own = rows.to(torch::kCPU, torch::kFloat32).contiguous();
  const torch::Tensor squares = own.square().sum(1);
  Clusters best;
  for (std::int64_t start = 0; start < starts; ++start) {
    Clusters found = lloyd(own, squares, first_centres(own, squares, clusters, seed, start));
    if (!best.assignments.defined() || found.inertia < best.inertia) best = std::move(found);
  }
  return best;
}

Agreement clustering_agreement(const torch::Tensor& a, const torch::Tensor& b) {
  TORCH_CHECK(a.dim() == 1 && a.sizes() == b.sizes() && a.size(0) > 0,
              "clustering_agreement: ", a.sizes(), " and ", b.sizes());
  const torch::Tensor own_a = a.contiguous();
  const torch::Tensor own_b = b.contiguous();
  std::map<std::int64_t, double> groups_a;
  std::map<std::int64_t, double> groups_b;
  std::map<std::pair<std::int64_t, std::int64_t>, double> both;
  for (std::int64_t i = 0; i < a.size(0); ++i) {
    const std::int64_t of_a = own_a.const_data_ptr<std::int64_t>()[i];
    const std::int64_t of_b = own_b.const_data_ptr<std::int64_t>()[i];
    groups_a[of_a] += 1.0;
    groups_b[of_b] += 1.0;
    both[{of_a, of_b}] += 1.0;
  }
  const auto n = static_cast<double>(a.size(0));
  Agreement agreement;
  const bool trivial = groups_a.size() == groups_b.size() &&
                       (groups_a.size() == 1 || groups_a.size() == static_cast<std::size_t>(n));
  if (trivial) return {1.0, 1.0};
  double information = 0.0;
  double pairs_both = 0.0;
  for (const auto& [cell, count] : both) {
    information += count / n * std::log(n * count / (groups_a[cell.first] * groups_b[cell.second]));
    pairs_both += pairs(count);
  }
  const double entropies = (entropy(groups_a, n) + entropy(groups_b, n)) / 2.0;
  // Rounding may leave a little of a mutual information of 0.
  agreement.nmi = std::clamp(information / entropies, 0.0, 1.0);
  double pairs_a = 0.0;
  double pairs_b = 0.0;
  for (const auto& [group, count] : groups_a) pairs_a += pairs(count);
  for (const auto& [group, count] : groups_b) pairs_b += pairs(count);
  const double expected = pairs_a * pairs_b / pairs(n);
  const double most = (pairs_a + pairs_b) / 2.0;
  agreement.ari = (pairs_both - expected) / (most - expected);
  return agreement;
}

}  // namespace clr
