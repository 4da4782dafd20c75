// SPDX-License-Identifier: Apache-2.0
#include "feature_geometry.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "clr/eval/clustering.h"
#include "clr/eval/retrieval.h"
#include "clr/eval/unit_features.h"
#include "command.h"

namespace clr {
namespace {

constexpr std::int64_t kRetrievalQueries = 2000;
constexpr std::int64_t kClusteredRows = 10000;
constexpr std::int64_t kClusterStarts = 3;

}  // namespace

Json judge_geometry(const JudgedSplit& train_split, const JudgedSplit& test_split,
                    std::int64_t classes, std::uint64_t seed) {
  const torch::Tensor& train = train_split.features.values;
  const torch::Tensor& test = test_split.features.values;
  const double centroids =
      centroid_accuracy(train, train_split.labels, test, test_split.labels, classes);
  const Retrieval retrieval = judge_retrieval(train, train_split.labels, test, test_split.labels,
                                              {1, 5, 10}, kRetrievalQueries);
  Json recall = Json::object();
  std::vector<std::vector<std::string>> rows = {{"measure, by all training labels", "value"},
                                                {"nearest class centroid", percent(centroids)}};
  for (const auto& [k, share] : retrieval.recall) {
    recall[std::to_string(k)] = share;
    rows.push_back({fmt::format("recall@{}", k), percent(share)});
  }
  rows.push_back(
      {"mean average precision", fmt::format("{:.3f}", retrieval.mean_average_precision)});
  Json result = {{"centroids", {{"top1", centroids}}},
                 {"retrieval",
                  {{"queries", retrieval.queries},
                   {"recall", std::move(recall)},
                   {"map", retrieval.mean_average_precision}}}};
  if (const std::int64_t n = std::min(test.size(0), kClusteredRows); n >= classes) {
    // Evenly chosen: folders come class by class.
    const torch::Tensor rows_used = at::arange(n).mul(test.size(0)).div(n, "floor");
    const Clusters clusters =
        k_means(unit_features(test.index_select(0, rows_used), torch::kFloat32), classes,
                kClusterStarts, seed);
    const Agreement agreement =
        clustering_agreement(clusters.assignments, test_split.labels.index_select(0, rows_used));
    result["clustering"] = {
        {"images", n}, {"clusters", classes}, {"nmi", agreement.nmi}, {"ari", agreement.ari}};
    rows.push_back({"k-means clusters, NMI", fmt::format("{:.3f}", agreement.nmi)});
    rows.push_back({"k-means clusters, ARI", fmt::format("{:.3f}", agreement.ari)});
  }
  print_table(rows);
  return result;
}

}  // namespace clr
