// SPDX-License-Identifier: Apache-2.0
#include "label_draws.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "clr/core/log.h"
#include "clr/eval/statistics.h"
#include "clr/train/run_folder.h"
#include "command.h"
#include "evaluation_result.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

/// Draws that are summed up together.
struct Group {
  LabelChoice labels;
  std::int64_t draws = 0;  ///< 0: one, in the folder itself
  bool known = false;      ///< the evaluation's own draw is this point's
};

Group own_group(const LabelDraws& draws) { return {draws.labels, draws.seeds, false}; }

std::vector<Group> curve_groups(const LabelDraws& draws) {
  const bool whole = draws.seeds == 0 && draws.labels.str() == "all";
  std::vector<Group> groups;
  for (const LabelChoice& point : draws.curve) {
    const bool all = point.str() == "all";
    groups.push_back({point, all ? 1 : draws.seeds > 0 ? draws.seeds : 3, all && whole});
  }
  return groups;
}

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
  if (draws[0].contains("tfidf")) mean["tfidf"] = {{"top1", 0.0}};
  for (const Json& draw : draws) {
    if (mean.contains("tfidf")) add(mean["tfidf"]["top1"], draw["tfidf"]["top1"]);
    for (const char* key : {"top1", "top5"}) add(mean[key], draw[key]);
    if (!mean.contains("knn")) continue;
    for (std::size_t i = 0; i < mean["knn"].size(); ++i)
      add(mean["knn"][i]["top1"], draw["knn"][i]["top1"]);
  }
  return mean;
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
  if (draws[0].contains("tfidf")) {
    std::vector<double> values;
    for (const Json& draw : draws) values.push_back(draw["tfidf"]["top1"].get<double>());
    add(kWordsTitle, accuracy_summary(values));
  }
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

Json run_group(const fs::path& out, const Group& group, std::uint64_t first_seed,
               const LabelDraw& draw) {
  if (group.draws == 0) return draw(out, first_seed, group.labels);
  std::vector<double> values;
  Json draws = Json::array();
  for (std::int64_t k = 0; k < group.draws; ++k) {
    const fs::path folder = out / fmt::format("seed_{}", k);
    make_output_folder(folder);
    Json found = draw(folder, first_seed + static_cast<std::uint64_t>(k), group.labels);
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

/// `own`: what was found with the evaluation's own labels.
Json run_curve(const fs::path& out, const LabelDraws& wanted, const Json& own,
               const LabelDraw& draw) {
  Json curve = Json::array();
  std::vector<std::vector<std::string>> rows = {
      {"labels", "images", "draws", "mean top-1 [95 % interval]", "deviation"}};
  const bool words = own.contains("tfidf");  // Of texts: what counting words gives.
  if (words) rows.front().push_back("TF-IDF");
  for (const Group& group : curve_groups(wanted)) {
    const fs::path folder = out / curve_folder(group.labels);
    make_output_folder(folder);
    Json found;
    if (group.known) {
      found = own;
      found["draws"] = Json::array({without_details(own)});
    } else {
      found = run_group(folder, group, wanted.first_seed, draw);
    }
    write_result(folder, found);
    const std::string labels = group.labels.str();
    const auto bounds = found["ci95"].get<std::array<double, 2>>();
    const double deviation = found.value("deviation", 0.0);
    curve.push_back({{"labels", labels},
                     {"train_images", found["draws"][0]["train_images"]},
                     {"draws", group.draws},
                     {"top1", found["top1"]},
                     {"deviation", deviation},
                     {"ci95", bounds}});
    rows.push_back({labels, format_count(found["draws"][0]["train_images"].get<std::int64_t>()),
                    std::to_string(group.draws),
                    percent_interval(found["top1"].get<double>(), bounds[0], bounds[1]),
                    group.draws > 1 ? fmt::format("{:.1f}", 100 * deviation) : "-"});
    if (!words) continue;
    rows.back().push_back(percent(found["tfidf"]["top1"].get<double>()));
    curve.back()["tfidf"] = found["tfidf"]["top1"];
  }
  print_table(rows);
  return curve;
}

}  // namespace

Json described_draws(const EvaluationDataOptions& data, std::int64_t seeds) {
  Json curve = Json::array();
  for (const LabelChoice& labels : data.curve) curve.push_back(labels.str());
  return {{"labels", data.labels.str()}, {"--label-curve", curve.dump()}, {"--seeds", seeds}};
}

Json run_label_draws(const fs::path& out, const LabelDraws& draws, const LabelDraw& draw) {
  Json result = run_group(out, own_group(draws), draws.first_seed, draw);
  if (draws.curve.empty()) return result;
  Json curve = run_curve(out, draws, result, draw);
  result["few_labels"] = std::move(curve);
  return result;
}

void for_each_draw(const LabelDraws& draws,
                   const std::function<void(std::uint64_t seed, const LabelChoice& choice)>& help) {
  std::vector<Group> groups = curve_groups(draws);
  groups.insert(groups.begin(), own_group(draws));
  for (const Group& group : groups) {
    if (group.known) continue;
    for (std::int64_t k = 0; k < std::max<std::int64_t>(1, group.draws); ++k)
      help(draws.first_seed + static_cast<std::uint64_t>(k), group.labels);
  }
}

}  // namespace clr
