// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "clr/config/json.h"

namespace clr {

/// What is known of one run, read from its folder.
///
/// Metrics by name: `loss` (mean of the last epoch), `training_knn_top1` (the check during
/// training), `images_per_s`, and of each evaluation in a folder of the run `NAME_top1`, NAME being
/// the folder's with `linear` for `linear_eval` (`linear_top1`, `linear_projection_top1`,
/// `finetune_top1`); of linear evaluations also the first nearest-neighbour result on test images
/// (`knn_top1`, `knn_projection_top1`). An evaluation on several data sets is no linear one: its
/// mean over them is `transfer_top1`. Accuracies are fractions.
struct RunRecord {
  std::filesystem::path folder;
  bool training = true;  ///< false: an evaluation that belongs to no run's folder
  bool finished = false;
  std::string problem;  ///< what failed or is missing; empty: nothing
  /// config.json without the seed; with `labels` (of RUN/labels.json) and `data.fingerprint` (of
  /// the images), where there are any. Of an evaluation also `checkpoint`, `layer` and
  /// `train_images`.
  Json config = Json::object();
  std::int64_t seed = 0;
  std::map<std::string, double> metrics;
  /// 95 % intervals that an evaluation stated itself.
  std::map<std::string, std::array<double, 2>> intervals;
};

/// Reads runs. A path is a training run's folder, an evaluation's, or a folder of such folders. An
/// evaluation inside a run's folder is that run, judged by that evaluation alone. What is named
/// twice is read once.
///
/// A folder that cannot be read as a run says so in its `problem`.
/// Throws:  Error{data}: nothing there, or nothing that is a run.
std::vector<RunRecord> read_run_records(const std::vector<std::string>& paths);

/// The rows of kind "epoch" of a run's metrics.jsonl, as far as it can be read; none without it.
std::vector<Json> read_epoch_rows(const std::filesystem::path& run);

}  // namespace clr
