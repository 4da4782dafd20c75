// SPDX-License-Identifier: Apache-2.0
#include "clr/train/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "clr/core/log.h"
#include "clr/io/file.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

constexpr const char* kFiles[] = {"model.safetensors", "state.safetensors"};

std::string step_name(std::int64_t step) { return fmt::format("step_{:08}", step); }

/// Names of complete checkpoints, oldest first.
std::vector<std::string> checkpoint_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  const fs::directory_iterator entries(folder, error);
  // A new run has no such folder; one that cannot be read must not look like a new run.
  if (error && error != std::errc::no_such_file_or_directory) {
    throw Error(ErrorKind::checkpoint, folder.string() + ": cannot be read: " + error.message());
  }
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step_") && name.find('.') == std::string::npos) names.push_back(name);
  }
  // Zero-padded to 8 digits; longer numbers are larger.
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    return std::pair(a.size(), a) < std::pair(b.size(), b);
  });
  return names;
}

[[noreturn]] void fail_output(const fs::path& path, const std::error_code& error) {
  throw Error(ErrorKind::output, path.string() + ": cannot be written: " + error.message());
}

}  // namespace

fs::path write_checkpoint(const fs::path& run, std::int64_t step, const Checkpoint& content,
                          std::int64_t keep) {
  const fs::path folder = run / "checkpoints";
  const fs::path final_path = folder / step_name(step);
  const fs::path temporary = folder / (step_name(step) + ".tmp");
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail_output(folder, error);
  // What writes that were cut short have left.
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".tmp") fs::remove_all(entry.path(), error);
  }
  fs::create_directory(temporary, error);
  if (error) fail_output(temporary, error);
  try {
    write_safetensors(temporary / kFiles[0], content.model);
    write_safetensors(temporary / kFiles[1], content.state);
    Json files = Json::object();
    for (const char* name : kFiles) {
      const auto bytes = fs::file_size(temporary / name, error);
      if (error) fail_output(temporary / name, error);
      files[name] = {{"bytes", bytes}, {"sha256", sha256_file(temporary / name)}};
    }
    const Json manifest = {{"format", 1},
                           {"step", step},
                           {"metrics_bytes", content.metrics_bytes},
                           {"files", std::move(files)}};
    write_file_durably(temporary / "manifest.json", dump_text(manifest, 2) + "\n");
  } catch (const Error&) {
    fs::remove_all(temporary, error);
    throw;
  }
  flush_folder(temporary);
  // A checkpoint of this step may be there already, from before a resume: the same bytes, or a
  // damaged one.
  fs::remove_all(final_path, error);
  fs::rename(temporary, final_path, error);
  if (error) fail_output(final_path, error);
  flush_folder(folder);
  write_file_durably(folder / "latest", final_path.filename().string() + "\n");

  auto names = checkpoint_names(folder);
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < names.size(); ++i) {
    if (names[i] != final_path.filename()) fs::remove_all(folder / names[i], error);
  }
  return final_path;
}

std::string verify_checkpoint(const fs::path& folder) {
  try {
    const fs::path path = folder / "manifest.json";
    const Json manifest = parse_json(read_file(path, ErrorKind::checkpoint), path.string());
    for (const char* name : kFiles) {
      const Json& file = manifest.at("files").at(name);
      std::error_code error;
      const auto bytes = fs::file_size(folder / name, error);
      if (error) return fmt::format("{} is missing", name);
      if (bytes != file.at("bytes").get<std::uintmax_t>()) {
        return fmt::format("{} has {} bytes, expected {}", name, bytes, file.at("bytes").dump());
      }
      if (sha256_file(folder / name) != file.at("sha256").get<std::string>()) {
        return fmt::format("the sha256 of {} is not the manifest's", name);
      }
    }
  } catch (const nlohmann::json::exception&) {
    return "its manifest.json is damaged";
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::optional<fs::path> newest_good_checkpoint(const fs::path& run) {
  const fs::path folder = run / "checkpoints";
  auto names = checkpoint_names(folder);
  std::string problem;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    problem = verify_checkpoint(folder / *name);
    if (problem.empty()) return folder / *name;
    log_warning("{}: {}; passed over", (folder / *name).string(), problem);
  }
  if (!names.empty()) {
    throw Error(ErrorKind::checkpoint, fmt::format("{}: expected a good checkpoint, got none: {}",
                                                   folder.string(), problem));
  }
  return std::nullopt;
}

Checkpoint read_checkpoint(const fs::path& folder) {
  const fs::path path = folder / "manifest.json";
  const Json manifest = parse_json(read_file(path, ErrorKind::checkpoint), path.string());
  return {read_safetensors(folder / kFiles[0]), read_safetensors(folder / kFiles[1]),
          manifest.value("metrics_bytes", std::int64_t{0})};
}

}  // namespace clr
