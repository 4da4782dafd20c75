// SPDX-License-Identifier: Apache-2.0
#include "evaluation_data.h"

#include <fmt/format.h>

#include <cmath>
#include <exception>
#include <filesystem>
#include <set>
#include <sstream>
#include <unordered_map>

#include "clr/data/text_dataset.h"
#include "clr/eval/statistics.h"
#include "clr/io/file.h"

namespace clr {
namespace {

void require_labels(const Dataset& dataset, const std::string& path) {
  if (!dataset.labelled()) {
    throw Error(
        ErrorKind::data,
        fmt::format("{}: expected labelled {} (a folder a class, or a list with labels), got none",
                    path, items_of(dataset)));
  }
}

std::vector<std::int64_t> labels_of(const Dataset& dataset) {
  std::vector<std::int64_t> labels(static_cast<std::size_t>(dataset.size()));
  for (std::size_t i = 0; i < labels.size(); ++i)
    labels[i] = dataset.label(static_cast<std::int64_t>(i));
  return labels;
}

std::vector<std::int64_t> rows_of_list(const std::string& path, const EvaluationData& data) {
  // SimCLR's lists name files alone; ours may carry the folder too.
  constexpr std::int64_t kAmbiguous = -1;
  std::unordered_map<std::string, std::int64_t> rows;
  for (std::int64_t i = 0; i < data.train->size(); ++i) {
    const std::filesystem::path name = data.train->name(i);
    if (name.has_parent_path()) rows.emplace(name.string(), i);
    const auto [place, fresh] = rows.emplace(name.filename().string(), i);
    if (!fresh && place->second != i) place->second = kAmbiguous;
  }
  std::istringstream lines(read_file(path, ErrorKind::data));
  std::set<std::int64_t> chosen;
  std::int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (line.empty()) continue;
    const auto found = rows.find(line);
    if (found == rows.end()) {
      throw Error(ErrorKind::data,
                  fmt::format("{}:{}: no training image is named {}", path, number, line));
    }
    if (found->second == kAmbiguous) {
      throw Error(
          ErrorKind::data,
          fmt::format("{}:{}: several training images are named {}; give it with its folder", path,
                      number, line));
    }
    chosen.insert(found->second);
  }
  if (chosen.empty()) throw Error(ErrorKind::data, path + ": expected a name a line, got none");
  return {chosen.begin(), chosen.end()};
}

/// "10%" of each class, or "10" of each class.
LabelChoice curve_point(const std::string& text) {
  LabelChoice choice;
  std::size_t used = 0;
  try {
    const double number = std::stod(text, &used);
    if (used + 1 == text.size() && text.back() == '%' && number > 0 && number <= 100) {
      choice.fraction = number / 100;
      return choice;
    }
    if (used == text.size() && number >= 1 && number <= 1e9 && number == std::floor(number)) {
      choice.per_class = static_cast<std::int64_t>(number);
      return choice;
    }
  } catch (const std::exception&) {
    // Says the same as a number out of range.
  }
  throw Error(ErrorKind::usage,
              fmt::format("--label-curve: expected shares like 10% or labels a class like 5, got "
                          "\"{}\"",
                          text));
}

}  // namespace

std::string LabelChoice::str() const {
  if (!list.empty()) return list;
  if (per_class > 0) return fmt::format("{} a class", per_class);
  return fraction > 0 && fraction < 1 ? fmt::format("{:g} %", 100 * fraction) : "all";
}

void EvaluationDataOptions::add_to(CLI::App& command, bool several) {
  const char* more =
      several ? " (again with --train: another data set, for a table of transfer)" : "";
  command.add_option("--train", train, std::string("labelled training images") + more)
      ->required()
      ->allow_extra_args(false)
      ->expected(1, several ? 1 << 10 : 1);
  auto* split = command.add_option_group("judged on");
  split->add_option("--test", test, "labelled test images, of each --train in its order")
      ->allow_extra_args(false)
      ->expected(1, several ? 1 << 10 : 1);
  split
      ->add_option("--holdout", holdout,
                   "share of --train held out as the test set (stratified, by --seed)")
      ->check(CLI::Range(0.001, 0.9));
  if (several) {
    split
        ->add_option("--folds", folds,
                     "cut --train into this many parts (stratified, by --seed) and judge each with "
                     "the others' labels")
        ->check(CLI::Range(2, 1000));
  }
  split->require_option(1);
  auto* few = command.add_option_group("labels used");
  few->add_option("--fraction", labels.fraction, "share of each class's labels")
      ->check(CLI::Range(1e-6, 1.0));
  few->add_option("--per-class", labels.per_class, "labels of each class")
      ->check(CLI::Range(1, 1 << 30));
  few->add_option("--label-list", labels.list,
                  "file with the names of the images whose labels are used");
  few->require_option(0, 1);
  command
      .add_option_function<std::vector<std::string>>(
          "--label-curve",
          [this](const std::vector<std::string>& points) {
            for (const std::string& point : points) curve.push_back(curve_point(point));
          },
          "also judge with few labels: \"1%,10%,100%\" or labels a class, \"1,5,20\"; each with "
          "--seeds draws (default 3)")
      ->delimiter(',')
      ->allow_extra_args(false);
}

EvaluationData open_evaluation_data(const EvaluationDataOptions& options, std::size_t set,
                                    const DataConfig& config, std::uint64_t seed) {
  if (!options.test.empty() && options.test.size() != options.train.size()) {
    throw Error(ErrorKind::usage, fmt::format("--test: expected one for each of {} --train, got {}",
                                              options.train.size(), options.test.size()));
  }
  const std::string& train_path = options.train[set];
  EvaluationData data;
  data.train = open_dataset(train_path, config);
  require_labels(*data.train, train_path);
  data.classes = data.train->classes();
  if (data.classes.size() < 2) {
    throw Error(ErrorKind::data, fmt::format("{}: expected at least two classes, got one ({})",
                                             train_path, data.classes.front()));
  }
  if (options.folds > 0) {
    data.test = data.train;
    data.test_labels = labels_of(*data.test);
  } else if (options.test.empty()) {
    const std::shared_ptr<const Dataset> all = data.train;
    const Split split = stratified_split(labels_of(*all), options.holdout, seed);
    if (split.second.empty()) {
      throw Error(ErrorKind::data,
                  train_path + ": expected classes of at least two images for --holdout");
    }
    for (const std::int64_t index : split.second) data.held_out_names.push_back(all->name(index));
    data.train = make_subset(all, split.first);
    data.test = make_subset(all, split.second);
    data.test_labels = labels_of(*data.test);
  } else {
    data.test = open_dataset(options.test[set], config);
    require_labels(*data.test, options.test[set]);
    const std::vector<std::int64_t> numbers = match_classes(*data.train, *data.test);
    data.test_labels = labels_of(*data.test);
    for (auto& label : data.test_labels) label = numbers[static_cast<std::size_t>(label)];
  }
  data.train_labels = labels_of(*data.train);
  return data;
}

std::vector<std::int64_t> labelled_rows(const LabelChoice& choice, const EvaluationData& data,
                                        std::uint64_t seed) {
  if (!choice.list.empty()) return rows_of_list(choice.list, data);
  if (choice.per_class > 0) return per_class_subset(data.train_labels, choice.per_class, seed);
  if (choice.fraction > 0) return fraction_subset(data.train_labels, choice.fraction, seed);
  std::vector<std::int64_t> all(data.train_labels.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
  return all;
}

}  // namespace clr
