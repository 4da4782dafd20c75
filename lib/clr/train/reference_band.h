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

/// What runs of one configuration, of different seeds, have been seen to do: for each metric of
/// metrics.jsonl's epoch rows an interval an epoch, in which a further run lies with probability
/// kWithin, for one metric and epoch. Of a run many are compared, and they depend on each other, so
/// the share of good runs that leave a band is larger than that of two such epochs in a row.
///
/// The interval is Student's prediction interval, mean ± t(k - 1) s sqrt(1 + 1/k) of k runs; s is
/// pooled over an epoch and the measured ones on either side, as that of a few runs is a poor
/// estimate.
///
/// Source:  Hahn and Meeker, Statistical Intervals (1991), 4.2.
struct ReferenceBand {
  static constexpr double kWithin = 0.99;
  static constexpr std::size_t kLeastRuns = 3;

  std::string name;  ///< its preset's, or the file's
  Json config;       ///< of its runs, without what does not change a result (comparable_config)
  std::string data;  ///< fingerprint of their images
  std::vector<std::int64_t> seeds;
  std::map<std::string, std::vector<BandEpoch>> metrics;
};

/// The band of at least three finished runs.
/// Throws:  Error{data}: too few, one that is not finished, two of one seed, configurations or
///          images that differ (naming the run and the key).
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

/// Differences between a run and a band, but for the seed, threads, number formats and how often
/// something is logged, checked or saved.
std::vector<ConfigDifference> config_differences(const RunRecord& run, const ReferenceBand& band);

/// One metric of a run held against a band.
struct BandMetric {
  std::string name;
  std::int64_t compared = 0;  ///< epochs
  std::int64_t outside = 0;   ///< of these
  /// The first of two compared epochs in a row outside, or one that is not finite.
  std::optional<std::int64_t> left_at;
  BandEpoch furthest;  ///< where the run was nearest to leaving or furthest out
  double value = 0.0;  ///< there; NaN: not finite
};

struct BandVerdict {
  std::int64_t epochs = 0;              ///< of the run
  std::vector<BandMetric> metrics;      ///< that both have
  std::optional<std::int64_t> left_at;  ///< the first of the metrics'; none: within the band
};

/// Holds a run, finished or not, against a band. One finite value outside alone does not count: among
/// hundreds some are.
/// Throws:  Error{data}: no epoch is done, or none that the band has.
BandVerdict verify_run(const RunRecord& run, const ReferenceBand& band);

}  // namespace clr
