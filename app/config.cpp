// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "clr/config/load.h"
#include "clr/core/log.h"
#include "clr/train/config_schema.h"
#include "clr/train/trained_eval_config.h"
#include "command.h"

namespace clr {
namespace {

struct ConfigOptions {
  std::string check;
  std::string dump;
  bool schema = false;
  bool markdown = false;
  bool list = false;
  bool json = false;
  std::vector<std::string> sets;
};

/// The file resolved and read strictly, as the command it is for would do.
Json resolve(const std::string& file, const std::vector<std::string>& sets) {
  ConfigDocument document = load_config(file, "pretrain");
  const EvalKind kind = eval_kind(document);
  const bool run = is_run_config(document);
  if (!run && kind == EvalKind::finetune) document = over_recipe(kFinetuneRecipe, document);
  if (!run && kind == EvalKind::linear_sgd) document = over_recipe(kLinearSgdRecipe, document);
  for (const std::string& set : sets) document.set(set);
  if (run) return dump_value(read_run_config(document));
  Json json;
  switch (kind) {
    case EvalKind::features:
      json = dump_value(read_eval_config(document));
      break;
    case EvalKind::linear_sgd:
      json = dump_value(read_linear_sgd_config(document));
      break;
    case EvalKind::finetune:
      json = dump_value(read_finetune_config(document));
      break;
  }
  // What a checkpoint would say is no part of the file.
  if (json["encoder"]["type"] == "") json.erase("encoder");
  for (const char* key : {"augment", "train_augment"}) {
    if (json.contains(key) && json[key]["views"].empty()) json.erase(key);
  }
  return json;
}

void run(const ConfigOptions& options) {
  if (options.schema) {
    std::cout << config_schema().dump(2) << std::endl;
  } else if (options.markdown) {
    std::cout << config_markdown() << std::flush;
  } else if (options.list) {
    const auto presets = list_presets();
    if (options.json) {
      Json list = Json::array();
      for (const Preset& preset : presets) {
        list.push_back(
            {{"command", preset.command}, {"name", preset.name}, {"path", preset.path.string()}});
      }
      print_json({{"presets", std::move(list)}});
      return;
    }
    if (presets.empty()) {
      throw Error(ErrorKind::config,
                  "no presets found; set CLR_CONFIGS to the folder that holds pretrain/");
    }
    for (const Preset& preset : presets) {
      std::cout << fmt::format("{:<12} {:<32} {}\n", preset.command, preset.name,
                               preset.path.string());
    }
  } else if (!options.dump.empty()) {
    std::cout << dump_text(resolve(options.dump, options.sets), 2) << std::endl;
  } else {
    resolve(options.check, options.sets);
    if (options.json) {
      print_json({{"file", options.check}, {"good", true}});
    } else {
      log_info("{}: good", options.check);
    }
  }
}

}  // namespace

void add_config_command(CLI::App& program, Action& action) {
  auto options = std::make_shared<ConfigOptions>();
  CLI::App* command = program.add_subcommand("config", "check, show and list configurations");
  auto* one = command->add_option_group("one of");
  one->add_option("--check", options->check, "check a file or preset");
  one->add_option("--dump", options->dump,
                  "print a file or preset resolved: extends and --set applied");
  one->add_flag("--schema", options->schema, "print the JSON Schema of all configurations");
  one->add_flag("--markdown", options->markdown, "print docs/config.md");
  one->add_flag("--list", options->list, "list the presets");
  one->require_option(1);
  command->add_option("--set", options->sets, "key.path=value over the configuration, repeatable")
      ->allow_extra_args(false);
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
