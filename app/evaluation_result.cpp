// SPDX-License-Identifier: Apache-2.0
#include "evaluation_result.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "clr/core/log.h"
#include "clr/eval/statistics.h"
#include "clr/io/file.h"
#include "clr/train/run_folder.h"
#include "command.h"
#include "csv.h"

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

/// The mean over draws, with Student's t, which knows nothing of an accuracy's bounds.
Summary accuracy_summary(const std::vector<double>& values) {
  Summary summary = summarize(values);
  for (double& bound : summary.ci95) bound = std::clamp(bound, 0.0, 1.0);
  return summary;
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
      std::vector<double> values;
      for (const Json& draw : draws) values.push_back(draw["knn"][i]["top1"].get<double>());
      const Json& knn = draws[0]["knn"][i];
      add(fmt::format("kNN, k {}, {}", knn["k"].get<std::int64_t>(),
                      knn["weighting"].get<std::string>()),
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

Json accuracies(const torch::Tensor& probabilities, const torch::Tensor& labels) {
  const double top1 = top_k_accuracy(probabilities, labels, 1);
  return {{"top1", top1},
          {"top5",
           top_k_accuracy(probabilities, labels, std::min<std::int64_t>(5, probabilities.size(1)))},
          {"ci95", accuracy_interval(top1, labels.size(0))}};
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
    draws.push_back(std::move(found));
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

}  // namespace clr
