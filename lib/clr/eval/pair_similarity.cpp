// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/pair_similarity.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

#include "clr/core/rng.h"

namespace clr {

std::vector<double> mean_ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t first = 0; first < order.size();) {
    std::size_t last = first + 1;
    while (last < order.size() && values[order[last]] == values[order[first]]) ++last;
    // Ranks first + 1 to last.
    const double rank = static_cast<double>(first + 1 + last) / 2;
    for (; first < last; ++first) ranks[order[first]] = rank;
  }
  return ranks;
}

double pearson(const std::vector<double>& a, const std::vector<double>& b) {
  const auto n = static_cast<double>(a.size());
  const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n;
  const double mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
  double both = 0;
  double of_a = 0;
  double of_b = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    both += (a[i] - mean_a) * (b[i] - mean_b);
    of_a += (a[i] - mean_a) * (a[i] - mean_a);
    of_b += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return of_a > 0 && of_b > 0 ? both / std::sqrt(of_a * of_b) : 0.0;
}

double spearman(const std::vector<double>& a, const std::vector<double>& b) {
  return pearson(mean_ranks(a), mean_ranks(b));
}

PairAgreement agree_on_pairs(const std::vector<double>& similarities,
                             const std::vector<double>& scores, std::uint64_t seed) {
  constexpr std::uint64_t kResamples = 1000;
  PairAgreement result;
  result.pairs = static_cast<std::int64_t>(scores.size());
  result.spearman = spearman(similarities, scores);
  result.pearson = pearson(similarities, scores);
  std::vector<double> resampled;
  std::vector<double> a(scores.size());
  std::vector<double> b(scores.size());
  const auto count = static_cast<std::uint32_t>(scores.size());
  for (std::uint64_t k = 0; k < kResamples; ++k) {
    for (std::size_t i = 0; i < scores.size(); ++i) {
      const Rng rng(seed, {i, 0, static_cast<std::uint32_t>(k)}, OpId::bootstrap);
      const std::size_t drawn = rng.integer(0, count);
      a[i] = similarities[drawn];
      b[i] = scores[drawn];
    }
    resampled.push_back(spearman(a, b));
  }
  std::sort(resampled.begin(), resampled.end());
  const auto percentile = [&](double share) {
    return resampled[static_cast<std::size_t>(share * static_cast<double>(kResamples - 1))];
  };
  result.spearman_ci95 = {percentile(0.025), percentile(0.975)};
  return result;
}

}  // namespace clr
