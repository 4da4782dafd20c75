// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "clr/eval/statistics.h"
#include "clr/io/heat_map.h"
#include "clr/train/run_records.h"

namespace clr {

/// A configuration value in which runs differ.
struct ReportKey {
  std::string pointer;  ///< "/method/temperature"
  std::string head;     ///< "temperature", or as much of the pointer as makes it unambiguous
};

/// One metric over the runs of a group that have it.
struct MetricSummary {
  std::vector<double> values;  ///< in the order of the group's runs
  Summary summary;             ///< its interval is the evaluation's own for a single run, and
                               ///< within 0 to 1 for accuracies
};

/// Finished runs that differ in the seed only.
struct ReportGroup {
  std::vector<std::size_t> runs;  ///< in RunReport::runs, by seed
  std::vector<Json> values;       ///< a key each; null where the runs have no such key
  std::map<std::string, MetricSummary> metrics;
};

/// Several runs side by side.
struct RunReport {
  std::vector<RunRecord> runs;
  std::vector<ReportKey> keys;
  std::vector<std::string> metrics;  ///< that any group has, in the order of a table's columns
  std::vector<ReportGroup> groups;   ///< by their values
  bool keys_tell_apart = true;       ///< false: groups have equal values, or are of both kinds
  std::string judged_by;             ///< the metric that chose the best group
  std::optional<std::size_t> best;   ///< in groups
  std::vector<std::string> warnings;
};

/// Groups finished runs, finds the keys in which groups differ, and the best group: by linear
/// top-1, or else by the first accuracy there is.
///
/// Keys: a value of any depth in which two runs that have it differ. Lists of operations of the
/// same types are looked into, others are one value. When runs have labels that differ, values
/// that the labels determine are left out.
RunReport make_report(std::vector<RunRecord> runs);

/// The key that a user names: its head, its pointer, or its dotted path as `--set` has it.
/// Throws:  Error{usage} naming `option`, with the nearest key.
std::size_t find_key(const RunReport& report, const std::string& name, const std::string& option);

/// The metric that a user names: with or without `_top1`.
/// Throws:  Error{usage} naming `option`, with the nearest metric.
std::string find_metric(const RunReport& report, const std::string& name,
                        const std::string& option);

/// A metric's name for people: "linear top-1", "loss".
std::string metric_title(const std::string& metric);

/// Whether a metric is an accuracy, shown in per cent.
bool is_accuracy(const std::string& metric);

/// A configuration value for people: text without quotes, the rest as JSON, long ones cut off.
std::string value_text(const Json& value);

/// A metric by two keys: each cell the mean over all runs that have both values.
HeatMap make_heat_map(const RunReport& report, std::size_t row_key, std::size_t column_key,
                      const std::string& metric);

}  // namespace clr
