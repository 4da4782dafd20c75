// SPDX-License-Identifier: Apache-2.0
#include "clr/train/config_difference.h"

#include <algorithm>

namespace clr {
namespace {

/// `values`: what each configuration has at the pointer; null: no such key.
void find_differences(const std::vector<const Json*>& values, AbsentKey absent,
                      const std::string& pointer, std::vector<std::string>& found) {
  std::vector<const Json*> present;
  for (const Json* value : values) {
    if (value != nullptr) present.push_back(value);
  }
  if (present.size() < values.size() && absent == AbsentKey::differs) {
    found.push_back(pointer);
    return;
  }
  const auto all = [&present](auto holds) {
    return std::all_of(present.begin(), present.end(), holds);
  };
  if (present.empty() || all([&](const Json* value) { return *value == *present[0]; })) return;
  if (all([](const Json* value) { return value->is_object(); })) {
    std::vector<std::string> keys;
    for (const Json* value : present) {
      for (const auto& [key, child] : value->items()) {
        if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
      }
    }
    for (const std::string& key : keys) {
      std::vector<const Json*> children;
      for (const Json* value : present) {
        const auto child = value->find(key);
        children.push_back(child == value->end() ? nullptr : &*child);
      }
      find_differences(children, absent, pointer + (Place("") / key).pointer(), found);
    }
    return;
  }
  const auto same_types = [&](const Json* value) {
    if (!value->is_array() || value->size() != present[0]->size()) return false;
    for (std::size_t i = 0; i < value->size(); ++i) {
      const Json& element = (*value)[i];
      if (!element.is_object()) return false;
      if (element.value("type", Json()) != (*present[0])[i].value("type", Json())) return false;
    }
    return true;
  };
  if (all(same_types)) {
    for (std::size_t i = 0; i < present[0]->size(); ++i) {
      std::vector<const Json*> children;
      for (const Json* value : present) children.push_back(&(*value)[i]);
      find_differences(children, absent, pointer + "/" + std::to_string(i), found);
    }
    return;
  }
  found.push_back(pointer);
}

}  // namespace

std::vector<std::string> differing_pointers(const std::vector<const Json*>& configs,
                                            AbsentKey absent) {
  std::vector<std::string> found;
  find_differences(configs, absent, "", found);
  return found;
}

Json value_at(const Json& config, const std::string& pointer) {
  const Json::json_pointer place(pointer);
  return config.contains(place) ? config.at(place) : Json();
}

std::string dotted_key(const std::string& pointer) {
  std::string text = pointer.substr(pointer.empty() ? 0 : 1);
  std::replace(text.begin(), text.end(), '/', '.');
  return text;
}

}  // namespace clr
