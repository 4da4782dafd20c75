// SPDX-License-Identifier: Apache-2.0
// Registries: a JSON object {"type": NAME, options...} becomes an implementation of a seam. Each
// seam's registry.cpp holds one explicit list; each implementation file gives its entry by one
// function.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "clr/config/fields.h"

namespace clr {

/// What a configuration needs to know of an implementation, without being able to make one.
struct ComponentInfo {
  std::string name;
  std::string help;
  /// Checks the options (every key but "type") and returns them with all defaults filled in.
  std::function<Json(const Json&, const Place&)> resolve;
  /// JSON Schema of the options.
  std::function<Json()> schema;
};

/// The names of one seam's implementations and their options.
class ComponentTable {
 public:
  virtual ~ComponentTable() = default;
  virtual std::vector<const ComponentInfo*> infos() const = 0;

  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const ComponentInfo* info : infos()) result.push_back(info->name);
    return result;
  }

  /// Throws Error{config} with the nearest known name.
  const ComponentInfo& find(const std::string& name, const Place& place) const {
    for (const ComponentInfo* info : infos()) {
      if (info->name == name) return *info;
    }
    std::string list;
    for (const auto& known : names()) list += (list.empty() ? "" : ", ") + known;
    (place / "type")
        .fail(fmt::format("expected one of {}, got \"{}\"{}", list, name,
                          did_you_mean(name, names())));
  }
};

/// An implementation: its name, its options, and how to make it from resolved options.
template <class Result, class... Args>
struct Entry : ComponentInfo {
  std::function<Result(const Json& options, Args... args)> make;
};

/// Makes an entry from an Options struct with `fields()` and a function (Options, Args...) ->
/// Result.
///
/// Options may have `void validate(const Place&) const` for what fields() cannot say of one field
/// alone; it is called when a configuration is read, after the fields.
template <class Result, HasFields Options, class... Args, class Make>
Entry<Result, Args...> make_entry(std::string name, std::string help, Make make) {
  Entry<Result, Args...> entry;
  entry.name = std::move(name);
  entry.help = std::move(help);
  entry.resolve = [](const Json& json, const Place& place) {
    Options options;
    read_fields(json, place, options, {"type"});
    if constexpr (requires { options.validate(place); }) options.validate(place);
    return dump_value(options);
  };
  entry.schema = [] { return fields_schema<Options>(); };
  entry.make = [make](const Json& json, Args... args) -> Result {
    Options options;
    read_fields(json, Place("resolved configuration"), options);
    return make(options, std::forward<Args>(args)...);
  };
  return entry;
}

/// All implementations of one seam.
template <class Result, class... Args>
class Registry : public ComponentTable {
 public:
  using EntryType = Entry<Result, Args...>;
  explicit Registry(std::vector<EntryType> entries) : entries_(std::move(entries)) {}

  std::vector<const ComponentInfo*> infos() const override {
    std::vector<const ComponentInfo*> result;
    for (const auto& entry : entries_) result.push_back(&entry);
    return result;
  }

  /// Makes the implementation that a resolved component names.
  template <class Seam>
  Result make(const Component<Seam>& component, Args... args) const {
    for (const auto& entry : entries_) {
      if (entry.name == component.type)
        return entry.make(component.options, std::forward<Args>(args)...);
    }
    throw Error(ErrorKind::config, "unknown type \"" + component.type + "\"");
  }

  const std::vector<EntryType>& entries() const { return entries_; }

 private:
  std::vector<EntryType> entries_;
};

/// Specialised beside each seam: `static const ComponentTable& table()`.
template <class Seam>
struct ComponentTraits;

/// A part of a configuration whose `type` names an implementation of Seam, with its options, all
/// defaults filled in.
template <class Seam>
struct Component {
  std::string type;
  Json options = Json::object();

  void read(const Json& json, const Place& place) {
    if (!json.is_object()) place.fail("expected an object, got " + show(json));
    if (!json.contains("type")) place.fail("expected a \"type\", got none");
    read_value(json.at("type"), place / "type", type);
    options = ComponentTraits<Seam>::table().find(type, place).resolve(json, place);
  }

  Json dump() const {
    Json object = {{"type", type}};
    object.update(options);
    return object;
  }

  static Json schema() {
    Json choices = Json::array();
    for (const ComponentInfo* info : ComponentTraits<Seam>::table().infos()) {
      Json choice = info->schema();
      Json properties = {{"type", {{"const", info->name}, {"description", info->help}}}};
      properties.update(choice["properties"]);
      choice["properties"] = std::move(properties);
      choice["required"] = Json::array({"type"});
      choices.push_back(std::move(choice));
    }
    return {{"oneOf", std::move(choices)}};
  }
};

}  // namespace clr
