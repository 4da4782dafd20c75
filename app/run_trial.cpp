// SPDX-License-Identifier: Apache-2.0
#include "run_trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <sstream>
#include <vector>

#include "bench.h"
#include "clr/io/file.h"
#include "clr/train/run_setup.h"
#include "clr/train/trainer.h"

namespace clr {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kLoadingSeconds = 2.0;
constexpr double kTrainingSeconds = 6.0;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Images a second of the loader alone, in the run's own order.
double load(const RunConfig& config, const std::shared_ptr<const Dataset>& dataset,
            const c10::Device& device, int loader_threads) {
  const auto loader =
      make_loader(dataset, training_views(config),
                  training_loader_options(config, device, loader_threads, *World::alone()));
  loader->start(0, 0);
  const std::int64_t steps = loader->steps_per_epoch();
  std::int64_t images = 0;
  auto start = Clock::now();
  for (std::int64_t step = 0; step < steps && seconds_since(start) < kLoadingSeconds; ++step) {
    const std::int64_t count = loader->next().size();
    // The first batches are in the making while nobody waits.
    if (step == 0 && steps > 2) {
      start = Clock::now();
    } else {
      images += count;
    }
  }
  return static_cast<double>(images) / std::max(seconds_since(start), 1e-6);
}

struct Steps {
  std::vector<double> images_per_s;
  std::vector<double> data_wait;
};

/// Trains some steps and reads what they took.
Steps train(RunConfig config, const std::shared_ptr<const Dataset>& dataset,
            const c10::Device& device, int loader_threads, std::int64_t steps) {
  config.train.log_every_steps = 1;
  config.train.knn_every_epochs = 0;
  config.train.health_every_epochs = 0;
  config.train.guard = GuardMode::off;
  config.train.epochs = 1;
  config.schedule.warmup_epochs = 0;
  config.schedule.milestones.clear();
  config.schedule.type = ScheduleType::constant;
  const std::int64_t count = std::min(steps * config.train.batch_size, dataset->size());
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < count; ++i) rows.push_back(i * dataset->size() / count);
  const ScratchFolder folder;
  TrainerOptions options;
  options.out = folder.path();
  options.device = device;
  options.loader_threads = loader_threads;
  options.silent = true;
  Trainer(config, make_subset(dataset, rows), options).run();
  Steps result;
  std::istringstream lines(read_file(folder.path() / "metrics.jsonl", ErrorKind::output));
  for (std::string line; std::getline(lines, line);) {
    const Json row = parse_json(line, "metrics.jsonl");
    if (row.at("kind") != "step") continue;
    result.images_per_s.push_back(row.at("images_per_s").get<double>());
    result.data_wait.push_back(row.at("data_wait").get<double>());
  }
  return result;
}

}  // namespace

std::string RunTrial::limit() const {
  constexpr double kMuch = 0.1;
  const double share = 100 * data_wait;
  if (data_wait < kMuch)
    return fmt::format("compute is the limit: {:.0f} % of the time waits for data", share);
  return fmt::format(
      "data is the limit: {:.0f} % of the time waits for it; pack the images (clr data pack) or "
      "give --threads more",
      share);
}

RunTrial try_run(const RunConfig& config, const std::shared_ptr<const Dataset>& dataset,
                 const c10::Device& device, int loader_threads) {
  RunTrial trial;
  trial.loader_images_per_s = load(config, dataset, device, loader_threads);

  // How long an image takes, roughly, to see how many there is time for.
  RunConfig small = config;
  const std::int64_t most = std::min(config.train.batch_size, dataset->size());
  small.train.batch_size = std::min<std::int64_t>(most, 16);
  small.train.micro_batch = 0;
  const double rough = train(small, dataset, device, loader_threads, 2).images_per_s.back();
  constexpr std::int64_t kLeastSteps = 3;
  const auto affordable =
      static_cast<std::int64_t>(kTrainingSeconds * rough / static_cast<double>(kLeastSteps));
  small.train.batch_size = std::clamp<std::int64_t>(affordable, small.train.batch_size, most);
  if (small.train.batch_size == config.train.batch_size)
    small.train.micro_batch = config.train.micro_batch;
  const auto steps = std::clamp<std::int64_t>(
      static_cast<std::int64_t>(kTrainingSeconds * rough /
                                static_cast<double>(small.train.batch_size)),
      kLeastSteps, 12);
  Steps timed = train(small, dataset, device, loader_threads, steps);
  // The first step sets things up.
  if (timed.images_per_s.size() > 1) {
    timed.images_per_s.erase(timed.images_per_s.begin());
    timed.data_wait.erase(timed.data_wait.begin());
  }
  trial.batch_size = small.train.batch_size;
  trial.steps = static_cast<std::int64_t>(timed.images_per_s.size());
  trial.images_per_s = median(timed.images_per_s);
  trial.data_wait = median(timed.data_wait);
  trial.network_images_per_s = trial.images_per_s / std::max(1e-3, 1.0 - trial.data_wait);
  return trial;
}

}  // namespace clr
