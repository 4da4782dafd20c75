// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>

#include "clr/config/load.h"
#include "clr/core/log.h"
#include "clr/core/progress.h"
#include "clr/data/scan.h"
#include "clr/data/text_dataset.h"
#include "clr/train/eval_config.h"
#include "clr/train/run_config.h"
#include "data.h"
#include "text_check.h"

namespace clr {
namespace {

constexpr std::size_t kMostListed = 20;

struct CheckOptions {
  std::string first;
  std::string second;
  std::string config;
  std::vector<std::string> sets;
  int threads = 0;
  bool json = false;
};

/// A data set that has been looked at.
struct Scanned {
  std::string path;
  std::shared_ptr<const Dataset> dataset;
  DataScan scan;
  std::vector<std::int64_t> class_counts;  ///< by class number

  std::string name(std::int64_t index) const { return dataset->name(index); }
};

struct CheckConfig {
  DataConfig data;
  std::optional<TextConfig> text;
};

CheckConfig read_check_config(const CheckOptions& options) {
  ConfigDocument document;
  if (!options.config.empty()) document = load_config(options.config, "pretrain");
  for (const std::string& set : options.sets) document.set(set);
  if (!options.config.empty() && is_run_config(document)) {
    const RunConfig config = read_run_config(document);
    return {config.data, config.text};
  }
  // Not read_eval_config(): one view or several, what is looked at is the text.
  EvalConfig config;
  read_fields(document.value, document.place(), config);
  return {config.data, config.text};
}

Scanned scan(const std::string& path, std::shared_ptr<const Dataset> opened,
             const DataConfig& config, int threads) {
  Scanned scanned{path, std::move(opened), {}, {}};
  require_images(*scanned.dataset, path,
                 "clr data check of two sets, of which the other is of images");
  const Dataset& dataset = *scanned.dataset;
  Progress progress("reading " + path, dataset.size());
  scanned.scan =
      scan_dataset(dataset, config, threads, [&](std::int64_t done) { progress.update(done); });
  progress.finish();
  if (scanned.scan.readable() == 0) {
    const BadImage& bad = scanned.scan.unreadable.front();
    throw Error(ErrorKind::data, fmt::format("{}: none of its {} images can be read; {}: {}", path,
                                             dataset.size(), bad.name, bad.reason));
  }
  scanned.class_counts.resize(dataset.classes().size());
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    if (const std::int64_t label = dataset.label(i); label >= 0) {
      ++scanned.class_counts[static_cast<std::size_t>(label)];
    }
  }
  return scanned;
}

// ------------------------------------------------------------------------------------ suggestion

/// A configuration that would fit, as arguments of `clr pretrain`.
struct Suggestion {
  std::string preset;
  std::vector<std::string> sets;
};

std::string command_line(const Suggestion& suggestion, const std::string& data) {
  std::string line = "clr pretrain --config " + suggestion.preset + " --data " + shell_quoted(data);
  for (const std::string& set : suggestion.sets) line += " --set " + shell_quoted(set);
  return line;
}

/// Three digits: what differs behind them is noise of the sample.
Json rounded(const std::array<double, 3>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(std::round(value * 1000) / 1000);
  return list;
}

/// Side of the views for images whose shorter side is `side`.
std::int64_t suggested_view(std::int64_t side) {
  if (side <= 64) return std::clamp<std::int64_t>(side / 8 * 8, 16, 64);
  // A crop is on average smaller than the image; more pixels than it has are made up.
  return std::clamp<std::int64_t>(side * 4 / 5 / 32 * 32, 64, 128);
}

/// The largest of preset / 1, 2, 4, ... that gives an epoch four steps, and at least 8.
std::int64_t suggested_batch(std::int64_t preset, std::int64_t images) {
  while (preset > 8 && preset > images / 4) preset /= 2;
  return std::min(preset, images);
}

/// Nothing when the presets are not there, or there is one image only.
std::optional<Suggestion> suggest(const Scanned& data, const CheckOptions& options) {
  const DataScan& scan = data.scan;
  Suggestion suggestion;
  suggestion.preset = scan.shorter.median <= 64 ? "simclr_cifar10_tiny" : "simclr_photos";
  const auto presets = list_presets();
  const bool there = std::any_of(presets.begin(), presets.end(), [&](const Preset& preset) {
    return preset.name == suggestion.preset;
  });
  if (!there || scan.readable() < 2) return std::nullopt;

  const RunConfig config = read_run_config(load_config(suggestion.preset, "pretrain"));
  const auto set = [&](const std::string& key, const Json& value) {
    suggestion.sets.push_back(key + "=" + dump_text(value));
  };
  const std::int64_t view = suggested_view(scan.shorter.median);
  const auto& chain = config.augment.views.front().chain;
  bool normalizes = false;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const std::string place = fmt::format("augment.views.0.chain.{}.", i);
    if (chain[i].type == "random_resized_crop" && chain[i].options.at("size") != view) {
      set(place + "size", view);
    } else if (chain[i].type == "gaussian_blur") {
      // SimCLR's kernel is a tenth of the side.
      const std::int64_t kernel = view / 10 / 2 * 2 + 1;
      if (chain[i].options.at("kernel") != kernel) set(place + "kernel", kernel);
    } else if (chain[i].type == "normalize") {
      normalizes = true;
      set(place + "mean", rounded(scan.mean));
      set(place + "std", rounded(scan.deviation));
    }
  }
  if (!normalizes) {
    set(fmt::format("augment.views.0.chain.{}", chain.size()),
        Json{
            {"type", "normalize"}, {"mean", rounded(scan.mean)}, {"std", rounded(scan.deviation)}});
  }
  const std::int64_t batch = suggested_batch(config.train.batch_size, scan.readable());
  if (batch != config.train.batch_size) set("train.batch_size", batch);
  if (!scan.unreadable.empty()) {
    set("data.on_error", "skip");
    const double share =
        static_cast<double>(scan.unreadable.size()) / static_cast<double>(scan.images);
    if (share > config.data.max_bad) set("data.max_bad", std::ceil(share * 100) / 100);
  }
  for (const std::string& given : options.sets) {
    if (given.starts_with("data.")) suggestion.sets.push_back(given);
  }
  return suggestion;
}

// ---------------------------------------------------------------------------------------- report

/// Which classes of `second` are not in `first`.
std::vector<std::string> missing_classes(const Scanned& first, const Scanned& second) {
  std::vector<std::string> missing;
  const auto& known = first.dataset->classes();
  for (const std::string& name : second.dataset->classes()) {
    if (std::find(known.begin(), known.end(), name) == known.end()) missing.push_back(name);
  }
  return missing;
}

/// The names of a group's images; the second set's with their path, to be told apart.
std::vector<std::string> names_of(const DuplicateGroup& group, const Scanned& first,
                                  const Scanned* second) {
  std::vector<std::string> names;
  for (const std::int64_t index : group.first) {
    names.push_back(second == nullptr ? first.name(index) : first.dataset->location(index));
  }
  for (const std::int64_t index : group.second) names.push_back(second->dataset->location(index));
  return names;
}

/// How many images are copies of an earlier one of their set, and how many of the second set are
/// in the first.
struct DuplicateCounts {
  std::int64_t in_first = 0;
  std::int64_t in_second = 0;
  std::int64_t across = 0;
  std::int64_t other_label = 0;  ///< groups whose images are of several classes
};

DuplicateCounts count_duplicates(const std::vector<DuplicateGroup>& groups, const Scanned& first,
                                 const Scanned* second) {
  DuplicateCounts counts;
  for (const DuplicateGroup& group : groups) {
    const auto size = [](const auto& list) { return static_cast<std::int64_t>(list.size()); };
    counts.in_first += std::max<std::int64_t>(0, size(group.first) - 1);
    counts.in_second += std::max<std::int64_t>(0, size(group.second) - 1);
    if (!group.first.empty()) counts.across += size(group.second);
    std::vector<std::string> classes;
    const auto collect = [&](const Scanned& set, const std::vector<std::int64_t>& indices) {
      for (const std::int64_t index : indices) {
        const std::int64_t label = set.dataset->label(index);
        if (label >= 0) classes.push_back(set.dataset->classes()[static_cast<std::size_t>(label)]);
      }
    };
    collect(first, group.first);
    if (second != nullptr) collect(*second, group.second);
    std::sort(classes.begin(), classes.end());
    if (!classes.empty() && classes.front() != classes.back()) ++counts.other_label;
  }
  return counts;
}

Json range_json(const SizeRange& range) {
  return {{"min", range.least}, {"median", range.median}, {"max", range.most}};
}

Json set_json(const Scanned& data) {
  const DataScan& scan = data.scan;
  Json unreadable = Json::array();
  for (const BadImage& bad : scan.unreadable) {
    unreadable.push_back({{"name", bad.name}, {"reason", bad.reason}});
  }
  Json classes = Json::array();
  for (std::size_t i = 0; i < data.class_counts.size(); ++i) {
    classes.push_back({{"name", data.dataset->classes()[i]}, {"images", data.class_counts[i]}});
  }
  return {{"path", data.path},
          {"images", scan.images},
          {"readable", scan.readable()},
          {"unreadable", std::move(unreadable)},
          {"formats", scan.formats},
          {"width", range_json(scan.width)},
          {"height", range_json(scan.height)},
          {"classes", std::move(classes)},
          {"mean", scan.mean},
          {"std", scan.deviation}};
}

void print_list(const std::vector<std::string>& lines) {
  for (std::size_t i = 0; i < std::min(lines.size(), kMostListed); ++i) log_info("  {}", lines[i]);
  if (lines.size() > kMostListed) {
    log_info("  and {} more; all with --json",
             format_count(static_cast<long long>(lines.size() - kMostListed)));
  }
}

void print_set(const Scanned& data) {
  const DataScan& scan = data.scan;
  std::string formats;
  for (const auto& [name, count] : scan.formats) {
    formats += fmt::format("{}{} {}", formats.empty() ? "" : ", ", format_count(count), name);
  }
  log_info("{}", data.path);
  print_facts({{"images", format_count(scan.images)},
               {"unreadable", format_count(static_cast<long long>(scan.unreadable.size()))},
               {"formats", formats},
               {"classes", data.class_counts.empty() ? "none: unlabelled"
                                                     : std::to_string(data.class_counts.size())}});
  const auto row = [](const char* name, const SizeRange& range) {
    return std::vector<std::string>{name, std::to_string(range.least), std::to_string(range.median),
                                    std::to_string(range.most)};
  };
  print_table({{"pixels", "least", "median", "most"},
               row("width", scan.width),
               row("height", scan.height)});
  std::vector<std::vector<std::string>> channels = {{"of values in [0, 1]", "mean", "deviation"}};
  for (std::size_t c = 0; c < 3; ++c) {
    channels.push_back({std::array{"red", "green", "blue"}[c], fmt::format("{:.3f}", scan.mean[c]),
                        fmt::format("{:.3f}", scan.deviation[c])});
  }
  print_table(channels);
  if (scan.unreadable.empty()) return;
  std::vector<std::string> lines;
  for (const BadImage& bad : scan.unreadable) lines.push_back(bad.name + ": " + bad.reason);
  log_warning("{}: {} of {} images cannot be read", data.path,
              format_count(static_cast<long long>(lines.size())), format_count(scan.images));
  print_list(lines);
}

/// A column for each set; the largest classes of the first set come first.
void print_classes(const Scanned& first, const Scanned* second) {
  const auto& classes = first.dataset->classes();
  if (classes.empty()) return;
  std::vector<std::size_t> order(classes.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return first.class_counts[a] > first.class_counts[b];
  });
  std::vector<std::vector<std::string>> rows = {{"class", "images", "share"}};
  if (second != nullptr) rows.front().push_back("in " + second->path);
  for (std::size_t i = 0; i < std::min(order.size(), kMostListed); ++i) {
    const std::size_t label = order[i];
    const std::int64_t count = first.class_counts[label];
    rows.push_back({classes[label], format_count(count),
                    percent(static_cast<double>(count) / static_cast<double>(first.scan.images))});
    if (second == nullptr) continue;
    const auto& others = second->dataset->classes();
    const auto found = std::find(others.begin(), others.end(), classes[label]);
    rows.back().push_back(
        found == others.end()
            ? "0"
            : format_count(second->class_counts[static_cast<std::size_t>(found - others.begin())]));
  }
  print_table(rows);
  if (order.size() > kMostListed) {
    log_info("  and {} smaller classes; all with --json", order.size() - kMostListed);
  }
  const auto [least, most] =
      std::minmax_element(first.class_counts.begin(), first.class_counts.end());
  if (*most > 2 * *least) {
    log_warning("{}: classes are not balanced: {} to {} images", first.path, format_count(*least),
                format_count(*most));
  }
}

void print_duplicates(const std::vector<DuplicateGroup>& groups, const DuplicateCounts& counts,
                      const Scanned& first, const Scanned* second) {
  if (groups.empty()) {
    log_info("no two images have the same pixels");
    return;
  }
  const auto warn = [](std::int64_t count, const std::string& what) {
    if (count > 0) log_warning("{} {}", format_count(count), what);
  };
  warn(counts.in_first, "images have the pixels of an earlier one in " + first.path);
  if (second != nullptr) {
    warn(counts.in_second, "images have the pixels of an earlier one in " + second->path);
    warn(counts.across, "images of " + second->path + " are in " + first.path + " too");
  }
  warn(counts.other_label, "groups of equal images are labelled with several classes");
  std::vector<std::string> lines;
  for (const DuplicateGroup& group : groups) {
    lines.push_back(fmt::format("{}", fmt::join(names_of(group, first, second), " = ")));
  }
  print_list(lines);
}

void run(const CheckOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const CheckConfig read = read_check_config(options);
  const DataConfig& config = read.data;
  const int threads = all_cores_unless(options.threads);
  std::shared_ptr<const Dataset> opened = open_dataset(options.first, config);
  std::shared_ptr<const Dataset> opened_second;
  if (!options.second.empty()) opened_second = open_dataset(options.second, config);
  if (auto texts = std::dynamic_pointer_cast<const TextDataset>(opened)) {
    auto others = std::dynamic_pointer_cast<const TextDataset>(opened_second);
    if (opened_second && !others) {
      throw Error(ErrorKind::data, fmt::format("{}: expected texts, as {} holds, got images",
                                               options.second, options.first));
    }
    Json json = check_texts(
        {options.first, std::move(texts)},
        others ? std::optional<CheckedTexts>({options.second, std::move(others)}) : std::nullopt,
        read.text, threads);
    json["seconds"] =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (options.json) print_json(json);
    return;
  }
  const Scanned first = scan(options.first, std::move(opened), config, threads);
  std::optional<Scanned> second;
  if (opened_second) second = scan(options.second, std::move(opened_second), config, threads);
  const Scanned* other = second ? &*second : nullptr;

  const auto groups = find_duplicates(first.scan, second ? &second->scan : nullptr);
  const DuplicateCounts counts = count_duplicates(groups, first, other);
  const auto missing = second ? missing_classes(first, *second) : std::vector<std::string>{};
  const auto suggestion = suggest(first, options);

  print_set(first);
  if (second) print_set(*second);
  print_classes(first, other);
  for (const std::string& name : missing) {
    log_warning("{}: {} has no class {}", second->path, first.path, name);
  }
  print_duplicates(groups, counts, first, other);
  if (suggestion) {
    log_info("to start from:");
    log_info("  {}", command_line(*suggestion, options.first));
  }
  if (!options.json) return;

  Json json = set_json(first);
  Json duplicates = Json::array();
  for (const DuplicateGroup& group : groups) {
    Json one = {{"first", Json::array()}, {"second", Json::array()}};
    for (const std::int64_t index : group.first) one["first"].push_back(first.name(index));
    for (const std::int64_t index : group.second) one["second"].push_back(second->name(index));
    duplicates.push_back(std::move(one));
  }
  json["duplicates"] = std::move(duplicates);
  json["duplicate_images"] = counts.in_first;
  json["duplicates_of_several_classes"] = counts.other_label;
  if (second) {
    json["second"] = set_json(*second);
    json["second"]["duplicate_images"] = counts.in_second;
    json["second_in_first"] = counts.across;
    json["classes_missing_in_first"] = missing;
  }
  if (suggestion) {
    json["suggestion"] = {{"preset", suggestion->preset},
                          {"set", suggestion->sets},
                          {"command", command_line(*suggestion, options.first)}};
  }
  json["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  print_json(json);
}

}  // namespace

void add_data_check_command(CLI::App& data, Action& action) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command = data.add_subcommand(
      "check", "read every image or text: what cannot be read, sizes, classes, duplicates");
  command->add_option("data", options->first, kDataHelp)->type_name("PATH")->required();
  command->add_option("second", options->second, "the test set: what do both hold?")
      ->type_name("PATH2");
  command->add_option("--config", options->config,
                      "configuration or preset whose data section is used");
  command->add_option("--set", options->sets, "key.path=value over the configuration, repeatable")
      ->allow_extra_args(false);
  command->add_option("--threads", options->threads, "threads that read (default: all cores)")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
