// SPDX-License-Identifier: Apache-2.0
#include "clr/train/run_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "clr/train/config_difference.h"

namespace clr {
namespace {

const std::string kLabels = "/labels/";

/// Values that the runs' labels determine say nothing more.
void drop_labelled(const std::vector<const Json*>& configs, std::vector<std::string>& pointers) {
  const auto is_label = [](const std::string& pointer) { return pointer.starts_with(kLabels); };
  if (std::none_of(pointers.begin(), pointers.end(), is_label)) return;
  const auto labels_of = [](const Json& config) {
    return config.contains("labels") ? config["labels"].dump() : std::string();
  };
  std::erase_if(pointers, [&](const std::string& pointer) {
    if (is_label(pointer)) return false;
    std::map<std::string, Json> known;
    return std::all_of(configs.begin(), configs.end(), [&](const Json* config) {
      const Json value = value_at(*config, pointer);
      return known.emplace(labels_of(*config), value).first->second == value;
    });
  });
  std::stable_partition(pointers.begin(), pointers.end(), is_label);
}

/// Where runs of one kind differ.
std::vector<std::string> differing_keys(const std::vector<RunRecord>& runs) {
  std::vector<std::string> pointers;
  // A training run and an evaluation share names of keys that mean other things.
  for (const bool training : {true, false}) {
    std::vector<const Json*> configs;
    for (const RunRecord& run : runs) {
      if (run.training == training && !run.config.empty()) configs.push_back(&run.config);
    }
    std::vector<std::string> found = differing_pointers(configs, AbsentKey::ignored);
    drop_labelled(configs, found);
    for (std::string& pointer : found) {
      if (std::find(pointers.begin(), pointers.end(), pointer) == pointers.end())
        pointers.push_back(std::move(pointer));
    }
  }
  return pointers;
}

std::vector<std::string> words_of(const std::string& pointer) {
  std::vector<std::string> words;
  std::size_t begin = 1;
  while (begin <= pointer.size()) {
    const std::size_t end = std::min(pointer.find('/', begin), pointer.size());
    words.push_back(pointer.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

/// As many of the last words as tell a key from the others; never a bare number.
std::vector<ReportKey> name_keys(const std::vector<std::string>& pointers) {
  const auto tail = [](const std::vector<std::string>& words, std::size_t count) {
    std::string text;
    for (std::size_t i = words.size() - std::min(count, words.size()); i < words.size(); ++i)
      text += (text.empty() ? "" : ".") + words[i];
    return text;
  };
  std::vector<ReportKey> keys;
  for (const std::string& pointer : pointers) {
    const auto words = words_of(pointer);
    std::size_t count = 1;
    const auto taken = [&](const std::string& text) {
      return std::any_of(pointers.begin(), pointers.end(), [&](const std::string& other) {
        return other != pointer && tail(words_of(other), count) == text;
      });
    };
    while (count < words.size() &&
           (taken(tail(words, count)) ||
            tail(words, count).find_first_not_of("0123456789.") == std::string::npos)) {
      ++count;
    }
    keys.push_back({pointer, tail(words, count)});
  }
  return keys;
}

int rank_of(const std::string& metric) {
  if (metric == "loss") return 0;
  if (metric == "training_knn_top1") return 1;
  if (metric.starts_with("knn")) return 2;
  if (metric.starts_with("linear")) return 3;
  if (metric.starts_with("transfer")) return 4;
  if (metric.starts_with("finetune")) return 5;
  return metric == "images_per_s" ? 7 : 6;
}

/// A shorter name first: linear before linear_projection.
bool in_column_order(const std::string& a, const std::string& b) {
  return std::make_tuple(rank_of(a), a.size(), a) < std::make_tuple(rank_of(b), b.size(), b);
}

MetricSummary summarize_metric(const std::vector<RunRecord>& runs,
                               const std::vector<std::size_t>& members, const std::string& metric) {
  MetricSummary result;
  const RunRecord* single = nullptr;
  for (const std::size_t member : members) {
    const auto found = runs[member].metrics.find(metric);
    if (found == runs[member].metrics.end()) continue;
    result.values.push_back(found->second);
    single = &runs[member];
  }
  result.summary = summarize(result.values);
  if (result.values.size() == 1) {
    // One run says nothing of the spread between runs: its own interval stands.
    const auto own = single->intervals.find(metric);
    if (own != single->intervals.end()) result.summary.ci95 = own->second;
  }
  if (is_accuracy(metric)) {
    // Student's t knows nothing of an accuracy's bounds.
    for (double& bound : result.summary.ci95) bound = std::clamp(bound, 0.0, 1.0);
  }
  return result;
}

std::vector<ReportGroup> group_runs(RunReport& report) {
  std::map<std::string, std::vector<std::size_t>> by_config;
  for (std::size_t i = 0; i < report.runs.size(); ++i) {
    const RunRecord& run = report.runs[i];
    if (run.finished) by_config[(run.training ? "t" : "e") + run.config.dump()].push_back(i);
  }
  std::vector<ReportGroup> groups;
  for (auto& [config, members] : by_config) {
    std::stable_sort(members.begin(), members.end(), [&](std::size_t a, std::size_t b) {
      return report.runs[a].seed < report.runs[b].seed;
    });
    ReportGroup group;
    group.runs = members;
    for (const ReportKey& key : report.keys)
      group.values.push_back(value_at(report.runs[members[0]].config, key.pointer));
    std::set<std::string> metrics;
    std::set<std::int64_t> seeds;
    for (const std::size_t member : members) {
      for (const auto& [metric, value] : report.runs[member].metrics) metrics.insert(metric);
      if (!seeds.insert(report.runs[member].seed).second) {
        report.warnings.push_back(
            fmt::format("{}: the same configuration and seed as another run; both are counted",
                        report.runs[member].folder.string()));
      }
    }
    for (const std::string& metric : metrics)
      group.metrics[metric] = summarize_metric(report.runs, members, metric);
    groups.push_back(std::move(group));
  }
  const auto first_folder = [&report](const ReportGroup& group) {
    return report.runs[group.runs[0]].folder;
  };
  std::sort(groups.begin(), groups.end(), [&](const ReportGroup& a, const ReportGroup& b) {
    if (a.values != b.values) return a.values < b.values;
    return first_folder(a) < first_folder(b);
  });
  return groups;
}

void choose_best(RunReport& report) {
  const std::string* metric = nullptr;
  for (const std::string& candidate : report.metrics) {
    // The kNN check during training is no test.
    if (!is_accuracy(candidate) || candidate == "training_knn_top1") continue;
    if (metric == nullptr || candidate == "linear_top1") metric = &candidate;
  }
  if (metric == nullptr) return;
  report.judged_by = *metric;
  double best = -1.0;
  for (std::size_t i = 0; i < report.groups.size(); ++i) {
    const auto found = report.groups[i].metrics.find(*metric);
    if (found == report.groups[i].metrics.end() || found->second.summary.mean <= best) continue;
    best = found->second.summary.mean;
    report.best = i;
  }
}

/// The values of one key, in order, each once.
std::vector<Json> values_of(const RunReport& report, std::size_t key) {
  std::vector<Json> values;
  for (const ReportGroup& group : report.groups) {
    if (!group.values[key].is_null()) values.push_back(group.values[key]);
  }
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

std::vector<std::string> texts_of(const std::vector<Json>& values) {
  std::vector<std::string> texts;
  for (const Json& value : values) texts.push_back(value_text(value));
  return texts;
}

}  // namespace

bool is_accuracy(const std::string& metric) { return metric.ends_with("_top1"); }

std::string metric_title(const std::string& metric) {
  if (metric == "images_per_s") return "images/s";
  std::string title = is_accuracy(metric) ? metric.substr(0, metric.size() - 5) : metric;
  std::replace(title.begin(), title.end(), '_', ' ');
  if (const auto knn = title.find("knn"); knn != std::string::npos) title.replace(knn, 3, "kNN");
  return is_accuracy(metric) ? title + " top-1" : title;
}

std::string value_text(const Json& value) {
  if (value.is_null()) return "-";
  std::string text = value.is_string() ? value.get<std::string>() : dump_text(value);
  constexpr std::size_t kMost = 40;
  if (text.size() <= kMost) return text;
  std::size_t end = kMost - 3;
  while (end > 0 && (text[end] & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

RunReport make_report(std::vector<RunRecord> runs) {
  // What only some runs state would set them apart from the others.
  const bool all_known = std::all_of(runs.begin(), runs.end(), [](const RunRecord& run) {
    return !run.training || !run.finished ||
           run.config.contains(Json::json_pointer("/data/fingerprint"));
  });
  RunReport report;
  report.runs = std::move(runs);
  for (RunRecord& run : report.runs) {
    const auto data = run.config.find("data");
    if (!all_known && data != run.config.end()) data->erase("fingerprint");
  }
  report.keys = name_keys(differing_keys(report.runs));
  report.groups = group_runs(report);
  for (const ReportGroup& group : report.groups) {
    for (const auto& [metric, summary] : group.metrics) {
      if (std::find(report.metrics.begin(), report.metrics.end(), metric) == report.metrics.end())
        report.metrics.push_back(metric);
    }
  }
  std::sort(report.metrics.begin(), report.metrics.end(), in_column_order);
  const auto is_training = [](const RunRecord& run) { return run.training; };
  const bool mixed = !std::all_of(report.runs.begin(), report.runs.end(), is_training) &&
                     std::any_of(report.runs.begin(), report.runs.end(), is_training);
  report.keys_tell_apart = !mixed;
  for (std::size_t i = 1; i < report.groups.size(); ++i) {
    if (report.groups[i].values == report.groups[i - 1].values) report.keys_tell_apart = false;
  }
  choose_best(report);
  return report;
}

std::size_t find_key(const RunReport& report, const std::string& name, const std::string& option) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < report.keys.size(); ++i) {
    const ReportKey& key = report.keys[i];
    if (name == key.head || name == key.pointer || name == dotted_key(key.pointer)) return i;
    names.push_back(key.head);
  }
  for (const ReportKey& key : report.keys) names.push_back(dotted_key(key.pointer));
  std::string known;
  for (const ReportKey& key : report.keys) known += (known.empty() ? "" : ", ") + key.head;
  throw Error(
      ErrorKind::usage,
      fmt::format("{}: expected a key in which the runs differ ({}), got {}{}", option,
                  known.empty() ? "there is none" : known, name, did_you_mean(name, names)));
}

std::string find_metric(const RunReport& report, const std::string& name,
                        const std::string& option) {
  std::vector<std::string> names;
  for (const std::string& metric : report.metrics) {
    if (name == metric || name + "_top1" == metric) return metric;
    names.push_back(is_accuracy(metric) ? metric.substr(0, metric.size() - 5) : metric);
  }
  std::string known;
  for (const std::string& each : names) known += (known.empty() ? "" : ", ") + each;
  throw Error(ErrorKind::usage, fmt::format("{}: expected one of {}, got {}{}", option, known, name,
                                            did_you_mean(name, names)));
}

HeatMap make_heat_map(const RunReport& report, std::size_t row_key, std::size_t column_key,
                      const std::string& metric) {
  const std::vector<Json> rows = values_of(report, row_key);
  const std::vector<Json> columns = values_of(report, column_key);
  HeatMap map;
  map.row_name = report.keys[row_key].head;
  map.column_name = report.keys[column_key].head;
  map.rows = texts_of(rows);
  map.columns = texts_of(columns);
  std::size_t least = 0;
  std::size_t most = 0;
  for (const Json& row : rows) {
    auto& line = map.values.emplace_back();
    for (const Json& column : columns) {
      std::vector<double> values;
      for (const ReportGroup& group : report.groups) {
        if (group.values[row_key] != row || group.values[column_key] != column) continue;
        const auto found = group.metrics.find(metric);
        if (found == group.metrics.end()) continue;
        values.insert(values.end(), found->second.values.begin(), found->second.values.end());
      }
      auto& cell = line.emplace_back();
      if (values.empty()) continue;
      least = least == 0 ? values.size() : std::min(least, values.size());
      most = std::max(most, values.size());
      cell = summarize(values).mean * (is_accuracy(metric) ? 100.0 : 1.0);
    }
  }
  map.decimals = is_accuracy(metric) ? 1 : metric == "images_per_s" ? 0 : 3;
  map.title = metric_title(metric) + (is_accuracy(metric) ? " in %" : "");
  if (least == most) {
    map.title += most == 1 ? ", one run a cell" : fmt::format(", mean of {} runs a cell", most);
  } else {
    map.title += fmt::format(", mean of {} to {} runs a cell", least, most);
  }
  return map;
}

}  // namespace clr
