// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "clr/config/json.h"
#include "clr/io/safetensors.h"

namespace clr {

/// A training checkpoint: what is exported, and what resuming needs beside it.
struct Checkpoint {
  SafeTensors model;
  SafeTensors state;
  std::int64_t metrics_bytes = 0;  ///< length of metrics.jsonl when it was written
};

/// Writes RUN/checkpoints/step_NNNNNNNN, complete or not at all, points `latest` at it, and removes
/// all but the newest `keep`. Returns its folder.
///
/// Written beside, each file fsynced, the manifest (sizes, sha256) last, then renamed.
/// Throws:  Error{output} naming the path; older checkpoints stay as they are.
std::filesystem::path write_checkpoint(const std::filesystem::path& run, std::int64_t step,
                                       const Checkpoint& content, std::int64_t keep);

/// The newest checkpoint of a run whose files match its manifest; a damaged one is passed over with
/// a warning. Nothing when the run has no checkpoint yet.
/// Throws:  Error{checkpoint} when there are checkpoints and none is good.
std::optional<std::filesystem::path> newest_good_checkpoint(const std::filesystem::path& run);

/// Checks a checkpoint folder against its manifest. Returns "" or what is wrong with it.
std::string verify_checkpoint(const std::filesystem::path& folder);

/// Reads both files of a checkpoint folder.
Checkpoint read_checkpoint(const std::filesystem::path& folder);

}  // namespace clr
