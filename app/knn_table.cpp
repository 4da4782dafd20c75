// SPDX-License-Identifier: Apache-2.0
#include "knn_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "command.h"

namespace clr {
namespace {

std::string vote_name(const KnnResult& result) {
  const std::string metric = to_string(result.metric);
  switch (result.weighting) {
    case KnnWeighting::temperature:
      return fmt::format("{}, temperature {:g}", metric, result.temperature);
    case KnnWeighting::distance:
      return metric + ", 1 / distance";
    case KnnWeighting::majority:
      break;
  }
  return metric + ", majority";
}

}  // namespace

Json knn_json(const std::vector<KnnResult>& results) {
  Json list = Json::array();
  for (const KnnResult& result : results) {
    Json entry = {{"k", result.k},
                  {"metric", to_string(result.metric)},
                  {"weighting", to_string(result.weighting)}};
    if (result.weighting == KnnWeighting::temperature) entry["temperature"] = result.temperature;
    entry["top1"] = result.top1;
    list.push_back(std::move(entry));
  }
  return list;
}

void print_knn_table(std::vector<KnnResult> results) {
  // In the grid knn.temperature stands before knn.temperatures.
  const auto order = [](const KnnResult& result) {
    return std::make_tuple(result.metric, result.weighting, result.temperature);
  };
  std::stable_sort(
      results.begin(), results.end(),
      [&order](const KnnResult& a, const KnnResult& b) { return order(a) < order(b); });
  std::vector<std::vector<std::string>> rows = {{"kNN, top-1 in %"}};
  for (const KnnResult& result : results) {
    const std::string column = fmt::format("k {}", result.k);
    auto& heading = rows.front();
    if (std::find(heading.begin(), heading.end(), column) == heading.end())
      heading.push_back(column);
  }
  for (const KnnResult& result : results) {
    const std::string name = vote_name(result);
    auto row = std::find_if(rows.begin() + 1, rows.end(),
                            [&name](const auto& each) { return each.front() == name; });
    if (row == rows.end()) row = rows.insert(rows.end(), {name});
    row->push_back(fmt::format("{:.1f}", 100 * result.top1));
  }
  print_table(rows);
}

}  // namespace clr
