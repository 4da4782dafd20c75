// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "clr/config/json.h"
#include "clr/io/tensorboard.h"

namespace clr {

/// RUN/metrics.jsonl, the record of a run, and its TensorBoard view.
class MetricsLog {
 public:
  /// Opens the run's file. Rows beyond `bytes` (from after the checkpoint that a run resumes from)
  /// are cut off, so that no row stands twice. Changes nothing in the folder of a finished run
  /// before the first write.
  /// Throws:  Error{output} naming the file.
  MetricsLog(const std::filesystem::path& run, std::int64_t bytes, std::int64_t first_step);
  ~MetricsLog();

  /// Appends one row ({"kind", "time", "step", "epoch", ...}) and writes its numbers to TensorBoard
  /// as kind/key.
  void write(const Json& row);

  /// A picture for TensorBoard, of before the first step.
  void picture(const std::string& tag, const std::string& png, int width, int height);

  /// Makes all rows durable and returns the file's length.
  std::int64_t sync();

 private:
  TensorBoardWriter& tensorboard();

  std::filesystem::path run_;
  std::filesystem::path path_;
  int file_ = -1;
  std::int64_t bytes_ = 0;
  std::int64_t first_step_ = 0;
  std::unique_ptr<TensorBoardWriter> tensorboard_;  ///< opened at the first write
};

}  // namespace clr
