// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/retrieval.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <numeric>

#include "clr/eval/unit_features.h"
#include "clr/loss/matrix_product.h"

namespace clr {
namespace {

constexpr std::int64_t kBlockBytes = std::int64_t{64} << 20;

/// One query's ranking of the gallery.
struct Ranking {
  std::int64_t first = 0;  ///< place of the first of its class, from 0
  double average_precision = 0.0;
};

Ranking rank_gallery(const float* cosines, const std::int64_t* labels, std::int64_t label,
                     std::vector<std::int64_t>& order) {
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::sort(order.begin(), order.end(), [cosines](std::int64_t a, std::int64_t b) {
    return cosines[a] != cosines[b] ? cosines[a] > cosines[b] : a < b;
  });
  Ranking ranking;
  bool any = false;
  std::int64_t found = 0;
  std::int64_t before = 0;  // found before the rows of equal cosine
  double sum = 0.0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (labels[order[i]] == label) {
      if (!any) ranking.first = static_cast<std::int64_t>(i);
      any = true;
      ++found;
    }
    const bool step = i + 1 == order.size() || cosines[order[i + 1]] != cosines[order[i]];
    if (!step) continue;
    sum += static_cast<double>(found - before) * static_cast<double>(found) /
           static_cast<double>(i + 1);
    before = found;
  }
  ranking.average_precision = sum / static_cast<double>(found);
  return ranking;
}

/// Rows whose label the gallery has; evenly chosen where there are too many.
std::vector<std::int64_t> asked_rows(const torch::Tensor& gallery_labels,
                                     const torch::Tensor& query_labels, std::int64_t most) {
  const torch::Tensor known = at::isin(query_labels, gallery_labels).nonzero().flatten();
  const std::int64_t total = known.size(0);
  const std::int64_t count = std::min(most, total);
  const auto* rows = known.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> asked;
  for (std::int64_t i = 0; i < count; ++i) asked.push_back(rows[i * total / count]);
  return asked;
}

}  // namespace

Retrieval judge_retrieval(const torch::Tensor& gallery, const torch::Tensor& gallery_labels,
                          const torch::Tensor& queries, const torch::Tensor& query_labels,
                          const std::vector<std::int64_t>& k, std::int64_t most_queries) {
  TORCH_CHECK(gallery.dim() == 2 && queries.dim() == 2 && gallery.size(1) == queries.size(1) &&
                  gallery_labels.sizes() == gallery.sizes().slice(0, 1) &&
                  query_labels.sizes() == queries.sizes().slice(0, 1) && gallery.size(0) > 0,
              "judge_retrieval: gallery ", gallery.sizes(), ", queries ", queries.sizes());
  const c10::NoGradGuard no_grad;
  const std::vector<std::int64_t> rows = asked_rows(gallery_labels, query_labels, most_queries);
  Retrieval result;
  result.queries = static_cast<std::int64_t>(rows.size());
  for (const std::int64_t each : k) result.recall.emplace_back(each, 0.0);
  if (rows.empty()) return result;
  const torch::Tensor known = unit_features(gallery, torch::kFloat32);
  const torch::Tensor chosen = at::tensor(rows, torch::kInt64);
  const torch::Tensor asked = unit_features(queries.index_select(0, chosen), torch::kFloat32);
  const torch::Tensor asked_labels = query_labels.index_select(0, chosen);
  const torch::Tensor known_labels = gallery_labels.contiguous();
  const auto* labels = known_labels.const_data_ptr<std::int64_t>();
  const auto* wanted = asked_labels.const_data_ptr<std::int64_t>();
  const std::int64_t columns = known.size(0);
  const std::int64_t block =
      std::clamp<std::int64_t>(kBlockBytes / (4 * columns), 1, result.queries);
  torch::Tensor cosines = at::empty({block, columns}, torch::kFloat32);
  std::vector<Ranking> rankings(rows.size());
  for (std::int64_t begin = 0; begin < result.queries; begin += block) {
    const std::int64_t count = std::min(block, result.queries - begin);
    torch::Tensor part = cosines.narrow(0, 0, count);
    detail::matrix_product(part, asked.narrow(0, begin, count), known.t(), false);
    const auto* values = part.const_data_ptr<float>();
    at::parallel_for(0, count, 1, [&](std::int64_t first, std::int64_t last) {
      std::vector<std::int64_t> order(static_cast<std::size_t>(columns));
      for (std::int64_t i = first; i < last; ++i) {
        rankings[static_cast<std::size_t>(begin + i)] =
            rank_gallery(values + i * columns, labels, wanted[begin + i], order);
      }
    });
  }
  const auto total = static_cast<double>(result.queries);
  for (const Ranking& ranking : rankings) {
    result.mean_average_precision += ranking.average_precision / total;
    for (auto& [each, share] : result.recall) share += ranking.first < each ? 1.0 / total : 0.0;
  }
  return result;
}

double centroid_accuracy(const torch::Tensor& train, const torch::Tensor& train_labels,
                         const torch::Tensor& test, const torch::Tensor& test_labels,
                         std::int64_t classes) {
  const c10::NoGradGuard no_grad;
  torch::Tensor centroids = at::zeros({classes, train.size(1)}, torch::kFloat64);
  centroids.index_add_(0, train_labels, unit_features(train, torch::kFloat64));
  const torch::Tensor counts = at::bincount(train_labels, {}, classes);
  const torch::Tensor scores =
      at::mm(unit_features(test, torch::kFloat64), unit_features(centroids, torch::kFloat64).t())
          .masked_fill(counts.unsqueeze(0) == 0, -2.0);
  return (scores.argmax(1) == test_labels).to(torch::kFloat64).mean().item<double>();
}

}  // namespace clr
