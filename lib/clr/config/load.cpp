// SPDX-License-Identifier: Apache-2.0
#include "clr/config/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace fs = std::filesystem;

namespace clr {
namespace {

constexpr std::uintmax_t kMaxConfigBytes = 4 << 20;

std::string read_text(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    throw Error(ErrorKind::config, path.string() + ": expected a JSON file, got a folder");
  }
  if (fs::file_size(path, error) > kMaxConfigBytes && !error) {
    throw Error(ErrorKind::config, path.string() + ": expected a configuration of at most 4 MiB");
  }
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream) throw Error(ErrorKind::config, path.string() + ": cannot be read");
  return text.str();
}

/// Marks `source` as the origin of everything that `patch` sets, and forgets older origins below
/// it.
void record(const Json& patch, const std::string& pointer, const std::string& source,
            Sources& sources) {
  const auto escaped = [](const std::string& key) { return (Place("") / key).pointer(); };
  if (patch.is_object() && !patch.empty()) {
    // An object merges: only what it names comes from here.
    if (!sources.contains(pointer)) sources[pointer] = source;
    for (const auto& [key, value] : patch.items()) {
      record(value, pointer + escaped(key), source, sources);
    }
    return;
  }
  for (auto it = sources.lower_bound(pointer + "/");
       it != sources.end() && it->first.starts_with(pointer + "/");) {
    it = sources.erase(it);
  }
  sources[pointer] = source;
}

void load_into(ConfigDocument& document, const fs::path& path, std::vector<fs::path>& chain) {
  std::error_code ignored;
  const fs::path canonical = fs::weakly_canonical(path, ignored);
  if (std::find(chain.begin(), chain.end(), canonical) != chain.end()) {
    throw Error(ErrorKind::config, chain.back().string() + ": /extends: leads back to " +
                                       path.string() + "; remove the cycle");
  }
  Json json = parse_json(read_text(path), path.string());
  if (!json.is_object()) Place(path.string()).fail("expected an object, got " + show(json));
  if (const auto extends = json.find("extends"); extends != json.end()) {
    const Place place = Place(path.string()) / "extends";
    if (!extends->is_string()) place.fail("expected a path, got " + show(*extends));
    const fs::path base = (path.parent_path() / extends->get<std::string>()).lexically_normal();
    if (!fs::exists(base, ignored)) place.fail("no such file: " + base.string());
    chain.push_back(canonical);
    load_into(document, base, chain);
    chain.pop_back();
  }
  json.erase("extends");
  json.erase("$schema");
  document.merge(json, path.string());
}

fs::path find_preset(const std::string& name, const std::string& command) {
  const auto presets = list_presets();
  for (const bool same_command : {true, false}) {
    for (const Preset& preset : presets) {
      if (preset.name == name && (preset.command == command) == same_command) return preset.path;
    }
  }
  std::vector<std::string> names;
  for (const Preset& preset : presets) names.push_back(preset.name);
  throw Error(ErrorKind::config,
              name + ": no such file or preset" + did_you_mean(name, names) +
                  (names.empty() ? "; no presets were found, set CLR_CONFIGS to their folder"
                                 : "; clr config --list names the presets"));
}

}  // namespace

void ConfigDocument::merge(const Json& patch, const std::string& source) {
  record(patch, "", source, *sources);
  value.merge_patch(patch);
}

void ConfigDocument::set(const std::string& assignment) {
  const auto equals = assignment.find('=');
  const std::string source = "--set " + assignment;
  if (equals == std::string::npos || equals == 0) {
    throw Error(ErrorKind::usage, source + ": expected key.path=value");
  }
  const std::string text = assignment.substr(equals + 1);
  Json parsed;
  try {
    parsed = parse_json(text, source);
  } catch (const Error&) {
    // Text that is no JSON is a string, as people write it in a shell.
    parsed = text;
  }
  Json* target = &value;
  Place place(source);
  std::string path = assignment.substr(0, equals);
  std::string pointer;
  std::size_t start = 0;
  while (true) {
    const auto dot = path.find('.', start);
    const std::string key = path.substr(start, dot == std::string::npos ? dot : dot - start);
    if (key.empty()) place.fail("expected key.path=value, got an empty key");
    place = place / key;
    if (target->is_array()) {
      std::size_t index = 0;
      const auto result = std::from_chars(key.data(), key.data() + key.size(), index);
      const bool number = result.ec == std::errc{} && result.ptr == key.data() + key.size();
      // One past the end appends.
      if (number && index == target->size() && dot == std::string::npos) target->push_back({});
      if (!number || index >= target->size()) {
        place.fail(fmt::format("expected an index below {}", target->size()));
      }
      target = &(*target)[index];
    } else if (target->is_object() || target->is_null()) {
      target = &(*target)[key];
    } else {
      place.fail("expected an object or a list on the way, got " + show(*target));
    }
    if (dot == std::string::npos) break;
    start = dot + 1;
  }
  if (parsed.is_null()) place.fail("expected a value, got null");
  record(parsed, place.pointer(), source, *sources);
  *target = std::move(parsed);
}

std::vector<fs::path> preset_folders() {
  std::vector<fs::path> folders;
  if (const char* set = std::getenv("CLR_CONFIGS"); set != nullptr && *set != '\0') {
    folders.emplace_back(set);
  }
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  folders.push_back(program / "configs");
  folders.push_back(program / ".." / "share" / "clr" / "configs");
  folders.push_back(program / ".." / ".." / "configs");
  for (auto& folder : folders) folder = folder.lexically_normal();
  return folders;
}

std::vector<Preset> list_presets() {
  for (const fs::path& folder : preset_folders()) {
    std::vector<Preset> presets;
    std::error_code error;
    for (const char* command : {"pretrain", "linear_eval", "finetune", "smoke"}) {
      for (const auto& entry : fs::directory_iterator(folder / command, error)) {
        if (entry.path().extension() == ".json") {
          presets.push_back({command, entry.path().stem().string(), entry.path()});
        }
      }
    }
    if (presets.empty()) continue;
    std::sort(presets.begin(), presets.end(), [](const Preset& a, const Preset& b) {
      return std::tie(a.command, a.name) < std::tie(b.command, b.name);
    });
    return presets;
  }
  return {};
}

ConfigDocument load_config(const std::string& file_or_preset, const std::string& command) {
  ConfigDocument document;
  std::vector<fs::path> chain;
  std::error_code ignored;
  const bool is_name =
      file_or_preset.find('/') == std::string::npos && !file_or_preset.ends_with(".json");
  const bool is_file = fs::exists(file_or_preset, ignored) &&
                       !(is_name && fs::is_directory(file_or_preset, ignored));
  if (!is_file && !is_name) {
    throw Error(ErrorKind::config, file_or_preset + ": no such file");
  }
  load_into(document, is_file ? fs::path(file_or_preset) : find_preset(file_or_preset, command),
            chain);
  return document;
}

}  // namespace clr
