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

/// What all draws have, averaged: accuracies and numbers of images.
Json mean_of(const Json& draws) {
  const auto count = static_cast<double>(draws.size());
  Json mean = {{"top1", 0.0}, {"top5", 0.0}, {"train_images", draws[0]["train_images"]}};
  const auto add = [count](Json& sum, const Json& value) {
    sum = sum.get<double>() + value.get<double>() / count;
  };
  if (draws[0].contains("knn")) {
    mean["knn"] = draws[0]["knn"];
    for (Json& entry : mean["knn"]) entry["top1"] = 0.0;
  }
  for (const Json& draw : draws) {
    for (const char* key : {"top1", "top5"}) add(mean[key], draw[key]);
    if (!mean.contains("knn")) continue;
    for (std::size_t i = 0; i < mean["knn"].size(); ++i)
      add(mean["knn"][i]["top1"], draw["knn"][i]["top1"]);
  }
  return mean;
}

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

/// What a list of draws needs of one: its own result.json has all of it.
Json without_details(Json draw) {
  for (const char* key : {"per_class", "most_confused", "class_names", "confusion", "heads"})
    draw.erase(key);
  return draw;
}

/// A folder's name for a point of the curve: labels_1pct, labels_5_a_class, labels_all.
std::string curve_folder(const LabelChoice& choice) {
  std::string name = "labels_" + choice.str();
  if (const auto share = name.find(" %"); share != std::string::npos) name.replace(share, 2, "pct");
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

/// The mean over draws, with Student's t, which knows nothing of an accuracy's bounds.
Summary accuracy_summary(const std::vector<double>& values) {
  Summary summary = summarize(values);
  for (double& bound : summary.ci95) bound = std::clamp(bound, 0.0, 1.0);
  return summary;
}

/// Cosine, each neighbour one vote.
bool is_plain(const Json& knn) {
  return knn["metric"] == "cosine" && knn["weighting"] == "majority";
}

void print_summary(const Json& draws, const Summary& top1) {
  std::vector<std::vector<std::string>> rows = {
      {"judged by", fmt::format("mean top-1 of {} [95 % interval]", draws.size()), "deviation"}};
  const auto add = [&rows](const std::string& name, const Summary& summary) {
    rows.push_back({name, percent_interval(summary.mean, summary.ci95[0], summary.ci95[1]),
                    fmt::format("{:.1f}", 100 * summary.deviation)});
  };
  add("classifier", top1);
  if (draws[0].contains("knn")) {
    for (std::size_t i = 0; i < draws[0]["knn"].size(); ++i) {
      // result.json has the whole grid.
      if (!is_plain(draws[0]["knn"][i])) continue;
      std::vector<double> values;
      for (const Json& draw : draws) values.push_back(draw["knn"][i]["top1"].get<double>());
      add(fmt::format("kNN, k {}", draws[0]["knn"][i]["k"].get<std::int64_t>()),
          accuracy_summary(values));
    }
  }
  print_table(rows);
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
                           "neighbors.png", "map.json", "map_thumbnails.jpg"})
    old.push_back(folder / name);
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool draw = name.starts_with("seed_") || name.starts_with("labels_");
    const bool ours = draw && fs::exists(entry.path() / "result.json", ignored);
    if (ours || is_event_file(entry.path())) old.push_back(entry.path());
  }
  for (const fs::path& path : old) fs::remove_all(path, ignored);
}

Json run_draws(const fs::path& out, std::int64_t seeds, std::uint64_t first_seed,
               const Draw& draw) {
  if (seeds == 0) return draw(out, first_seed);
  std::vector<double> values;
  Json draws = Json::array();
  for (std::int64_t k = 0; k < seeds; ++k) {
    const fs::path folder = out / fmt::format("seed_{}", k);
    make_output_folder(folder);
    Json found = draw(folder, first_seed + static_cast<std::uint64_t>(k));
    values.push_back(found["top1"].get<double>());
    write_result(folder, found);
    draws.push_back(without_details(std::move(found)));
  }
  Summary summary = accuracy_summary(values);
  // One draw says nothing of the spread between draws: its own interval stands.
  if (values.size() == 1) summary.ci95 = draws[0]["ci95"].get<std::array<double, 2>>();
  Json result = mean_of(draws);
  result["ci95"] = summary.ci95;
  if (values.size() > 1) {
    result["deviation"] = summary.deviation;
    print_summary(draws, summary);
  }
  result["draws"] = std::move(draws);
  return result;
}

Json run_label_curve(const fs::path& out, const std::vector<LabelChoice>& points,
                     std::int64_t seeds, std::uint64_t first_seed, const Json& whole,
                     const LabelDraw& draw) {
  Json curve = Json::array();
  std::vector<std::vector<std::string>> rows = {
      {"labels", "images", "draws", "mean top-1 [95 % interval]", "deviation"}};
  for (const LabelChoice& point : points) {
    const bool all = point.str() == "all";
    const std::int64_t draws = all ? 1 : seeds > 0 ? seeds : 3;
    const fs::path folder = out / curve_folder(point);
    make_output_folder(folder);
    Json found;
    if (all && !whole.is_null()) {
      found = whole;
      found["draws"] = Json::array({without_details(whole)});
    } else {
      found = run_draws(folder, draws, first_seed, [&](const fs::path& place, std::uint64_t seed) {
        return draw(place, seed, point);
      });
    }
    write_result(folder, found);
    const auto bounds = found["ci95"].get<std::array<double, 2>>();
    const double deviation = found.value("deviation", 0.0);
    curve.push_back({{"labels", point.str()},
                     {"train_images", found["draws"][0]["train_images"]},
                     {"draws", draws},
                     {"top1", found["top1"]},
                     {"deviation", deviation},
                     {"ci95", bounds}});
    rows.push_back(
        {point.str(), format_count(found["draws"][0]["train_images"].get<std::int64_t>()),
         std::to_string(draws), percent_interval(found["top1"].get<double>(), bounds[0], bounds[1]),
         draws > 1 ? fmt::format("{:.1f}", 100 * deviation) : "-"});
  }
  print_table(rows);
  return curve;
}

}  // namespace clr
