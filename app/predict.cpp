// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>

#include "clr/core/log.h"
#include "clr/data/text_dataset.h"
#include "clr/train/run_folder.h"
#include "evaluation_result.h"
#include "feature_extraction.h"
#include "head_file.h"
#include "processes.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

struct PredictOptions {
  std::string checkpoint;
  std::string data;
  std::string output;
  std::string config;
  std::vector<std::string> sets;
  bool json = false;
  ComputeOptions compute;
  ProcessOptions processes;
};

EvalConfig read_config(const PredictOptions& options, const HeadFile& head) {
  ConfigDocument document;
  document.merge(dump_value(head.config), options.checkpoint);
  if (!options.config.empty()) {
    document.merge(load_config(options.config, "linear_eval").value, options.config);
  }
  for (const std::string& set : options.sets) document.set(set);
  return read_eval_config(document);
}

/// Labels in the classifier's numbering; undefined where the images have none, or a class that the
/// classifier does not know.
torch::Tensor known_labels(const Dataset& dataset, const Features& features,
                           const std::vector<std::string>& classes) {
  if (!dataset.labelled()) return {};
  std::vector<std::int64_t> numbers;
  for (const std::string& name : dataset.classes()) {
    const auto found = std::find(classes.begin(), classes.end(), name);
    if (found == classes.end()) {
      log_info("class {} is none of the classifier's: no accuracy", name);
      return {};
    }
    numbers.push_back(found - classes.begin());
  }
  return torch::tensor(numbers, torch::kInt64).index_select(0, features.labels);
}

void run(const PredictOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const fs::path output = options.output;
  if (output.extension() != ".csv") {
    throw Error(ErrorKind::usage,
                "--output " + options.output + ": expected a name that ends in .csv");
  }
  FeatureOptions features_wanted;
  features_wanted.compute = options.compute;
  features_wanted.world = join_processes(options.processes, "predict");
  const bool leads = features_wanted.world->leads();
  const HeadFile head = read_head(options.checkpoint);
  const EvalConfig config = read_config(options, head);
  if (leads) prepare_output_file(output);
  features_wanted.layer = head.layer;
  const FeatureExtractor extractor(open_model(head.checkpoint.string(), nullptr), config,
                                   features_wanted);
  if (extractor.encoder_sha256() != head.encoder_sha256) {
    throw Error(ErrorKind::checkpoint,
                fmt::format("{}: expected the encoder that {} was fitted on, got another; evaluate "
                            "the run again",
                            head.checkpoint.string(), options.checkpoint));
  }
  const std::shared_ptr<const Dataset> dataset = open_dataset(options.data, config.data);
  const Features features = extractor.extract(dataset, "predicting");
  if (!leads) return;
  if (features.values.size(1) != head.head.weight.size(1)) {
    throw Error(ErrorKind::checkpoint,
                fmt::format("{}: expected a classifier of {} features, got one of {}",
                            options.checkpoint, features.values.size(1), head.head.weight.size(1)));
  }
  const torch::Tensor probabilities = predict_probabilities(head.head, features.values);
  write_predictions(output, head.classes, *dataset, features, {}, probabilities);

  Json result = {{"output", options.output},
                 {"images", features.values.size(0)},
                 {"classes", head.classes.size()},
                 {"bad_images", features.bad.size()},
                 {"encoder_sha256", head.encoder_sha256}};
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  log_info("{} {}, {} classes, in {}: {}", format_count(features.values.size(0)),
           items_of(*dataset), head.classes.size(), format_duration(seconds), options.output);
  if (const torch::Tensor labels = known_labels(*dataset, features, head.classes);
      labels.defined()) {
    const Json found = accuracies(probabilities, labels, head.classes);
    const auto bounds = found["ci95"].get<std::array<double, 2>>();
    log_info("top-1 {}", percent_interval(found["top1"].get<double>(), bounds[0], bounds[1]));
    result.update(found);
  }
  result["seconds"] = seconds;
  if (options.json) print_json(result);
}

}  // namespace

void add_predict_command(CLI::App& program, Action& action) {
  auto options = std::make_shared<PredictOptions>();
  CLI::App* command =
      program.add_subcommand("predict", "classes and their probabilities for new images");
  command
      ->add_option("--checkpoint", options->checkpoint,
                   "folder of a linear-eval or finetune, or its seed_K")
      ->required();
  command->add_option("--data", options->data, kDataHelp)->required();
  command->add_option("--output", options->output, "FILE.csv")->required();
  command->add_option("--config", options->config,
                      "configuration file or preset of an evaluation, over the stored one");
  command->add_option("--set", options->sets, "key.path=value over the configuration, repeatable")
      ->allow_extra_args(false);
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  options->compute.add_to(*command);
  options->processes.add_to(*command);
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
