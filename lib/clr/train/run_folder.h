// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "clr/config/json.h"

namespace clr {

/// Makes a folder for results and proves that it can be written to.
/// Throws:  Error{output} naming the folder: a file is in the way, no permission, read-only, disk
///          full.
void make_output_folder(const std::filesystem::path& folder);

/// Proves the same and leaves no trace of having tried.
void try_output_folder(const std::filesystem::path& folder);

/// Makes the folder of a file that is to be written, and proves that it can be.
/// Throws:  Error{output}, for a folder in the file's place too.
void prepare_output_file(const std::filesystem::path& file);

/// Whether a folder holds a run of any command (a configuration or checkpoints).
bool holds_run(const std::filesystem::path& folder);

/// Whether it holds a training run.
bool holds_training(const std::filesystem::path& folder);

/// Fills what `given` leaves open ("auto", 0) from the stored configuration of the run that it
/// resumes, and refuses any other difference but how often checkpoints are written and kept, and the guard.
/// Throws:  Error{config} naming the place, what the run has and what was given.
void check_resumed_config(const Json& stored, Json& given, const Place& place);

}  // namespace clr
