// SPDX-License-Identifier: Apache-2.0
#include "clr/train/reference_band.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>

#include "clr/eval/statistics.h"
#include "clr/io/file.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

constexpr int kFormat = 1;

/// Fields of an epoch's row that are no result.
constexpr std::array kNoResult = {"step",       "epoch",      "time",         "images_per_s",
                                  "data_wait",  "read_us",    "decode_us",    "augment_us",
                                  "bad_images", "knn_images", "learning_rate"};

/// What may differ between runs that are to have the same results: machines differ in them, or
/// they say what is looked at.
constexpr std::array kNoMatter = {
    "/labels",
    "/data/fingerprint",
    "/data/cache",
    "/data/cache_memory",
    "/data/on_error",
    "/data/max_bad",
    "/data/max_pixels",
    "/train/seed",
    "/train/compute_threads",
    "/train/precision",
    "/train/memory_format",
    "/train/loss_backend",
    "/train/deterministic",
    "/train/log_every_steps",
    "/train/checkpoint_every_epochs",
    "/train/keep_checkpoints",
    "/train/knn_every_epochs",
    "/train/health_every_epochs",
    "/train/guard",
};

Json comparable_config(Json config) {
  for (const char* key : kNoMatter) {
    const Json::json_pointer place(key);
    if (config.contains(place)) config.at(place.parent_pointer()).erase(place.back());
  }
  return config;
}

std::string fingerprint(const Json& config) {
  return config.value(Json::json_pointer("/data/fingerprint"), std::string());
}

/// "/method/temperature" -> "method.temperature".
std::string dotted(std::string pointer) {
  std::replace(pointer.begin(), pointer.end(), '/', '.');
  return pointer.substr(1);
}

std::vector<ConfigDifference> differences(const Json& run, const Json& reference) {
  const Json ours = comparable_config(run).flatten();
  const Json theirs = comparable_config(reference).flatten();
  std::vector<ConfigDifference> found;
  for (const auto& [key, value] : ours.items()) {
    const Json other = theirs.contains(key) ? theirs[key] : Json();
    if (value != other) found.push_back({dotted(key), value, other});
  }
  for (const auto& [key, value] : theirs.items()) {
    if (!ours.contains(key)) found.push_back({dotted(key), Json(), value});
  }
  return found;
}

/// A row's number; NaN for what is not finite, nothing where it has no such field.
std::optional<double> number(const Json& row, const std::string& metric) {
  const auto found = row.find(metric);
  if (found == row.end()) return std::nullopt;
  if (found->is_number()) return found->get<double>();
  if (found->is_null()) return std::numeric_limits<double>::quiet_NaN();
  return std::nullopt;
}

std::int64_t epoch_of(const Json& row) {
  const auto found = row.find("epoch");
  return found != row.end() && found->is_number_integer() ? found->get<std::int64_t>() : -1;
}

/// The values of all runs after an epoch that all of them have.
struct Spread {
  std::int64_t epoch = 0;
  double mean = 0.0;
  double variance = 0.0;
};

std::vector<Spread> spreads_of(const std::vector<std::vector<Json>>& runs,
                               const std::string& metric) {
  std::map<std::int64_t, std::vector<double>> values;
  for (const std::vector<Json>& rows : runs) {
    for (const Json& row : rows) {
      if (const auto value = number(row, metric); value && std::isfinite(*value))
        values[epoch_of(row)].push_back(*value);
    }
  }
  std::vector<Spread> spreads;
  for (const auto& [epoch, several] : values) {
    if (several.size() != runs.size()) continue;
    const Summary summary = summarize(several);
    spreads.push_back({epoch, summary.mean, summary.deviation * summary.deviation});
  }
  return spreads;
}

std::vector<BandEpoch> limits_of(const std::vector<Spread>& spreads, std::size_t runs) {
  const auto k = static_cast<double>(runs);
  const double factor = student_t(static_cast<std::int64_t>(runs) - 1, ReferenceBand::kWithin) *
                        std::sqrt(1.0 + 1.0 / k);
  std::vector<BandEpoch> limits;
  for (std::size_t i = 0; i < spreads.size(); ++i) {
    const std::size_t first = i == 0 ? 0 : i - 1;
    const std::size_t last = std::min(i + 1, spreads.size() - 1);
    double variance = 0.0;
    for (std::size_t j = first; j <= last; ++j) variance += spreads[j].variance;
    const double half = factor * std::sqrt(variance / static_cast<double>(last - first + 1));
    // What the configuration alone decides, a momentum say, is no result.
    if (half <= 1e-5 * std::abs(spreads[i].mean)) continue;
    limits.push_back(
        {spreads[i].epoch, spreads[i].mean, spreads[i].mean - half, spreads[i].mean + half});
  }
  return limits;
}

/// How far from the middle of a band a value lies; 1 at its edge.
double distance(double value, const BandEpoch& limits) {
  if (!std::isfinite(value)) return std::numeric_limits<double>::infinity();
  if (value == limits.mean) return 0.0;
  return std::abs(value - limits.mean) / (limits.high - limits.mean);
}

BandMetric hold(const std::string& name, const std::vector<BandEpoch>& limits,
                const std::map<std::int64_t, Json>& rows) {
  BandMetric result;
  result.name = name;
  double furthest = -1.0;
  std::optional<std::int64_t> outside_before;
  for (const BandEpoch& epoch : limits) {
    const auto row = rows.find(epoch.epoch);
    const auto value = row == rows.end() ? std::nullopt : number(row->second, name);
    if (!value) continue;
    ++result.compared;
    const double far = distance(*value, epoch);
    if (far > furthest) {
      furthest = far;
      result.furthest = epoch;
      result.value = *value;
    }
    const bool outside = far > 1.0;
    result.outside += outside ? 1 : 0;
    if (outside && outside_before && !result.left_at) result.left_at = outside_before;
    if (!std::isfinite(*value) && !result.left_at) result.left_at = epoch.epoch;
    outside_before = outside ? std::optional(epoch.epoch) : std::nullopt;
  }
  return result;
}

/// More digits than any interval is known to.
Json rounded(double value) { return std::stod(fmt::format("{:.6g}", value)); }

std::string line(const std::string& key, const Json& value) {
  return fmt::format("  {}: {},\n", dump_text(key), dump_text(value));
}

}  // namespace

ReferenceBand make_reference_band(const std::vector<RunRecord>& runs, const std::string& name) {
  if (runs.size() < ReferenceBand::kLeastRuns) {
    throw Error(ErrorKind::data, fmt::format("{}: expected at least {} runs to make a band of, got "
                                             "{}",
                                             name, ReferenceBand::kLeastRuns, runs.size()));
  }
  ReferenceBand band;
  band.name = name;
  band.config = comparable_config(runs[0].config);
  band.data = fingerprint(runs[0].config);
  std::vector<std::vector<Json>> rows;
  std::set<std::string> metrics;
  for (const RunRecord& run : runs) {
    const std::string folder = run.folder.string();
    if (run.config.empty()) {
      throw Error(ErrorKind::data,
                  fmt::format("{}: expected a run with a config.json, got none", folder));
    }
    if (!run.finished || !run.training) {
      throw Error(ErrorKind::data,
                  fmt::format("{}: expected a finished training run, got {}", folder,
                              run.training ? run.problem : "an evaluation"));
    }
    if (const auto differ = differences(run.config, runs[0].config); !differ.empty()) {
      throw Error(ErrorKind::data, fmt::format("{}: {}: expected {} as {} has it, got {}", folder,
                                               differ[0].key, show(differ[0].reference),
                                               runs[0].folder.string(), show(differ[0].run)));
    }
    if (fingerprint(run.config) != band.data) {
      throw Error(ErrorKind::data, fmt::format("{}: expected the images of {}, got others", folder,
                                               runs[0].folder.string()));
    }
    if (std::find(band.seeds.begin(), band.seeds.end(), run.seed) != band.seeds.end()) {
      throw Error(ErrorKind::data,
                  fmt::format("{}: expected a seed of its own, got {} again", folder, run.seed));
    }
    band.seeds.push_back(run.seed);
    rows.push_back(read_epoch_rows(run.folder));
    for (const Json& row : rows.back()) {
      for (const auto& [key, value] : row.items()) {
        if (value.is_number()) metrics.insert(key);
      }
    }
  }
  for (const char* key : kNoResult) metrics.erase(key);
  for (const std::string& metric : metrics) {
    auto limits = limits_of(spreads_of(rows, metric), runs.size());
    if (!limits.empty()) band.metrics[metric] = std::move(limits);
  }
  return band;
}

void write_reference_band(const ReferenceBand& band, const fs::path& file) {
  std::string text = "{\n" + line("format", kFormat) + line("name", band.name) +
                     line("seeds", band.seeds) + line("data", band.data) +
                     line("config", band.config) + "  \"metrics\": {\n";
  std::vector<std::string> metrics;
  for (const auto& [name, epochs] : band.metrics) {
    Json columns = {{"epoch", Json::array()},
                    {"mean", Json::array()},
                    {"low", Json::array()},
                    {"high", Json::array()}};
    for (const BandEpoch& epoch : epochs) {
      columns["epoch"].push_back(epoch.epoch);
      columns["mean"].push_back(rounded(epoch.mean));
      columns["low"].push_back(rounded(epoch.low));
      columns["high"].push_back(rounded(epoch.high));
    }
    metrics.push_back(fmt::format("    {}: {}", dump_text(name), dump_text(columns)));
  }
  text += fmt::format("{}\n  }}\n}}\n", fmt::join(metrics, ",\n"));
  write_file_durably(file, text);
}

ReferenceBand read_reference_band(const fs::path& file) {
  const auto other = [&file](const std::string& what) {
    return Error(ErrorKind::data,
                 fmt::format("{}: expected a band that clr verify --make-band wrote, got {}",
                             file.string(), what));
  };
  const Json json = Json::parse(read_file(file, ErrorKind::data), nullptr, false);
  if (json.is_discarded()) throw other("what is no JSON");
  try {
    if (json.at("format") != kFormat) {
      throw Error(ErrorKind::data, fmt::format("{}: /format: expected {}, got {}; it is of another "
                                               "version of clr",
                                               file.string(), kFormat, show(json["format"])));
    }
    ReferenceBand band;
    band.name = json.at("name").get<std::string>();
    band.config = json.at("config");
    if (!band.config.is_object() || band.config.empty()) throw other("one without a configuration");
    band.data = json.at("data").get<std::string>();
    band.seeds = json.at("seeds").get<std::vector<std::int64_t>>();
    for (const auto& [name, columns] : json.at("metrics").items()) {
      std::vector<BandEpoch>& epochs = band.metrics[name];
      for (std::size_t i = 0; i < columns.at("epoch").size(); ++i) {
        epochs.push_back(
            {columns.at("epoch").at(i).get<std::int64_t>(), columns.at("mean").at(i).get<double>(),
             columns.at("low").at(i).get<double>(), columns.at("high").at(i).get<double>()});
      }
    }
    for (const auto& [name, epochs] : band.metrics) {
      for (const BandEpoch& epoch : epochs) {
        if (!(epoch.low < epoch.mean && epoch.mean < epoch.high))
          throw other(fmt::format("limits of {} that are in no order", name));
      }
    }
    return band;
  } catch (const Json::exception& error) {
    throw other(fmt::format("other JSON ({})", error.what()));
  }
}

fs::path band_file_of(const fs::path& preset) {
  return fs::path(preset).replace_extension(".band");
}

std::vector<ConfigDifference> config_differences(const RunRecord& run, const ReferenceBand& band) {
  return differences(run.config, band.config);
}

BandVerdict verify_run(const RunRecord& run, const ReferenceBand& band) {
  std::map<std::int64_t, Json> rows;
  for (const Json& row : read_epoch_rows(run.folder)) rows[epoch_of(row)] = row;
  if (rows.empty()) {
    throw Error(ErrorKind::data, fmt::format("{}: expected a run of an epoch or more, got one that "
                                             "has finished none",
                                             run.folder.string()));
  }
  BandVerdict verdict;
  verdict.epochs = static_cast<std::int64_t>(rows.size());
  for (const auto& [name, limits] : band.metrics) {
    const BandMetric metric = hold(name, limits, rows);
    if (metric.compared == 0) continue;
    if (metric.left_at && (!verdict.left_at || *metric.left_at < *verdict.left_at))
      verdict.left_at = metric.left_at;
    verdict.metrics.push_back(metric);
  }
  if (verdict.metrics.empty()) {
    throw Error(ErrorKind::data, fmt::format("{}: has no metric and epoch that the band {} has",
                                             run.folder.string(), band.name));
  }
  return verdict;
}

}  // namespace clr
