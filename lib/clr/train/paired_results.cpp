// SPDX-License-Identifier: Apache-2.0
#include "clr/train/paired_results.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "clr/core/error.h"
#include "clr/core/log.h"
#include "clr/io/csv.h"
#include "clr/io/file.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

std::optional<fs::path> predictions_of(const fs::path& folder) {
  for (const char* evaluation : {"linear_eval", "finetune", ""}) {
    const fs::path path = folder / evaluation / "predictions.csv";
    std::error_code ignored;
    if (fs::exists(path, ignored)) return path;
  }
  return std::nullopt;
}

struct Answer {
  std::string label;
  bool correct = false;
};

/// By the images' names.
std::map<std::string, Answer> read_answers(const fs::path& path) {
  const std::string text = read_file(path, ErrorKind::data);
  CsvReader reader(text, ',', path.string());
  const auto heading = reader.next();
  if (!heading || heading->size() < 3 || (*heading)[0] != "name" || (*heading)[1] != "label" ||
      (*heading)[2] != "prediction") {
    throw Error(ErrorKind::data,
                path.string() + ": expected columns name, label, prediction, got others");
  }
  std::map<std::string, Answer> answers;
  while (const auto record = reader.next()) {
    if (record->size() != heading->size()) {
      throw Error(ErrorKind::data, fmt::format("{}:{}: expected {} fields, got {}", path.string(),
                                               reader.line(), heading->size(), record->size()));
    }
    const Answer answer{(*record)[1], (*record)[1] == (*record)[2]};
    if (!answers.emplace((*record)[0], answer).second) {
      throw Error(ErrorKind::data, fmt::format("{}:{}: expected each image once, got {} again",
                                               path.string(), reader.line(), (*record)[0]));
    }
  }
  return answers;
}

/// Why answers are not of the same images; empty: they are.
std::string mismatch(const std::map<std::string, Answer>& first,
                     const std::map<std::string, Answer>& second) {
  if (first.size() != second.size()) {
    return fmt::format("they were judged on {} and {} images",
                       format_count(static_cast<std::int64_t>(first.size())),
                       format_count(static_cast<std::int64_t>(second.size())));
  }
  for (const auto& [name, answer] : first) {
    const auto other = second.find(name);
    if (other == second.end()) return fmt::format("{} was judged by the first alone", name);
    if (other->second.label != answer.label) return fmt::format("{} has two labels", name);
  }
  return first.empty() ? "there are no images" : "";
}

PairedCounts count(const std::map<std::string, Answer>& first,
                   const std::map<std::string, Answer>& second) {
  PairedCounts counts;
  for (const auto& [name, answer] : first) {
    const bool other = second.at(name).correct;
    ++(answer.correct ? (other ? counts.both : counts.first_only)
                      : (other ? counts.second_only : counts.neither));
  }
  return counts;
}

}  // namespace

std::string PairedResults::str(const std::string& first_name,
                               const std::string& second_name) const {
  const auto images = format_count(counts.total());
  if (comparison.difference == 0.0) {
    return fmt::format("{} and {} are equally right on {} images", first_name, second_name, images);
  }
  const bool first_better = comparison.difference > 0;
  const auto& [low, high] = comparison.ci95;
  const std::string by =
      fmt::format("{:.1f} points [{:.1f}, {:.1f}] on {} images, p = {:.2g} (McNemar's test)",
                  100 * std::abs(comparison.difference), 100 * (first_better ? low : -high),
                  100 * (first_better ? high : -low), images, comparison.p_value);
  const std::string& better = first_better ? first_name : second_name;
  const std::string& other = first_better ? second_name : first_name;
  if (comparison.p_value < 0.05)
    return fmt::format("{} is better than {} by {}", better, other, by);
  return fmt::format(
      "{} and {} cannot be told apart: {} is ahead by {}; to see so small a difference would take "
      "about {} test images",
      first_name, second_name, better, by, format_count(comparison.images_needed));
}

PairedResults compare_predictions(const fs::path& first, const fs::path& second) {
  PairedResults result;
  for (auto [folder, place] : {std::pair{&first, &result.first}, {&second, &result.second}}) {
    const auto path = predictions_of(*folder);
    if (!path) {
      result.problem = folder->string() + ": no predictions.csv, nor in linear_eval or finetune";
      return result;
    }
    *place = *path;
  }
  const auto answers = read_answers(result.first);
  const auto others = read_answers(result.second);
  result.problem = mismatch(answers, others);
  if (!result.problem.empty()) return result;
  result.counts = count(answers, others);
  result.comparison = compare_paired(result.counts);
  return result;
}

}  // namespace clr
