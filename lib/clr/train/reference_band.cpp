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
#include "clr/train/config_difference.h"

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

std::vector<ConfigDifference> differences(const Json& run, const Json& reference) {
  const Json ours = comparable_config(run);
  const Json theirs = comparable_config(reference);
  std::vector<ConfigDifference> found;
  for (const std::string& place : differing_pointers({&ours, &theirs}, AbsentKey::differs))
    found.push_back({dotted_key(place), value_at(ours, place), value_at(theirs, place)});
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

/// A run's epoch rows, by epoch.
using EpochRows = std::map<std::int64_t, Json>;

EpochRows epoch_rows(const RunRecord& run) {
  EpochRows rows;
  for (Json& row : read_epoch_rows(run.folder)) {
    const auto epoch = row.find("epoch");
    if (epoch == row.end() || !epoch->is_number_integer()) continue;
    const auto place = epoch->get<std::int64_t>();
    rows[place] = std::move(row);
  }
  return rows;
}

bool is_share(const std::string& metric) {
  return metric == "top1" || metric.ends_with("_top1") || metric.ends_with("_share");
}

/// A limit, or the nearest value that the metric can have.
double possible(const std::string& metric, double limit) {
  if (is_share(metric)) return std::clamp(limit, 0.0, 1.0);
  return metric.ends_with("_cosine") ? std::clamp(limit, -1.0, 1.0) : limit;
}

/// On which scale a metric of different runs is likeliest to be spread alike on both sides.
class Scale {
 public:
  Scale(const std::string& metric, double least) {
    if (is_share(metric)) {
      kind_ = Kind::logit;
    } else if (least > 0.0) {
      kind_ = Kind::log;
    }
  }

  double to(double value) const {
    if (kind_ == Kind::linear) return value;
    if (kind_ == Kind::log) return std::log(value);
    // Of a share that is 0 or 1 little more is known than that it is near.
    const double share = std::clamp(value, 1e-3, 1.0 - 1e-3);
    return std::log(share / (1.0 - share));
  }

  double from(double value) const {
    if (kind_ == Kind::linear) return value;
    return kind_ == Kind::log ? std::exp(value) : 1.0 / (1.0 + std::exp(-value));
  }

 private:
  enum class Kind { linear, log, logit };
  Kind kind_ = Kind::linear;
};

/// One metric of several runs after an epoch that all of them have.
struct Sample {
  std::int64_t epoch = 0;
  std::vector<double> values;
};

std::vector<Sample> samples_of(const std::vector<const EpochRows*>& runs,
                               const std::string& metric) {
  std::vector<Sample> samples;
  for (const auto& [epoch, ignored] : *runs[0]) {
    Sample sample{epoch, {}};
    for (const EpochRows* rows : runs) {
      const auto row = rows->find(epoch);
      const auto value = row == rows->end() ? std::nullopt : number(row->second, metric);
      if (value && std::isfinite(*value)) sample.values.push_back(*value);
    }
    if (sample.values.size() == runs.size()) samples.push_back(std::move(sample));
  }
  return samples;
}

/// Limits within which a further run's value lies with probability `within`, an epoch.
std::vector<BandEpoch> limits_of(const std::string& metric, const std::vector<Sample>& samples,
                                 double within) {
  constexpr double kNarrowest = 0.01;  // of the mean
  double least = std::numeric_limits<double>::infinity();
  for (const Sample& sample : samples)
    least = std::min(least, *std::min_element(sample.values.begin(), sample.values.end()));
  const Scale scale(metric, least);
  std::vector<Summary> summaries;
  for (const Sample& sample : samples) {
    std::vector<double> scaled;
    for (const double value : sample.values) scaled.push_back(scale.to(value));
    summaries.push_back(summarize(scaled));
  }
  std::vector<BandEpoch> limits;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto k = static_cast<double>(samples[i].values.size());
    const std::size_t first = i == 0 ? 0 : i - 1;
    const std::size_t last = std::min(i + 1, samples.size() - 1);
    double variance = 0.0;
    for (std::size_t j = first; j <= last; ++j)
      variance += summaries[j].deviation * summaries[j].deviation;
    variance /= static_cast<double>(last - first + 1);
    const double half = student_t(static_cast<std::int64_t>(samples[i].values.size()) - 1, within) *
                        std::sqrt(variance * (1.0 + 1.0 / k));
    const double mean = summarize(samples[i].values).mean;
    const double narrowest = kNarrowest * std::abs(mean);
    const double low = std::min(scale.from(summaries[i].mean - half), mean - narrowest);
    const double high = std::max(scale.from(summaries[i].mean + half), mean + narrowest);
    // What is nothing in all of them has no scale.
    if (low < high) {
      limits.push_back({samples[i].epoch, mean, possible(metric, low), possible(metric, high)});
    }
  }
  return limits;
}

BandMetrics metrics_of(const std::vector<const EpochRows*>& runs) {
  std::map<std::string, std::vector<Sample>> samples;
  for (const auto& [epoch, row] : *runs[0]) {
    for (const auto& [key, value] : row.items()) {
      if (value.is_number()) samples[key];
    }
  }
  for (const char* key : kNoResult) samples.erase(key);
  for (auto& [metric, several] : samples) several = samples_of(runs, metric);
  std::erase_if(samples, [](const auto& metric) { return metric.second.empty(); });
  const double within = 1.0 - (1.0 - ReferenceBand::kWithin) /
                                  static_cast<double>(std::max<std::size_t>(samples.size(), 1));
  BandMetrics metrics;
  for (const auto& [metric, several] : samples) {
    auto limits = limits_of(metric, several, within);
    if (!limits.empty()) metrics[metric] = std::move(limits);
  }
  return metrics;
}

/// How far from the middle of a band a value lies; 1 at its edge.
double distance(double value, const BandEpoch& limits) {
  if (!std::isfinite(value)) return std::numeric_limits<double>::infinity();
  if (value == limits.mean) return 0.0;
  return value < limits.mean ? (limits.mean - value) / (limits.mean - limits.low)
                             : (value - limits.mean) / (limits.high - limits.mean);
}

BandMetric hold(const std::string& name, const std::vector<BandEpoch>& limits,
                const EpochRows& rows) {
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
    const bool last = epoch.epoch == limits.back().epoch;
    result.outside += outside ? 1 : 0;
    if (outside && !result.left_at) {
      if (outside_before) {
        result.left_at = outside_before;
      } else if (last || !std::isfinite(*value)) {
        result.left_at = epoch.epoch;
      }
    }
    outside_before = outside ? std::optional(epoch.epoch) : std::nullopt;
  }
  return result;
}

BandVerdict hold_all(const EpochRows& rows, const BandMetrics& metrics) {
  BandVerdict verdict;
  verdict.epochs = static_cast<std::int64_t>(rows.size());
  for (const auto& [name, limits] : metrics) {
    BandMetric metric = hold(name, limits, rows);
    if (metric.compared == 0) {
      verdict.missing.push_back(name);
      continue;
    }
    if (metric.left_at && (!verdict.left_at || *metric.left_at < *verdict.left_at))
      verdict.left_at = metric.left_at;
    verdict.metrics.push_back(std::move(metric));
  }
  return verdict;
}

/// Of runs, how many do not leave the band of the others.
std::optional<std::int64_t> within_others(const std::vector<EpochRows>& runs) {
  if (runs.size() <= ReferenceBand::kLeastRuns) return std::nullopt;
  std::int64_t within = 0;
  for (const EpochRows& run : runs) {
    std::vector<const EpochRows*> others;
    for (const EpochRows& other : runs) {
      if (&other != &run) others.push_back(&other);
    }
    within += hold_all(run, metrics_of(others)).left_at ? 0 : 1;
  }
  return within;
}

/// Runs of one configuration on the same images, each of a seed of its own.
void require_comparable(const std::vector<RunRecord>& runs) {
  std::set<std::int64_t> seeds;
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
    if (fingerprint(run.config).empty()) {
      throw Error(ErrorKind::data,
                  fmt::format("{}: expected a checkpoint that says of which images the run is, got "
                              "none",
                              folder));
    }
    if (fingerprint(run.config) != fingerprint(runs[0].config)) {
      throw Error(ErrorKind::data, fmt::format("{}: expected the images of {}, got others", folder,
                                               runs[0].folder.string()));
    }
    if (!seeds.insert(run.seed).second) {
      throw Error(ErrorKind::data,
                  fmt::format("{}: expected a seed of its own, got {} again", folder, run.seed));
    }
  }
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
  require_comparable(runs);
  ReferenceBand band;
  band.name = name;
  band.config = comparable_config(runs[0].config);
  band.data = fingerprint(runs[0].config);
  std::vector<EpochRows> rows;
  for (const RunRecord& run : runs) {
    band.seeds.push_back(run.seed);
    rows.push_back(epoch_rows(run));
  }
  std::vector<const EpochRows*> all;
  for (const EpochRows& run : rows) all.push_back(&run);
  band.metrics = metrics_of(all);
  if (band.metrics.empty()) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected runs with epochs in their metrics.jsonl, got none that "
                            "all of them have",
                            name));
  }
  band.within_others = within_others(rows);
  return band;
}

void write_reference_band(const ReferenceBand& band, const fs::path& file) {
  std::string text = "{\n" + line("format", kFormat) + line("seeds", band.seeds) +
                     (band.within_others ? line("within_others", *band.within_others) : "") +
                     line("data", band.data) + line("config", band.config) + "  \"metrics\": {\n";
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
    band.name = file.stem().string();
    band.config = json.at("config");
    if (!band.config.is_object() || band.config.empty()) throw other("one without a configuration");
    band.data = json.at("data").get<std::string>();
    band.seeds = json.at("seeds").get<std::vector<std::int64_t>>();
    if (json.contains("within_others"))
      band.within_others = json["within_others"].get<std::int64_t>();
    for (const auto& [name, columns] : json.at("metrics").items()) {
      std::vector<BandEpoch>& epochs = band.metrics[name];
      for (std::size_t i = 0; i < columns.at("epoch").size(); ++i) {
        epochs.push_back({columns.at("epoch").at(i).get<std::int64_t>(),
                          columns.at("mean").at(i).get<double>(),
                          possible(name, columns.at("low").at(i).get<double>()),
                          possible(name, columns.at("high").at(i).get<double>())});
      }
    }
    for (const auto& [name, epochs] : band.metrics) {
      for (const BandEpoch& epoch : epochs) {
        if (!(epoch.low <= epoch.mean && epoch.mean <= epoch.high && epoch.low < epoch.high))
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

std::vector<ConfigDifference> config_differences(const Json& config, const ReferenceBand& band) {
  return differences(config, band.config);
}

std::optional<bool> of_same_images(const RunRecord& run, const ReferenceBand& band) {
  const std::string images = fingerprint(run.config);
  return images.empty() ? std::nullopt : std::optional(images == band.data);
}

BandVerdict verify_run(const RunRecord& run, const ReferenceBand& band) {
  const EpochRows rows = epoch_rows(run);
  if (rows.empty()) {
    throw Error(ErrorKind::data, fmt::format("{}: expected a run of an epoch or more, got one that "
                                             "has finished none",
                                             run.folder.string()));
  }
  BandVerdict verdict = hold_all(rows, band.metrics);
  if (verdict.metrics.empty()) {
    throw Error(ErrorKind::data, fmt::format("{}: has no metric and epoch that the band {} has",
                                             run.folder.string(), band.name));
  }
  return verdict;
}

}  // namespace clr
