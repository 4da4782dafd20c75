// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numeric>
#include <sstream>

#include "bench.h"
#include "clr/config/load.h"
#include "clr/core/device.h"
#include "clr/core/log.h"
#include "clr/core/rng.h"
#include "clr/io/file.h"
#include "clr/train/run_config.h"
#include "clr/train/run_setup.h"
#include "clr/train/trainer.h"
#include "noise_dataset.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

struct BenchTrainOptions {
  std::string config;
  std::string data;
  std::vector<std::string> sets;
  std::int64_t steps = 20;
  std::int64_t repeats = 3;
  bool json = false;
  ComputeOptions compute;
};

/// One form of the same training: what it is called, how it is set, and what was measured.
struct Form {
  std::string name;
  RunConfig config;
  double first_loss = 0.0;
  std::vector<double> images_per_s{};
  std::vector<double> step_milliseconds{};
  std::vector<double> data_wait{};
};

/// Trains `steps` steps and adds the medians over the steps after the warm-up to the form.
void measure(Form& form, const std::shared_ptr<const Dataset>& dataset, const c10::Device& device,
             int threads) {
  constexpr std::size_t kWarmUp = 3;
  const ScratchFolder folder;
  TrainerOptions options;
  options.out = folder.path();
  options.device = device;
  options.loader_threads = threads;
  apply_compute_settings(form.config.train.compute_threads, form.config.train.deterministic);
  Trainer(form.config, dataset, options).run();
  std::istringstream rows(read_file(folder.path() / "metrics.jsonl", ErrorKind::output));
  std::vector<double> images_per_s;
  std::vector<double> data_wait;
  std::size_t step = 0;
  for (std::string line; std::getline(rows, line);) {
    const Json row = parse_json(line, "metrics.jsonl");
    if (row.at("kind") != "step") continue;
    if (step == 0) form.first_loss = row.at("loss").get<double>();
    if (step++ < kWarmUp) continue;
    images_per_s.push_back(row.at("images_per_s").get<double>());
    data_wait.push_back(row.at("data_wait").get<double>());
  }
  form.images_per_s.push_back(median(images_per_s));
  form.step_milliseconds.push_back(1000.0 * static_cast<double>(form.config.train.batch_size) /
                                   form.images_per_s.back());
  form.data_wait.push_back(median(data_wait));
}

Json form_json(const Form& form) {
  return {{"form", form.name},
          {"images_per_s", median(form.images_per_s)},
          {"step_milliseconds", median(form.step_milliseconds)},
          {"data_wait", median(form.data_wait)},
          {"images_per_s_runs", form.images_per_s},
          {"first_loss", form.first_loss}};
}

void run(const BenchTrainOptions& options) {
  ConfigDocument document = load_config(options.config, "pretrain");
  for (const std::string& set : options.sets) document.set(set);
  const c10::Device device = resolve_device(options.compute.device);
  RunConfig config = read_run_config(document);
  config.train.log_every_steps = 1;
  config.train.knn_every_epochs = 0;
  config.train.health_every_epochs = 0;
  config.schedule.warmup_epochs = 0;
  config.train.checkpoint_every_epochs = 1'000'000;

  const Size view = Augmenter(config.augment).view_size(0);
  std::shared_ptr<const Dataset> dataset;
  if (options.data.empty()) {
    dataset = std::make_shared<NoiseDataset>(options.steps * config.train.batch_size, view);
  } else {
    dataset = open_images(options.data, config.data, "clr bench train");
  }
  if (const std::int64_t wanted = options.steps * config.train.batch_size;
      wanted < dataset->size()) {
    std::vector<std::int64_t> first(static_cast<std::size_t>(wanted));
    std::iota(first.begin(), first.end(), std::int64_t{0});
    dataset = make_subset(dataset, first);
  }
  const std::int64_t per_epoch = steps_per_epoch(config, dataset->size());
  config.train.epochs = (options.steps + per_epoch - 1) / per_epoch;
  const std::int64_t steps = config.train.epochs * per_epoch;

  Form naive{"float32, contiguous", config};
  naive.config.train.precision = Precision::float32;
  naive.config.train.memory_format = MemoryFormat::contiguous;
  naive.config = resolve_automatic(naive.config, device);
  Form chosen{"as configured", resolve_automatic(config, device)};
  chosen.name = to_string(chosen.config.train.precision) + ", " +
                to_string(chosen.config.train.memory_format) + " (as configured)";

  const int threads = options.compute.loader_threads(device.is_cuda());
  for (std::int64_t repeat = 0; repeat < options.repeats; ++repeat) {
    measure(naive, dataset, device, threads);
    measure(chosen, dataset, device, threads);
    if (repeat > 0) continue;
    // Same weights, same images: in another precision the first loss differs by rounding alone.
    const double difference = std::abs(chosen.first_loss - naive.first_loss) / naive.first_loss;
    if (!(difference < 0.02)) {
      throw Error(ErrorKind::diverged,
                  fmt::format("bench train: the first loss is {} as configured and {} in float32; "
                              "no speed of a wrong result is reported",
                              chosen.first_loss, naive.first_loss));
    }
    log_info("first loss {:.5f} in float32, {:.5f} as configured: they agree", naive.first_loss,
             chosen.first_loss);
  }
  const double ratio = median(chosen.images_per_s) / median(naive.images_per_s);
  log_info("{} steps of {} images, {} runs each, interleaved; median [least, most]", steps,
           config.train.batch_size, options.repeats);
  print_table({{"form", "images/s", "ms a step", "waiting for data"},
               {naive.name, median_and_spread(naive.images_per_s, 0),
                median_and_spread(naive.step_milliseconds, 1), percent(median(naive.data_wait))},
               {chosen.name, median_and_spread(chosen.images_per_s, 0),
                median_and_spread(chosen.step_milliseconds, 1), percent(median(chosen.data_wait))},
               {"ratio", fmt::format("{:.2f}x", ratio)}});
  if (options.json) {
    Json result = form_json(chosen);
    result["ratio"] = ratio;
    result["device"] = device_description(device);
    result["naive"] = form_json(naive);
    print_json(result);
  }
}

}  // namespace

void add_bench_train_command(CLI::App& bench, Action& action) {
  auto options = std::make_shared<BenchTrainOptions>();
  CLI::App* command =
      bench.add_subcommand("train", "training steps, against float32 in the plain layout");
  command->add_option("--config", options->config, "configuration file or preset")->required();
  command->add_option("--data", options->data,
                      "images (default: noise of the views' size, not decoded)");
  command->add_option("--steps", options->steps, "training steps of a run")
      ->check(CLI::Range(8, 1'000'000))
      ->capture_default_str();
  command->add_option("--repeats", options->repeats, "runs of each form")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command->add_option("--set", options->sets, "key.path=value over the configuration, repeatable")
      ->allow_extra_args(false);
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  options->compute.add_to(*command);
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
