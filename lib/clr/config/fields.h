// SPDX-License-Identifier: Apache-2.0
// One field list a struct: `static void fields(auto&& f) { f("p", &Options::p, In{0, 1}, "help");
// }` serves reading, range checks, unknown keys, dumping, the JSON Schema and docs/config.md.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "clr/config/json.h"

namespace clr {

/// A closed range.
struct In {
  double low;
  double high;
  bool admits(double x) const { return x >= low && x <= high; }
  std::string str() const { return fmt::format("in [{}, {}]", low, high); }
};

/// Greater than `low`.
struct Above {
  double low;
  bool admits(double x) const { return x > low; }
  std::string str() const { return fmt::format("above {}", low); }
};

/// `low` or more.
struct AtLeast {
  double low;
  bool admits(double x) const { return x >= low; }
  std::string str() const { return fmt::format("at least {}", low); }
};

struct AnyValue {
  bool admits(double) const { return true; }
  std::string str() const { return ""; }
};

/// "auto", or a value.
template <class T>
struct AutoOr {
  bool automatic = true;
  T value{};
};

template <class T>
concept HasFields = requires {
  T::fields([](auto&&...) {});
};

/// Has `enum_names(T)` -> array of names, in the order of the values 0, 1, ...
template <class T>
concept NamedEnum = std::is_enum_v<T> && requires(T value) {
  enum_names(value);
};

/// A polymorphic part of a configuration; see config/registry.h.
template <class Seam>
struct Component;
template <class T>
inline constexpr bool kIsComponent = false;
template <class Seam>
inline constexpr bool kIsComponent<Component<Seam>> = true;

template <NamedEnum E>
std::vector<std::string> enum_strings() {
  const auto names = enum_names(E{});
  return {names.begin(), names.end()};
}

template <NamedEnum E>
std::string to_string(E value) {
  return enum_names(value)[static_cast<std::size_t>(value)];
}

template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;
template <class T>
inline constexpr bool kIsArray = false;
template <class T, std::size_t N>
inline constexpr bool kIsArray<std::array<T, N>> = true;
template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;
template <class T>
inline constexpr bool kIsAutoOr = false;
template <class T>
inline constexpr bool kIsAutoOr<AutoOr<T>> = true;

// ---------------------------------------------------------------------------------------- reading

template <class T, class Constraint = AnyValue>
void read_value(const Json& json, const Place& place, T& value, const Constraint& constraint = {});

/// Reads an object into a struct: absent keys keep the struct's defaults; unknown keys are errors.
///
/// `ignored` names keys that somebody else reads from the same object ("type", say).
template <HasFields T>
void read_fields(const Json& json, const Place& place, T& object,
                 const std::vector<std::string>& ignored = {}) {
  if (!json.is_object()) place.fail("expected an object, got " + show(json));
  std::vector<std::string> known = ignored;
  T::fields([&](const char* key, auto member, const auto&... rest) {
    known.emplace_back(key);
    const auto found = json.find(key);
    if (found == json.end()) return;
    if constexpr (sizeof...(rest) == 2) {
      const auto& [constraint, help] = std::tie(rest...);
      read_value(*found, place / key, object.*member, constraint);
    } else {
      read_value(*found, place / key, object.*member);
    }
  });
  for (const auto& [key, value] : json.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      (place / key).fail("unknown key" + did_you_mean(key, known));
    }
  }
}

template <class T, class Constraint>
void read_value(const Json& json, const Place& place, T& value, const Constraint& constraint) {
  const auto wanted = [&](const char* what) {
    const std::string range = constraint.str();
    place.fail(
        fmt::format("expected {}{}{}, got {}", what, range.empty() ? "" : " ", range, show(json)));
  };
  if constexpr (std::same_as<T, bool>) {
    if (!json.is_boolean()) wanted("true or false");
    value = json.template get<bool>();
  } else if constexpr (std::same_as<T, std::int64_t>) {
    // 3.0 is no integer here, and 2^63 and more would wrap around.
    if (!json.is_number_integer() ||
        (json.is_number_unsigned() &&
         json.template get<std::uint64_t>() >
             std::uint64_t{std::numeric_limits<std::int64_t>::max()})) {
      wanted("an integer");
    }
    value = json.template get<std::int64_t>();
    if (!constraint.admits(static_cast<double>(value))) wanted("an integer");
  } else if constexpr (std::same_as<T, double>) {
    if (!json.is_number()) wanted("a number");
    value = json.template get<double>();
    if (!std::isfinite(value) || !constraint.admits(value)) wanted("a number");
  } else if constexpr (std::same_as<T, std::string>) {
    if (!json.is_string()) wanted("a string");
    value = json.template get<std::string>();
  } else if constexpr (NamedEnum<T>) {
    const auto names = enum_strings<T>();
    std::string list;
    for (const auto& name : names) list += (list.empty() ? "\"" : ", \"") + name + "\"";
    if (!json.is_string()) place.fail(fmt::format("expected one of {}, got {}", list, show(json)));
    const auto text = json.template get<std::string>();
    const auto found = std::find(names.begin(), names.end(), text);
    if (found == names.end()) {
      place.fail(
          fmt::format("expected one of {}, got \"{}\"{}", list, text, did_you_mean(text, names)));
    }
    value = static_cast<T>(found - names.begin());
  } else if constexpr (kIsAutoOr<T>) {
    if (json.is_string() && json.template get<std::string>() == "auto") {
      value.automatic = true;
    } else {
      if (json.is_string()) wanted("\"auto\" or a number");
      value.automatic = false;
      read_value(json, place, value.value, constraint);
    }
  } else if constexpr (kIsVector<T>) {
    if (!json.is_array()) wanted("a list");
    value.assign(json.size(), typename T::value_type{});
    for (std::size_t i = 0; i < json.size(); ++i) {
      read_value(json[i], place / i, value[i], constraint);
    }
  } else if constexpr (kIsArray<T>) {
    if (!json.is_array() || json.size() != value.size()) {
      place.fail(fmt::format("expected a list of {}, got {}", value.size(), show(json)));
    }
    for (std::size_t i = 0; i < value.size(); ++i) {
      read_value(json[i], place / i, value[i], constraint);
    }
  } else if constexpr (kIsOptional<T>) {
    read_value(json, place, value.emplace(), constraint);
  } else if constexpr (kIsComponent<T>) {
    value.read(json, place);
  } else {
    static_assert(HasFields<T>, "no reader for this type");
    read_fields(json, place, value);
  }
}

// ---------------------------------------------------------------------------------------- dumping

template <class T>
Json dump_value(const T& value) {
  if constexpr (NamedEnum<T>) {
    return to_string(value);
  } else if constexpr (kIsAutoOr<T>) {
    return value.automatic ? Json("auto") : dump_value(value.value);
  } else if constexpr (kIsVector<T> || kIsArray<T>) {
    Json list = Json::array();
    for (const auto& item : value) list.push_back(dump_value(item));
    return list;
  } else if constexpr (kIsComponent<T>) {
    return value.dump();
  } else if constexpr (HasFields<T>) {
    Json object = Json::object();
    T::fields([&](const char* key, auto member, const auto&...) {
      // A section that is not there is not there afterwards either.
      if constexpr (kIsOptional<std::remove_cvref_t<decltype(value.*member)>>) {
        if (value.*member) object[key] = dump_value(*(value.*member));
      } else {
        object[key] = dump_value(value.*member);
      }
    });
    return object;
  } else {
    return Json(value);
  }
}

// ------------------------------------------------------------------------------ schema and docs

template <class T, class Constraint = AnyValue>
Json value_schema(const Constraint& constraint = {});

/// JSON Schema (draft 2020-12) of a struct, defaults included: its own, or those that a struct around it
/// gives it.
template <HasFields T>
Json fields_schema(const T& defaults = T{}) {
  Json properties = Json::object();
  T::fields([&](const char* key, auto member, const auto&... rest) {
    using Value = std::remove_cvref_t<decltype(defaults.*member)>;
    Json property;
    if constexpr (HasFields<Value> && !kIsComponent<Value>) {
      property = fields_schema(defaults.*member);
    } else if constexpr (sizeof...(rest) == 2) {
      property = value_schema<Value>(std::get<0>(std::tie(rest...)));
    } else {
      property = value_schema<Value>();
    }
    property["description"] = std::get<sizeof...(rest) - 1>(std::tie(rest...));
    if constexpr (!HasFields<Value> && !kIsComponent<Value> && !kIsOptional<Value>) {
      property["default"] = dump_value(defaults.*member);
    }
    properties[key] = std::move(property);
  });
  return {
      {"type", "object"}, {"additionalProperties", false}, {"properties", std::move(properties)}};
}

template <class Constraint>
void constrain_schema(Json& schema, const Constraint& constraint) {
  if constexpr (std::same_as<Constraint, In>) {
    schema["minimum"] = constraint.low;
    schema["maximum"] = constraint.high;
  } else if constexpr (std::same_as<Constraint, Above>) {
    schema["exclusiveMinimum"] = constraint.low;
  } else if constexpr (std::same_as<Constraint, AtLeast>) {
    schema["minimum"] = constraint.low;
  }
}

template <class T, class Constraint>
Json value_schema(const Constraint& constraint) {
  Json schema;
  if constexpr (std::same_as<T, bool>) {
    schema["type"] = "boolean";
  } else if constexpr (std::same_as<T, std::int64_t>) {
    schema["type"] = "integer";
    constrain_schema(schema, constraint);
  } else if constexpr (std::same_as<T, double>) {
    schema["type"] = "number";
    constrain_schema(schema, constraint);
  } else if constexpr (std::same_as<T, std::string>) {
    schema["type"] = "string";
  } else if constexpr (NamedEnum<T>) {
    schema["enum"] = enum_strings<T>();
  } else if constexpr (kIsAutoOr<T>) {
    const decltype(T::value) value{};
    schema["anyOf"] = Json::array(
        {Json{{"const", "auto"}}, value_schema<std::remove_cvref_t<decltype(value)>>(constraint)});
  } else if constexpr (kIsVector<T>) {
    schema["type"] = "array";
    schema["items"] = value_schema<typename T::value_type>(constraint);
  } else if constexpr (kIsArray<T>) {
    schema["type"] = "array";
    schema["items"] = value_schema<typename T::value_type>(constraint);
    schema["minItems"] = schema["maxItems"] = std::tuple_size_v<T>;
  } else if constexpr (kIsComponent<T>) {
    schema = T::schema();
  } else if constexpr (kIsOptional<T>) {
    schema = value_schema<typename T::value_type>(constraint);
  } else {
    schema = fields_schema<T>();
  }
  return schema;
}

}  // namespace clr
