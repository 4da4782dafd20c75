// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <sstream>
#include <utility>

#include "clr/config/load.h"
#include "clr/core/device.h"
#include "clr/core/log.h"
#include "clr/core/memory.h"
#include "clr/core/stop.h"
#include "clr/io/file.h"
#include "clr/train/hugging_face_folder.h"
#include "clr/train/memory_estimate.h"
#include "clr/train/model_source.h"
#include "clr/train/run_config.h"
#include "clr/train/run_folder.h"
#include "clr/train/run_plan.h"
#include "clr/train/run_records.h"
#include "clr/train/run_setup.h"
#include "clr/train/trainer.h"
#include "clr/train/training_state.h"
#include "command.h"
#include "processes.h"
#include "resumed_config.h"
#include "run_trial.h"
#include "view_sheet.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

struct PretrainOptions {
  std::string config;
  std::string data;
  std::string init;
  std::string out;
  std::vector<std::string> sets;
  std::int64_t seed = -1;
  bool resume = false;
  bool dry_run = false;
  bool trial = true;
  bool json = false;
  ComputeOptions compute;
  ProcessOptions processes;
};

/// The epoch with the best kNN check, from 0, and its accuracy.
std::optional<std::pair<std::int64_t, double>> best_knn(const fs::path& run) {
  std::optional<std::pair<std::int64_t, double>> best;
  for (const Json& row : read_epoch_rows(run)) {
    const double top1 = row.value("knn_top1", -1.0);
    if (top1 > (best ? best->second : -1.0)) best = {row.value("epoch", std::int64_t{0}), top1};
  }
  return best;
}

/// Runs `step`; faults that show only where configuration, method and data meet begin with their
/// key's pointer, and get the file in front that set it.
template <class Step>
auto with_source(const ConfigDocument& document, Step&& step) {
  try {
    return step();
  } catch (const Error& error) {
    const std::string text = error.what();
    if (error.kind() != ErrorKind::config || !text.starts_with("/")) throw;
    const auto colon = text.find(": ");
    Place place = document.place();
    std::istringstream keys(text.substr(1, colon - 1));
    for (std::string key; std::getline(keys, key, '/');) place = place / key;
    place.fail(text.substr(colon + 2));
  }
}

/// What weights of texts to start from say of their encoder and texts: clr's own in their metadata, of
/// Hugging Face's the files beside them. Empty where there is nothing.
Json said_of(const fs::path& file, const SafeTensors& weights) {
  if (const auto own = weights.metadata.find(kConfigKey); own != weights.metadata.end())
    return Json::parse(own->second);
  std::error_code ignored;
  if (!fs::exists(file.parent_path() / "config.json", ignored) ||
      !fs::exists(file.parent_path() / "vocab.txt", ignored)) {
    return Json::object();
  }
  const HuggingFaceFolder beside = read_hugging_face_folder(file.parent_path());
  return {{"encoder", beside.encoder}, {"text", beside.text}, {"vocabulary", beside.vocabulary}};
}

/// Weights to start from go with the pieces that they were trained on, and with what leaves no trace in
/// their shapes.
void require_same_text_model(const PretrainOptions& options, const RunConfig& config,
                             const fs::path& file, const SafeTensors& weights) {
  const Json said = said_of(file, weights);
  const TextConfig& text = *config.text;
  std::string pieces;
  if (const auto own = weights.metadata.find(kVocabularyKey); own != weights.metadata.end()) {
    pieces = own->second;
  } else if (said.contains("vocabulary")) {
    pieces = WordPiece::parse(said["vocabulary"].get<std::string>(), text.lowercase, options.init)
                 .text();
  }
  if (!pieces.empty() && pieces != text.pieces->text()) {
    throw Error(ErrorKind::config,
                fmt::format("/text/vocabulary: expected the pieces that {} was trained with, got "
                            "others in {}",
                            options.init, text.vocabulary));
  }
  const auto require_same = [&](const char* section, const char* key, const Json& own) {
    if (!said.contains(section) || !said[section].contains(key) || said[section][key] == own)
      return;
    throw Error(ErrorKind::config,
                fmt::format("/{}/{}: expected {}, as {} was trained with, got {}", section, key,
                            said[section][key].dump(), options.init, own.dump()));
  };
  require_same("text", "lowercase", text.lowercase);
  for (const char* key : {"heads", "norm_epsilon"}) {
    if (config.encoder.options.contains(key))
      require_same("encoder", key, config.encoder.options[key]);
  }
  const Json encoder = said.value("encoder", Json::object());
  const bool causal = config.encoder.options.value("causal", false);
  if (encoder.value("causal", causal) != causal) {
    log_warning("{}: trained with encoder.causal = {}, here it is {}", options.init, !causal,
                causal);
  }
}

RunConfig read_config(ConfigDocument& document, const PretrainOptions& options,
                      const c10::Device& device, World& world) {
  for (const std::string& set : options.sets) document.set(set);
  if (options.seed >= 0) document.set("train.seed=" + std::to_string(options.seed));
  RunConfig config = read_run_config(document);
  if (follow_resumed_config(world, options.resume, options.out, dump_value(config), document,
                            options.config)) {
    config = read_run_config(document);
  }
  return resolve_automatic(config, device, world.local_size());
}

Json describe(const RunConfig& config, const Dataset& dataset, const PretrainOptions& options,
              const World& world) {
  const std::int64_t per_epoch = steps_per_epoch(config, dataset.size(), world.size());
  const OptimizerOptions shared = shared_options(config.optimizer);
  return {{"config", options.config},
          {"data", options.data},
          {"out", options.out},
          {config.text ? "texts" : "images", dataset.size()},
          {"classes", dataset.classes().size()},
          {"epochs", config.train.epochs},
          {"steps_per_epoch", per_epoch},
          {"steps", per_epoch * config.train.epochs},
          {"learning_rate", shared.learning_rate},
          {"effective_learning_rate", effective_learning_rate(shared, config.train.batch_size)},
          {"precision", to_string(config.train.precision)},
          {"memory_format", to_string(config.train.memory_format)},
          {"compute_threads", config.train.compute_threads},
          {"processes", world.size()}};
}

void print_plan(const Json& plan, const RunConfig& config) {
  const TrainConfig& train = config.train;
  log_info("{} on {} (batch {}{})", config.method.type, config.encoder.type, train.batch_size,
           train.micro_batch > 0 ? fmt::format(", {} at once", train.micro_batch) : "");
  const auto classes = plan["classes"].get<std::int64_t>();
  const char* items = config.text ? "texts" : "images";
  std::vector<std::pair<std::string, std::string>> rows = {
      {items, format_count(plan[items].get<std::int64_t>()) +
                  (classes > 0 ? fmt::format(" in {} classes", classes) : ", unlabelled")},
      {"steps", fmt::format("{} ({} of {})", format_count(plan["steps"].get<std::int64_t>()),
                            plural(plan["epochs"].get<std::int64_t>(), "epoch"),
                            plan["steps_per_epoch"].get<std::int64_t>())},
      {"effective learning rate",
       fmt::format("{:.6g}", plan["effective_learning_rate"].get<double>())},
      {"precision",
       plan["precision"].get<std::string>() + ", " + plan["memory_format"].get<std::string>()},
      {"device", plan["device"].get<std::string>()}};
  if (const int processes = plan["processes"].get<int>(); processes > 1)
    rows.push_back({"processes", fmt::format("{}, each with {} thread{}", processes,
                                             config.train.compute_threads,
                                             config.train.compute_threads == 1 ? "" : "s")});
  if (plan.contains("parameters")) {
    rows.push_back(
        {"parameters",
         fmt::format("{} (encoder {})", format_count(plan["parameters"].get<std::int64_t>()),
                     format_count(plan["encoder_parameters"].get<std::int64_t>()))});
    const double cache = plan["estimated_cache_bytes"].get<double>();
    if (!config.text) {
      rows.push_back({"cached images", cache == 0 ? "none"
                                                  : fmt::format("{}, {} once all are read",
                                                                plan["cache"].get<std::string>(),
                                                                format_bytes(cache))});
    }
    rows.push_back(
        {"estimated peak memory", format_bytes(plan["estimated_peak_memory_bytes"].get<double>())});
  }
  if (plan.contains("largest_batch")) {
    rows.push_back({"largest batch that fits",
                    "about " + format_count(plan["largest_batch"].get<std::int64_t>())});
  }
  if (plan.contains("trial")) {
    const Json& trial = plan["trial"];
    rows.push_back({"speed", fmt::format("{0:.0f} {3}/s in a trial of {1} steps of {2} {3}",
                                         trial["images_per_s"].get<double>(),
                                         trial["steps"].get<std::int64_t>(),
                                         trial["batch_size"].get<std::int64_t>(), items)});
    rows.push_back({"an epoch", format_duration(plan["epoch_seconds"].get<double>())});
    rows.push_back({"the run", format_duration(plan["run_seconds"].get<double>()) +
                                   ", checks and checkpoints not counted"});
    rows.push_back({"limit", trial["limit"].get<std::string>()});
  }
  rows.push_back({"output", plan["out"].get<std::string>()});
  print_facts(rows);
}

/// Speed by a few steps; what an epoch and the whole run will take.
void add_trial(Json& plan, const RunConfig& config, const std::shared_ptr<const Dataset>& dataset,
               const c10::Device& device, const PretrainOptions& options) {
  RunTrial trial;
  try {
    trial = try_run(config, dataset, device, options.compute.loader_threads(device.is_cuda()));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::diverged) throw;
    // Its folder is gone already.
    const std::string text = error.what();
    log_warning("a trial of some steps: {}", text.substr(text.find(": ") + 2));
    return;
  }
  const double epoch =
      static_cast<double>(plan["steps_per_epoch"].get<std::int64_t>() * config.train.batch_size) /
      trial.images_per_s;
  plan["trial"] = {{"batch_size", trial.batch_size},
                   {"steps", trial.steps},
                   {"images_per_s", trial.images_per_s},
                   {"data_wait", trial.data_wait},
                   {"loader_images_per_s", trial.loader_images_per_s},
                   {"network_images_per_s", trial.network_images_per_s},
                   {"limit", trial.limit()}};
  plan["epoch_seconds"] = epoch;
  plan["run_seconds"] = epoch * static_cast<double>(config.train.epochs);
}

void run(PretrainOptions options) {
  if (options.resume && options.out.empty()) {
    throw Error(ErrorKind::usage, "--resume: expected --out with the run to resume, got none");
  }
  if (options.dry_run) require_one_process("clr pretrain --dry-run");
  const std::shared_ptr<World> world = join_processes(
      options.processes, "pretrain",
      {{"--resume", options.resume}, {"--init", options.init.empty() ? "none" : "weights"}});
  if (world->leads() && !options.out.empty() && !options.resume && holds_run(options.out)) {
    throw Error(
        ErrorKind::usage,
        options.out +
            ": already holds a run; add --resume to go on with it, or choose another --out");
  }
  const c10::Device device = resolve_device(options.compute.device, world->local_rank());
  world->use_device(device);
  ConfigDocument document = load_config(options.config, "pretrain");
  const RunConfig config =
      with_source(document, [&] { return read_config(document, options, device, *world); });
  const std::shared_ptr<const Dataset> dataset = open_dataset(options.data, config.data);
  if (options.out.empty())
    options.out = world->broadcast("runs/pretrain-" + config.method.type + "-" + time_stamp());
  Json plan = with_source(document, [&] {
    require_kind(*dataset, config.text.has_value());
    return describe(config, *dataset, options, *world);
  });
  plan["device"] = device_description(device);
  apply_compute_settings(config.train.compute_threads, config.train.deterministic);

  if (options.dry_run) {
    try_output_folder(options.out);
    const MemoryEstimate estimate =
        with_source(document, [&] { return estimate_memory(config, dataset, device); });
    plan["parameters"] = estimate.parameters;
    plan["encoder_parameters"] = estimate.encoder_parameters;
    plan["estimated_peak_memory_bytes"] = estimate.peak_bytes;
    plan["cache"] = to_string(estimate.cache.mode);
    plan["estimated_cache_bytes"] = estimate.cache.held_bytes();
    if (device.is_cpu() && config.train.micro_batch == 0)
      plan["largest_batch"] = largest_batch(estimate, config.train.batch_size);
    const bool fits = estimate.peak_bytes <= estimate.available_bytes;
    if (options.trial && fits) add_trial(plan, config, dataset, device, options);
    const auto advice = config.text ? std::nullopt : small_set_advice(config, dataset->size());
    if (advice) {
      plan["small_set"] = {{"batch_size", advice->batch_size},
                           {"epochs", advice->epochs},
                           {"temperature", advice->temperature},
                           {"reasons", advice->reasons}};
    }
    print_plan(plan, config);
    if (advice) {
      log_info("for so few images:");
      for (const std::string& reason : advice->reasons) log_info("  {}", reason);
    }
    if (!fits) {
      log_warning(
          "the machine has {} to give; lower train.batch_size or set train.micro_batch; no steps "
          "were trained to see how fast it is",
          format_bytes(estimate.available_bytes));
    }
    if (options.json) print_json(plan);
    return;
  }

  if (world->leads()) try_output_folder(options.out);
  TrainerOptions trainer_options;
  trainer_options.world = world;
  trainer_options.out = options.out;
  trainer_options.device = device;
  trainer_options.loader_threads =
      options.compute.loader_threads(device.is_cuda(), world->local_size());
  if (!options.init.empty()) {
    const fs::path file = model_file(options.init);
    Weights weights = read_weights(file);
    if (!weights.note.empty()) log_info("{}", weights.note);
    if (config.text) require_same_text_model(options, config, file, weights.content);
    const std::string stem = config.encoder.options.value("stem", "");
    if (weights.padded_stem && stem == "cifar") {
      log_warning(
          "{}: its 3x3 stem pads by 2, this run's by 1; encoder.stem = cifar_padded is its "
          "own",
          options.init);
    }
    trainer_options.init = std::move(weights.content);
  }
  trainer_options.init_name = options.init;
  trainer_options.resume = options.resume;
  catch_stop_signals();
  Trainer trainer =
      with_source(document, [&] { return Trainer(config, dataset, trainer_options); });
  const fs::path result_path = fs::path(options.out) / "result.json";
  std::error_code ignored;
  const bool nothing_left =
      world->broadcast(trainer.finished() && fs::exists(result_path, ignored) ? "y" : "n") == "y";
  if (!world->leads()) {
    if (!nothing_left) trainer.run();
    return;
  }
  if (nothing_left) {
    log_info("{}: already finished", options.out);
    if (options.json)
      print_json(parse_json(read_file(result_path, ErrorKind::checkpoint), result_path.string()));
    return;
  }
  // Not before: another process may be at work there.
  add_log_file(fs::path(options.out) / "log.txt");
  write_file_durably(fs::path(options.out) / "config.json",
                     dump_text(dump_value(config), 2) + "\n");
  print_plan(plan, config);
  if (trainer.at_start() && !config.text) {
    if (const auto sheet = draw_view_sheet(config, dataset)) {
      write_file_durably(fs::path(options.out) / "views.png", sheet->png);
      trainer.show("views", sheet->png, sheet->width, sheet->height);
    }
  }
  const TrainResult result = trainer.run();

  Json json = {{"run", options.out},
               {"epochs", result.epochs},
               {"steps", result.steps},
               {"loss", result.loss},
               {"images_per_s", result.images_per_s},
               {"data_wait", result.data_wait},
               {"seconds", result.seconds},
               {"peak_memory_bytes", peak_resident_memory()},
               {"bad_images", result.bad_images},
               {"data", options.data},
               {config.text ? "texts" : "images", dataset->size()},
               {"device", plan["device"]},
               {"processes", world->size()},
               {"checkpoint", result.checkpoint.string()}};
  if (!options.init.empty()) json["init"] = options.init;
  const auto best = best_knn(options.out);
  if (result.knn_top1) json["knn_top1"] = *result.knn_top1;
  if (best) json["best_knn"] = {{"epoch", best->first}, {"top1", best->second}};
  for (const auto& [name, value] : result.health) json[name] = value;
  write_file_durably(result_path, dump_text(json, 2) + "\n");

  log_info("done in {}", format_duration(result.seconds));
  std::vector<std::pair<std::string, std::string>> rows = {
      {"loss of the last epoch", fmt::format("{:.4f}", result.loss)},
      {config.text ? "texts/s" : "images/s",
       fmt::format("{:.0f} (waiting for data {:.0f} %)", result.images_per_s,
                   100 * result.data_wait)},
      {"peak memory", format_bytes(static_cast<double>(peak_resident_memory()))}};
  if (result.knn_top1 && best) {
    rows.push_back({config.text ? "kNN on training texts" : "kNN on training images",
                    fmt::format("{} (best: {} after epoch {})", percent(*result.knn_top1),
                                percent(best->second), best->first + 1)});
  }
  if (result.bad_images > 0) {
    rows.push_back({config.text ? "unreadable texts" : "unreadable images",
                    fmt::format("{} (bad_images.tsv)", result.bad_images)});
  }
  rows.push_back({"checkpoint", result.checkpoint.string()});
  print_facts(rows);
  if (dataset->labelled()) {
    log_info("next: clr linear-eval --checkpoint {} --train {} --test TEST_FOLDER", options.out,
             options.data);
  } else {
    log_info("next: clr embed --checkpoint {} --data {} --output features.npy", options.out,
             options.data);
  }
  if (options.json) print_json(json);
}

}  // namespace

void add_pretrain_command(CLI::App& program, Action& action) {
  auto options = std::make_shared<PretrainOptions>();
  CLI::App* command =
      program.add_subcommand("pretrain", "train an encoder on images or texts without labels");
  command->add_option("--config", options->config, "configuration file or preset")->required();
  command->add_option("--data", options->data, kDataHelp)->required();
  command->add_option(
      "--init", options->init,
      "weights to start from: a run, or a .safetensors file of clr's, torchvision's, "
      "timm's, MoCo's and others', or a folder with a BERT of Hugging Face's");
  command->add_option("--out", options->out,
                      "folder of the run (default: runs/pretrain-METHOD-TIME)");
  command->add_option("--set", options->sets, "key.path=value over the configuration, repeatable")
      ->allow_extra_args(false);
  command->add_option("--seed", options->seed, "train.seed")->check(CLI::NonNegativeNumber);
  command->add_flag("--resume", options->resume, "go on with the run in --out");
  command->add_flag("--dry-run", options->dry_run,
                    "resolve and check everything, print the plan, stop");
  command->add_flag_callback(
      "--no-trial", [options] { options->trial = false; },
      "with --dry-run: do not measure the speed by a few steps");
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  options->compute.add_to(*command);
  options->processes.add_to(*command);
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
