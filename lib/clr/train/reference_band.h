// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "clr/config/json.h"
#include "clr/train/run_records.h"

namespace clr {

/// What one metric is expected to be after an epoch.
struct BandEpoch {
  std::int64_t epoch = 0;  ///< from 0
  double mean = 0.0;
  double low = 0.0;
  double high = 0.0;
};

using BandMetrics = std::map<std::string, std::vector<BandEpoch>>;

/// What runs of one configuration, of different seeds, have been seen to do: for each metric of
/// metrics.jsonl's epoch rows an interval an epoch. After any one epoch all metrics of a further run
/// lie within theirs with a probability of kWithin or more (Bonferroni's inequality: each with
/// 1 - (1 - kWithin) / metrics).
///
/// The interval is Student's prediction interval, mean ± t(k - 1) s sqrt(1 + 1/k) of k runs, of the
/// logit of shares, the logarithm of what is always positive, and of anything else as it is; s is
/// pooled over an epoch and the measured ones on either side, as that of a few runs is a poor
/// estimate. It is no narrower than 1 % of the mean on either side: runs that agree by chance, or
/// because the configuration alone decides a value, say nothing of less.
///
/// Source:  Hahn and Meeker, Statistical Intervals (1991), 4.2.
struct ReferenceBand {
  static constexpr double kWithin = 0.95;
  static constexpr std::size_t kLeastRuns = 3;

  std::string name;  ///< its file's, without .band: its preset's
  Json config;       ///< of its runs, without what does not change a result
  std::string data;  ///< fingerprint of their images
  std::vector<std::int64_t> seeds;
  /// How many of the runs do not leave the band of the others; none: there were too few to tell.
  std::optional<std::int64_t> within_others;
  BandMetrics metrics;
};

/// The band of at least three finished runs.
/// Throws:  Error{data}: too few, one that is not finished, two of one seed, configurations or
///          images that differ or are not known (naming the run and the key), nothing measured.
ReferenceBand make_reference_band(const std::vector<RunRecord>& runs, const std::string& name);

/// Throws:  Error{output}.
void write_reference_band(const ReferenceBand& band, const std::filesystem::path& file);

/// Throws:  Error{data}: cannot be read, or is no band.
ReferenceBand read_reference_band(const std::filesystem::path& file);

/// A preset's band lies beside it: NAME.json, NAME.band.
std::filesystem::path band_file_of(const std::filesystem::path& preset);

/// A key in which two configurations differ.
struct ConfigDifference {
  std::string key;  ///< as --set has it
  Json run;         ///< null: the run has none
  Json reference;
};

/// Differences between a run's configuration and a band's, but for the seed, threads, number
/// formats and how often something is logged, checked or saved.
std::vector<ConfigDifference> config_differences(const Json& config, const ReferenceBand& band);

/// Whether a run is of the band's images; none: the run does not say of which it is.
std::optional<bool> of_same_images(const RunRecord& run, const ReferenceBand& band);

/// One metric of a run held against a band.
struct BandMetric {
  std::string name;
  std::int64_t compared = 0;  ///< epochs
  std::int64_t outside = 0;   ///< of these
  /// The first of two compared epochs in a row outside; or the band's last one, outside; or one
  /// that is not finite.
  std::optional<std::int64_t> left_at;
  BandEpoch furthest;  ///< where the run was nearest to leaving or furthest out
  double value = 0.0;  ///< there; NaN: not finite
};

struct BandVerdict {
  std::int64_t epochs = 0;              ///< of the run
  std::vector<BandMetric> metrics;      ///< that both have
  std::vector<std::string> missing;     ///< the band's other ones
  std::optional<std::int64_t> left_at;  ///< the first of the metrics'; none: within the band
};

/// Holds a run, finished or not, against a band. One finite value outside alone does not count
/// before the end: among hundreds some are.
/// Throws:  Error{data}: no epoch is done, or none that the band has.
BandVerdict verify_run(const RunRecord& run, const ReferenceBand& band);

}  // namespace clr
