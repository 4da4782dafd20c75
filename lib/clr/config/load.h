// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "clr/config/json.h"

namespace clr {

/// A configuration before it is read into a struct: `extends` and `--set` applied, each part
/// remembering where it came from.
struct ConfigDocument {
  Json value = Json::object();
  std::shared_ptr<Sources> sources = std::make_shared<Sources>();

  Place place() const { return Place(sources); }

  /// Merges `patch` over this (RFC 7396: objects merge, everything else replaces, null removes).
  void merge(const Json& patch, const std::string& source);

  /// Applies one `key.path=value`; the value is JSON, or else a string. A number in the path is an
  /// index into a list that is there; at the end of the path one more than its last appends.
  /// Throws:  Error{usage} without "=", Error{config} for a path through something that is no
  ///          object or list.
  void set(const std::string& assignment);
};

/// A preset: a named configuration file.
struct Preset {
  std::string command;  ///< the folder: pretrain, linear_eval, ...
  std::string name;
  std::filesystem::path path;
};

/// Folders that presets are looked for in: CLR_CONFIGS, beside the program, its share folder, the
/// source tree that it was built from.
std::vector<std::filesystem::path> preset_folders();

/// Every preset of the first folder that holds any, by command and name.
std::vector<Preset> list_presets();

/// Loads a file, or a preset by its name (of `command` first, then of any), with what it extends.
///
/// Throws:  Error{config}: no such file or preset (with the nearest name), a cycle or a missing
///          file in `extends`, or bad JSON.
ConfigDocument load_config(const std::string& file_or_preset, const std::string& command);

}  // namespace clr
