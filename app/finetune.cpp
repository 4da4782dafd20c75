// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "classifier_training.h"
#include "clr/core/device.h"
#include "clr/core/log.h"
#include "clr/core/stop.h"
#include "clr/data/text_dataset.h"
#include "clr/io/file.h"
#include "clr/train/run_folder.h"
#include "clr/train/run_setup.h"
#include "clr/train/trained_eval_config.h"
#include "evaluation_data.h"
#include "evaluation_result.h"
#include "feature_extraction.h"
#include "head_file.h"
#include "label_draws.h"
#include "processes.h"
#include "resumed_config.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

struct FinetuneCommand {
  std::string checkpoint;
  bool from_scratch = false;
  std::string config;
  std::vector<std::string> sets;
  EvaluationDataOptions data;
  std::int64_t seeds = 0;
  std::int64_t seed = -1;
  std::string out;
  bool resume = false;
  bool dry_run = false;
  bool json = false;
  ComputeOptions compute;
  ProcessOptions processes;

  /// --config names an architecture then, and no recipe.
  bool random() const { return from_scratch || checkpoint == "random"; }
};

FeatureLayer layer_of(ClassifierInput from) {
  switch (from) {
    case ClassifierInput::projector_1:
      return FeatureLayer::projector_1;
    case ClassifierInput::projector:
      return FeatureLayer::projection;
    case ClassifierInput::encoder:
      break;
  }
  return FeatureLayer::feature;
}

/// What training starts from, and what --config says of the recipe.
struct Start {
  ModelSource source;
  ConfigDocument given;
};

Start open_start(const FinetuneCommand& options) {
  Start start;
  if (!options.random()) {
    start.source = open_model(options.checkpoint, nullptr);
    if (!options.config.empty()) start.given = load_config(options.config, "finetune");
    return start;
  }
  if (options.config.empty()) {
    throw Error(ErrorKind::usage,
                "--from-scratch: expected a training --config that names the architecture, got "
                "none; or give --checkpoint random:RUN");
  }
  const ConfigDocument document = load_config(options.config, "pretrain");
  if (is_run_config(document)) {
    start.source = open_model("random", &document);
    return start;
  }
  // The stored configuration of such a run names the architecture too.
  const char* kind = document.value.contains("text") ? "text" : "augment";
  for (const char* key : {"encoder", kind}) {
    if (!document.value.contains(key)) {
      (document.place() / key).fail("expected one for --from-scratch, got none");
    }
  }
  start.source.name = "random";
  start.source.random = true;
  start.source.encoder = document.value["encoder"];
  (kind == std::string("text") ? start.source.text : start.source.augment) = document.value[kind];
  start.given = document;
  return start;
}

FinetuneConfig read_config(const FinetuneCommand& options, const Start& start, World& world) {
  ConfigDocument given;
  given.merge(evaluation_sections(start.source), start.source.name);
  if (!start.given.value.empty()) given.merge(start.given.value, options.config);
  ConfigDocument document = over_recipe(kFinetuneRecipe, given);
  for (const std::string& set : options.sets) document.set(set);
  if (options.seed >= 0) document.set("train.seed=" + std::to_string(options.seed));
  FinetuneConfig config = read_finetune_config(document);
  if (follow_resumed_config(world, options.resume, options.out, dump_value(config), document,
                            (fs::path(options.out) / "config.json").string())) {
    config = read_finetune_config(document);
  }
  return config;
}

class Finetuning {
 public:
  Finetuning(const FinetuneCommand& options, std::shared_ptr<World> world)
      : options_(options),
        world_(std::move(world)),
        device_(resolve_device(options.compute.device, world_->local_rank())) {
    world_->use_device(device_);
    Start start = open_start(options);
    config_ = read_config(options, start, *world_);
    source_ = std::move(start.source);
    if (config_.text) {
      take_vocabulary(source_, *config_.text);
      fit_to_texts(config_.encoder, *config_.text);
    }
    seed_ = static_cast<std::uint64_t>(config_.train.seed);
    const FinetuneOptions& finetune = config_.finetune;
    training_.run =
        resolve_automatic(classifier_run(config_, finetune, /*frozen=*/false, source_.projector),
                          device_, world_->local_size());
    config_.train = training_.run.train;
    apply_compute_settings(config_.train.compute_threads, config_.train.deterministic);
    // Also shows now, before any folder is made, whether the weights fit.
    const FeatureModel model = build_model(source_, config_.encoder, seed_);
    require_layer(model, layer_of(finetune.from), source_.name);
    start_sha256_ = tensors_sha256(*model.encoder);
    if (!source_.random) training_.init = weights_of(model);
    source_.weights = {};
    training_.init_name = source_.name;
    training_.device = device_;
    training_.loader_threads =
        options.compute.loader_threads(device_.is_cuda(), world_->local_size());
    training_.world = world_;
    data_ = open_evaluation_data(options.data, 0, config_.data, seed_);
    out_ = evaluation_folder(options.out, source_, "finetune");
    if (world_->leads() && !options.resume && holds_run(out_)) {
      throw Error(ErrorKind::usage,
                  out_.string() +
                      ": already holds a run; add --resume to go on with it, or choose another "
                      "--out");
    }
  }

  /// What would be done with the first draw of labels.
  /// Throws:  Error{config}, Error{data} for any draw that cannot be trained on.
  Json plan() const {
    for_each_draw(draws(), [this](std::uint64_t seed, const LabelChoice& labels) {
      const std::shared_ptr<const Dataset> labelled = labelled_set(seed, labels);
      require_two_classes(*labelled);
      steps_per_epoch(training_.of_draw(labelled->size(), seed), labelled->size(), world_->size());
    });
    const std::shared_ptr<const Dataset> labelled = labelled_set(seed_, options_.data.labels);
    const RunConfig run = training_.of_draw(labelled->size(), seed_);
    const std::int64_t per_epoch = steps_per_epoch(run, labelled->size(), world_->size());
    return {{"checkpoint", source_.name},
            {"from", to_string(config_.finetune.from)},
            {"out", out_.string()},
            {"train_images", labelled->size()},
            {"test_images", data_.test->size()},
            {"classes", data_.classes.size()},
            {"draws", std::max<std::int64_t>(1, options_.seeds)},
            {"epochs", run.train.epochs},
            {"steps_per_epoch", per_epoch},
            {"steps", per_epoch * run.train.epochs},
            {"batch_size", run.train.batch_size},
            {"effective_learning_rate",
             effective_learning_rate(shared_options(run.optimizer), run.train.batch_size)},
            {"precision", to_string(run.train.precision)},
            {"device", device_description(device_)}};
  }

  void print(const Json& plan) const {
    log_info("{} from {} ({})", source_.random ? "training from scratch" : "fine-tuning",
             source_.name, plan["from"].get<std::string>());
    if (!source_.note.empty()) log_info("{}", source_.note);
    print_facts(
        {{std::string("labelled ") + items_of(*data_.train),
          fmt::format("{} in {} classes", format_count(plan["train_images"].get<std::int64_t>()),
                      data_.classes.size())},
         {std::string("test ") + items_of(*data_.test),
          format_count(plan["test_images"].get<std::int64_t>())},
         {"steps",
          fmt::format("{} ({} of {}, batch {})", format_count(plan["steps"].get<std::int64_t>()),
                      plural(plan["epochs"].get<std::int64_t>(), "epoch"),
                      plan["steps_per_epoch"].get<std::int64_t>(),
                      plan["batch_size"].get<std::int64_t>())},
         {"effective learning rate",
          fmt::format("{:.6g}", plan["effective_learning_rate"].get<double>())},
         {"precision", plan["precision"].get<std::string>()},
         {"device", plan["device"].get<std::string>()},
         {"output", out_.string()}});
  }

  const fs::path& out() const { return out_; }

  /// Another process than the one that judges: its share of training and of the features.
  void help() const {
    catch_stop_signals();
    if (was_finished()) return;
    for_each_draw(draws(), [this](std::uint64_t seed, const LabelChoice& labels) {
      if (was_finished()) return;
      const TrainedClassifier trained =
          train_classifier(training_, labelled_set(seed, labels), out_, seed, options_.resume);
      test_features(extractor_of(trained));
    });
  }

  Json run(const Json& plan) {
    const auto start = std::chrono::steady_clock::now();
    make_output_folder(out_);
    if (const auto finished = kept_result(out_)) {
      log_info("{}: already finished", out_.string());
      return *finished;
    }
    catch_stop_signals();
    add_log_file(out_ / "log.txt");
    write_file_durably(out_ / "config.json", dump_text(dump_value(config_), 2) + "\n");
    write_names(out_ / "holdout.txt", data_.held_out_names);
    print(plan);
    Json result = {{"protocol", "finetune"},          {"checkpoint", source_.name},
                   {"from_scratch", source_.random},  {"from", to_string(config_.finetune.from)},
                   {"classes", data_.classes.size()}, {"test_images", data_.test->size()}};
    result.update(run_label_draws(
        out_, draws(),
        [this](const fs::path& folder, std::uint64_t seed, const LabelChoice& labels) {
          return one_draw(folder, seed, labels);
        }));
    result["encoder_sha256"] = start_sha256_;
    result["seconds"] =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    write_result(out_, result);
    log_info("{} in {}", out_.string(), format_duration(result["seconds"].get<double>()));
    return result;
  }

 private:
  LabelDraws draws() const {
    return {options_.data.labels, options_.seeds, options_.data.curve, seed_};
  }

  /// Whether rank 0 found a result of a draw, so that there is nothing to do for it.
  bool was_finished() const { return world_->broadcast("") == "finished"; }

  /// A finished result of the run that --resume goes on with; all processes hear whether there is
  /// one.
  std::optional<Json> kept_result(const fs::path& folder) const {
    std::optional<Json> result = read_result(folder);
    world_->broadcast(result ? "finished" : "open");
    return result;
  }

  std::optional<Json> read_result(const fs::path& folder) const {
    const fs::path path = folder / "result.json";
    std::error_code ignored;
    if (!options_.resume || !fs::exists(path, ignored)) return std::nullopt;
    Json result = parse_json(read_file(path, ErrorKind::checkpoint), path.string());
    if (result.value("encoder_sha256", "") != start_sha256_) {
      throw Error(ErrorKind::checkpoint,
                  fmt::format("{}: expected the encoder that the run to resume began with, got "
                              "another ({}); give the same --checkpoint",
                              path.string(), source_.name));
    }
    return result;
  }

  std::shared_ptr<const Dataset> labelled_set(std::uint64_t seed, const LabelChoice& labels) const {
    return make_subset(data_.train, labelled_rows(labels, data_, seed));
  }

  FeatureExtractor extractor_of(const TrainedClassifier& trained) const {
    return FeatureExtractor(trained.model, layer_of(config_.finetune.from), judging_config(config_),
                            device_, training_.loader_threads, world_);
  }

  JudgedSplit test_features(const FeatureExtractor& extractor) const {
    return extract_split(extractor, data_.test, data_.test_labels, "test images");
  }

  Json one_draw(const fs::path& folder, std::uint64_t seed, const LabelChoice& labels) const {
    if (const auto finished = kept_result(folder)) {
      log_info("{}: already finished", folder.string());
      return *finished;
    }
    const std::shared_ptr<const Dataset> labelled = labelled_set(seed, labels);
    if (labelled->size() < data_.train->size()) write_labels(folder / "labels.txt", *labelled);
    const TrainedClassifier trained =
        train_classifier(training_, labelled, folder, seed, options_.resume);
    const FeatureExtractor extractor = extractor_of(trained);
    const JudgedSplit test = test_features(extractor);
    const torch::Tensor probabilities = predict_probabilities(trained.head, test.features.values);
    write_predictions(folder / "predictions.csv", data_.classes, *data_.test, test.features,
                      test.labels, probabilities);
    const std::string sha256 = extractor.encoder_sha256();
    write_head(folder, {trained.head, data_.classes, extractor.layer(), sha256,
                        trained.training.checkpoint / "model.safetensors", extractor.config()});

    Json result = accuracies(probabilities, test.labels, data_.classes);
    const auto bounds = result["ci95"].get<std::array<double, 2>>();
    log_info("{0} labelled training {3}, {1} test {3}: top-1 {2}", format_count(labelled->size()),
             format_count(test.labels.size(0)),
             percent_interval(result["top1"].get<double>(), bounds[0], bounds[1]),
             items_of(*labelled));
    const RunConfig run = training_.of_draw(labelled->size(), seed);
    result.update({{"train_images", labelled->size()},
                   {"test_images", test.labels.size(0)},
                   {"epochs", trained.training.epochs},
                   {"steps", trained.training.steps},
                   {"loss", trained.training.loss},
                   {"batch_size", run.train.batch_size},
                   {"effective_learning_rate",
                    effective_learning_rate(shared_options(run.optimizer), run.train.batch_size)},
                   {"training_seconds", trained.training.seconds},
                   {"bad_images", trained.training.bad_images +
                                      static_cast<std::int64_t>(test.features.bad.size())},
                   {"trained_checkpoint", trained.training.checkpoint.string()},
                   {"trained_encoder_sha256", sha256},
                   {"encoder_sha256", start_sha256_},
                   {"seed", seed}});
    return result;
  }

  static void write_labels(const fs::path& path, const Dataset& labelled) {
    std::vector<std::string> names;
    for (std::int64_t i = 0; i < labelled.size(); ++i) names.push_back(labelled.name(i));
    write_names(path, names);
  }

  FinetuneCommand options_;
  std::shared_ptr<World> world_;
  c10::Device device_;
  ModelSource source_;
  FinetuneConfig config_;
  std::uint64_t seed_ = 0;
  ClassifierTraining training_;
  std::string start_sha256_;
  EvaluationData data_;
  fs::path out_;
};

void run(const FinetuneCommand& options) {
  if (options.checkpoint.empty() == !options.from_scratch) {
    throw Error(ErrorKind::usage,
                fmt::format("clr finetune: expected either --checkpoint or --from-scratch, got {}",
                            options.from_scratch ? "both" : "neither"));
  }
  if (options.resume && options.out.empty()) {
    throw Error(ErrorKind::usage, "--resume: expected --out with the run to resume, got none");
  }
  if (options.dry_run) require_one_process("clr finetune --dry-run");
  Json alike = described_draws(options.data, options.seeds);
  alike["--resume"] = options.resume;
  const std::shared_ptr<World> world =
      join_processes(options.processes, "finetune", std::move(alike));
  Finetuning finetuning(options, world);
  if (!world->leads()) return finetuning.help();
  const Json plan = finetuning.plan();
  if (options.dry_run) {
    try_output_folder(finetuning.out());
    finetuning.print(plan);
    if (options.json) print_json(plan);
    return;
  }
  const Json result = finetuning.run(plan);
  if (options.json) print_json(result);
}

}  // namespace

void add_finetune_command(CLI::App& program, Action& action) {
  auto options = std::make_shared<FinetuneCommand>();
  CLI::App* command = program.add_subcommand(
      "finetune", "train all layers and a classifier on labels, and judge them");
  command->add_option("--checkpoint", options->checkpoint,
                      "run folder, checkpoint folder, .safetensors file or random:RUN");
  command->add_flag("--from-scratch", options->from_scratch,
                    "random weights, the architecture of the training --config: the baseline");
  command->add_option("--config", options->config,
                      "configuration file or preset; with --from-scratch a training one");
  command->add_option("--set", options->sets, "key.path=value over the configuration, repeatable")
      ->allow_extra_args(false);
  options->data.add_to(*command, /*several=*/false);
  command
      ->add_option("--seeds", options->seeds,
                   "repeat with this many draws of labels; mean and deviation")
      ->check(CLI::Range(1, 1000));
  command
      ->add_option("--seed", options->seed,
                   "train.seed: of splits, subsets, order and random weights")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--out", options->out, "folder of the run (default: RUN/finetune)");
  command->add_flag("--resume", options->resume, "go on with the run in --out");
  command->add_flag("--dry-run", options->dry_run,
                    "resolve and check everything, print the plan, stop");
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  options->compute.add_to(*command);
  options->processes.add_to(*command);
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
