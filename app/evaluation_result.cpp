// SPDX-License-Identifier: Apache-2.0
#include "evaluation_result.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "clr/core/log.h"
#include "clr/eval/paired.h"
#include "clr/eval/statistics.h"
#include "clr/io/csv.h"
#include "clr/io/file.h"
#include "clr/io/tensorboard.h"
#include "clr/train/run_folder.h"
#include "command.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

constexpr std::int64_t kMostInMatrix = 200;
constexpr std::size_t kMostConfused = 20;

/// Of a confusion matrix [C, C] int64.
Json per_class(const torch::Tensor& cells, const std::vector<std::string>& classes) {
  const torch::Tensor images = cells.sum(1);
  const torch::Tensor correct = cells.diagonal();
  Json list = Json::array();
  for (std::size_t c = 0; c < classes.size(); ++c) {
    const auto row = static_cast<std::int64_t>(c);
    const auto total = images[row].item<std::int64_t>();
    const auto right = correct[row].item<std::int64_t>();
    if (total == 0) continue;
    list.push_back({{"class", classes[c]},
                    {"images", total},
                    {"correct", right},
                    {"top1", static_cast<double>(right) / static_cast<double>(total)},
                    {"ci95", wilson_interval(right, total)}});
  }
  return list;
}

/// The pairs of classes that are mistaken most often, the first for the second.
Json most_confused(const torch::Tensor& cells, const std::vector<std::string>& classes) {
  const torch::Tensor mistakes = cells.clone();
  mistakes.diagonal().zero_();
  const torch::Tensor pairs = mistakes.nonzero().contiguous();
  std::vector<std::array<std::int64_t, 3>> found;
  for (std::int64_t i = 0; i < pairs.size(0); ++i) {
    const auto* pair = pairs.const_data_ptr<std::int64_t>() + 2 * i;
    found.push_back({mistakes[pair[0]][pair[1]].item<std::int64_t>(), pair[0], pair[1]});
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a[0] > b[0]; });
  if (found.size() > kMostConfused) found.resize(kMostConfused);
  const torch::Tensor images = cells.sum(1);
  Json list = Json::array();
  for (const auto& [count, of, as] : found) {
    list.push_back({{"class", classes[static_cast<std::size_t>(of)]},
                    {"taken_for", classes[static_cast<std::size_t>(as)]},
                    {"images", count},
                    {"share", static_cast<double>(count) / images[of].item<double>()}});
  }
  return list;
}

}  // namespace

JudgedSplit extract_split(const FeatureExtractor& extractor, std::shared_ptr<const Dataset> dataset,
                          const std::vector<std::int64_t>& labels, const std::string& title) {
  JudgedSplit split;
  split.features = extractor.extract(std::move(dataset), title);
  // Row i belongs to dataset index indices[i]: bad images may have been left out.
  split.labels = torch::tensor(labels, torch::kInt64).index_select(0, split.features.indices);
  return split;
}

std::array<double, 2> accuracy_interval(double accuracy, std::int64_t total) {
  return wilson_interval(std::llround(accuracy * static_cast<double>(total)), total);
}

Json accuracies(const torch::Tensor& probabilities, const torch::Tensor& labels,
                const std::vector<std::string>& classes) {
  const double top1 = top_k_accuracy(probabilities, labels, 1);
  const auto count = static_cast<std::int64_t>(classes.size());
  const torch::Tensor cells =
      at::bincount(labels * count + probabilities.argmax(1), {}, count * count)
          .view({count, count});
  Json result = {{"top1", top1},
                 {"top5", top_k_accuracy(probabilities, labels, std::min<std::int64_t>(5, count))},
                 {"ci95", accuracy_interval(top1, labels.size(0))},
                 {"bootstrap_ci95",
                  bootstrap_interval(std::llround(top1 * static_cast<double>(labels.size(0))),
                                     labels.size(0))},
                 {"per_class", per_class(cells, classes)},
                 {"most_confused", most_confused(cells, classes)}};
  if (count <= kMostInMatrix) {
    result["class_names"] = classes;
    Json rows = Json::array();
    for (std::int64_t i = 0; i < count; ++i) {
      const auto* row = cells.const_data_ptr<std::int64_t>() + i * count;
      rows.push_back(std::vector<std::int64_t>(row, row + count));
    }
    result["confusion"] = std::move(rows);
  }
  return result;
}

void write_predictions(const fs::path& path, const std::vector<std::string>& classes,
                       const Dataset& dataset, const Features& features,
                       const torch::Tensor& labels, const torch::Tensor& probabilities) {
  std::string text = labels.defined() ? "name,label,prediction" : "name,prediction";
  for (const auto& name : classes) text += "," + csv_field("p_" + name);
  text += "\n";
  const torch::Tensor predicted = probabilities.argmax(1);
  for (std::int64_t i = 0; i < probabilities.size(0); ++i) {
    const auto name_of = [&](const torch::Tensor& numbers) {
      return csv_field(classes[static_cast<std::size_t>(numbers[i].item<std::int64_t>())]);
    };
    text += csv_field(dataset.name(features.indices[i].item<std::int64_t>())) + ",";
    if (labels.defined()) text += name_of(labels) + ",";
    text += name_of(predicted);
    const torch::Tensor row = probabilities[i];
    const float* values = row.const_data_ptr<float>();
    for (std::int64_t c = 0; c < probabilities.size(1); ++c)
      text += fmt::format(",{:.6g}", values[c]);
    text += "\n";
  }
  write_file_durably(path, text);
}

fs::path evaluation_folder(const std::string& out, const ModelSource& source,
                           const std::string& command) {
  if (!out.empty()) return out;
  if (source.run) return *source.run / command;
  std::string name = command;
  std::replace(name.begin(), name.end(), '_', '-');
  return "runs/" + name + "-" + time_stamp();
}

void write_names(const fs::path& path, const std::vector<std::string>& names) {
  if (names.empty()) return;
  std::string text;
  for (const auto& name : names) text += name + "\n";
  write_file_durably(path, text);
}

void write_result(const fs::path& folder, const Json& result) {
  write_file_durably(folder / "result.json", dump_text(result, 2) + "\n");
}

void clear_evaluation(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> old;
  for (const char* name : {"result.json", "predictions.csv", "head.safetensors", "holdout.txt",
                           "neighbors.png", "neighbors.txt", "map.json", "map_thumbnails.jpg"})
    old.push_back(folder / name);
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool draw =
        name.starts_with("seed_") || name.starts_with("labels_") || name.starts_with("fold_");
    const bool ours = draw && fs::exists(entry.path() / "result.json", ignored);
    if (ours || is_event_file(entry.path())) old.push_back(entry.path());
  }
  for (const fs::path& path : old) fs::remove_all(path, ignored);
}

}  // namespace clr
