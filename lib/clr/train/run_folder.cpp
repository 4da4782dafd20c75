// SPDX-License-Identifier: Apache-2.0
#include "clr/train/run_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace clr {
namespace {

/// Values that `auto` and 0 stand for are resolved once, when the run starts.
constexpr std::array kResolvedOnce = {"/train/precision", "/train/memory_format",
                                      "/train/compute_threads", "/encoder/vocabulary"};
/// Threads change the last bits of sums alone, as the number of processes does, which they follow.
constexpr std::array kFreeToChange = {"/train/checkpoint_every_epochs", "/train/keep_checkpoints",
                                      "/train/guard", "/train/compute_threads"};

bool is_open(const Json& value) { return value == "auto" || value == 0; }

void compare(const Json& stored, Json& given, const std::string& pointer, const Place& place) {
  if (stored.is_object() && given.is_object()) {
    for (auto& [key, value] : given.items()) {
      const auto found = stored.find(key);
      compare(found == stored.end() ? Json() : *found, value, pointer + "/" + key, place / key);
    }
    return;
  }
  if (stored == given) return;
  for (const char* open : kResolvedOnce) {
    if (pointer == open && is_open(given)) {
      given = stored;
      return;
    }
  }
  for (const char* free : kFreeToChange) {
    if (pointer == free) return;
  }
  place.fail(fmt::format(
      "the run to resume has {}, got {}; resume with what it has, or start a new run with --init",
      show(stored), show(given)));
}

}  // namespace

void make_output_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder, error) && !fs::is_directory(folder, error)) {
    throw Error(ErrorKind::output, folder.string() + ": expected a folder to write to, got a file");
  }
  fs::create_directories(folder, error);
  if (error) {
    throw Error(ErrorKind::output, folder.string() + ": cannot be created: " + error.message());
  }
  const fs::path probe = folder / ".clr_write_test";
  const int file = open(probe.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  const bool written = file >= 0 && write(file, "x", 1) == 1;
  const int reason = errno;
  if (file >= 0) {
    close(file);
    unlink(probe.c_str());
  }
  if (!written) {
    throw Error(ErrorKind::output,
                folder.string() + ": cannot be written to: " + std::strerror(reason));
  }
}

void try_output_folder(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> made;
  for (fs::path at = fs::absolute(folder); !fs::exists(at, ignored); at = at.parent_path())
    made.push_back(at);
  make_output_folder(folder);
  for (const fs::path& at : made) fs::remove(at, ignored);
}

void prepare_output_file(const fs::path& file) {
  std::error_code ignored;
  if (fs::is_directory(file, ignored)) {
    throw Error(ErrorKind::output, file.string() + ": expected a file to write to, got a folder");
  }
  make_output_folder(file.has_parent_path() ? file.parent_path() : fs::path("."));
}

bool holds_run(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / "config.json", ignored) || fs::exists(folder / "checkpoints", ignored);
}

bool holds_training(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / "metrics.jsonl", ignored) ||
         fs::exists(folder / "checkpoints", ignored);
}

void check_resumed_config(const Json& stored, Json& given, const Place& place) {
  compare(stored, given, "", place);
}

}  // namespace clr
