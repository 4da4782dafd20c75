// SPDX-License-Identifier: Apache-2.0
#include "clr/train/config_schema.h"

#include "clr/train/trained_eval_config.h"

namespace clr {
namespace {

std::string type_text(const Json& schema) {
  if (schema.contains("enum")) {
    std::string text;
    for (const auto& value : schema["enum"])
      text += (text.empty() ? "`" : ", `") + value.get<std::string>() + "`";
    return text;
  }
  if (schema.contains("anyOf")) return "`auto` or " + type_text(schema["anyOf"][1]);
  if (schema.contains("oneOf")) return "one of the types below";
  const auto type = schema.value("type", "");
  if (type == "array") {
    const auto items = type_text(schema["items"]);
    if (schema.contains("minItems"))
      return fmt::format("list of {} × {}", schema["minItems"].get<int>(), items);
    return "list of " + items;
  }
  std::string range;
  const auto number = [](const Json& value) { return fmt::format("{}", value.get<double>()); };
  if (schema.contains("minimum") && schema.contains("maximum")) {
    range = fmt::format(" in [{}, {}]", number(schema["minimum"]), number(schema["maximum"]));
  } else if (schema.contains("minimum")) {
    range = " ≥ " + number(schema["minimum"]);
  } else if (schema.contains("exclusiveMinimum")) {
    range = " > " + number(schema["exclusiveMinimum"]);
  }
  return type + range;
}

/// A row a key. `inside`: keys of nested structs too, as `struct.key`.
void write_rows(std::string& text, const Json& properties, const std::string& prefix, bool inside) {
  for (const auto& [key, schema] : properties.items()) {
    if (key == "type" && schema.contains("const")) continue;
    text +=
        fmt::format("| `{}` | {} | {} | {} |\n", prefix + key, type_text(schema),
                    schema.contains("default") ? fmt::format("`{}`", schema["default"].dump()) : "",
                    schema.value("description", ""));
    if (inside && schema.contains("properties"))
      write_rows(text, schema["properties"], prefix + key + ".", inside);
  }
}

void write_table(std::string& text, const Json& properties, bool inside) {
  text += "\n| key | value | default | meaning |\n|---|---|---|---|\n";
  write_rows(text, properties, "", inside);
}

/// A section, and below it the types or structs that it nests.
void write_section(std::string& text, const std::string& title, const Json& schema, int level) {
  const std::string hashes(static_cast<std::size_t>(level), '#');
  text += fmt::format("\n{} {}\n\n{}.\n", hashes, title, schema.value("description", ""));
  if (schema.contains("oneOf")) {
    for (const Json& choice : schema["oneOf"]) {
      const Json& type = choice["properties"]["type"];
      text += fmt::format("\n{}# `\"type\": \"{}\"`\n\n{}.\n", hashes,
                          type["const"].get<std::string>(), type.value("description", ""));
      if (choice["properties"].size() > 1) write_table(text, choice["properties"], /*inside=*/true);
    }
    return;
  }
  write_table(text, schema["properties"], /*inside=*/false);
  for (const auto& [key, property] : schema["properties"].items()) {
    const Json* nested = &property;
    while (nested->contains("items")) nested = &(*nested)["items"];
    if (!nested->contains("properties") && !nested->contains("oneOf")) continue;
    Json described = *nested;
    described["description"] = property.value("description", "");
    write_section(text, fmt::format("{} › `{}`", title, key), described, level + 1);
  }
}

}  // namespace

Json config_schema() {
  Json run = fields_schema<RunConfig>();
  Json evaluation = fields_schema<EvalConfig>();
  evaluation["properties"].update(fields_schema<FinetuneConfig>()["properties"]);
  Json properties = {{"$schema", {{"type", "string"}, {"description", "this file, for editors"}}},
                     {"extends",
                      {{"type", "string"},
                       {"description", "a file that this one is merged over, relative to it"}}}};
  properties.update(run["properties"]);
  for (const auto& [key, schema] : evaluation["properties"].items()) {
    if (!properties.contains(key)) properties[key] = schema;
  }
  return {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
          {"title", "clr configuration"},
          {"type", "object"},
          {"additionalProperties", false},
          {"properties", std::move(properties)}};
}

std::string config_markdown() {
  std::string text =
      "# Configuration\n\n"
      "Made by `clr config --markdown` from the program's own field lists; a test keeps it "
      "equal.\n\n"
      "A configuration is a JSON file. `extends` names a file that it is merged over (objects "
      "merge, all else\n"
      "replaces), `--set key.path=value` comes on top, and an absent key has the default below. "
      "Unknown keys are\n"
      "errors. `clr config --check FILE` checks a file, `--dump FILE` shows it resolved, `--list` "
      "names the presets.\n\n"
      "# Training runs (`clr pretrain`)\n";
  const auto write_all = [&text](const Json& schema) {
    for (const auto& [key, section] : schema["properties"].items()) {
      write_section(text, "`" + key + "`", section, 2);
    }
  };
  write_all(fields_schema<RunConfig>());
  text +=
      "\n# Evaluations (`clr linear-eval`, `clr embed`, `clr predict`)\n\n"
      "`encoder`, `augment` and `data` are as above.\n";
  Json evaluation = fields_schema<EvalConfig>();
  for (const char* shared : {"encoder", "augment", "data"}) evaluation["properties"].erase(shared);
  write_all(evaluation);
  text +=
      "\n# Evaluations that train (`clr finetune`, `clr linear-eval --protocol sgd`)\n\n"
      "`encoder`, `augment`, `data`, `probe` and `knn` are as above (the last two are "
      "linear-eval's "
      "alone),\n"
      "`optimizer`, `schedule` and `train` as for training runs. What a file leaves out is taken "
      "from "
      "the presets\n"
      "`finetune` and `linear_eval_sgd`, which hold SimCLR's recipes, not from the defaults "
      "above.\n\n"
      "`train_augment` has the form of `augment`: the views that are trained on. Default: "
      "`random_resized_crop`\n"
      "to the size of the evaluation transform, `horizontal_flip`, and its `normalize`.\n";
  Json finetune = fields_schema<FinetuneConfig>();
  write_section(text, "`finetune`", finetune["properties"]["finetune"], 2);
  return text;
}

}  // namespace clr
