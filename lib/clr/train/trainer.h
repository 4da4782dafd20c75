// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "clr/data/dataset.h"
#include "clr/data/loader.h"
#include "clr/io/safetensors.h"
#include "clr/method/method.h"
#include "clr/train/run_config.h"

namespace clr {

/// The parts of a run that its configuration does not define.
struct TrainerOptions {
  std::filesystem::path out;
  torch::Device device{torch::kCPU};
  int loader_threads = 1;
  SafeTensors init;  ///< a model file's content (or a bare encoder's) to start from; may be empty
  std::string init_name;  ///< where it came from, for messages
  bool resume = false;
};

struct TrainResult {
  std::int64_t epochs = 0;
  std::int64_t steps = 0;
  double loss = 0.0;          ///< mean of the last epoch
  double images_per_s = 0.0;  ///< of this process, without kNN checks and checkpoints
  double data_wait = 0.0;     ///< share of the training time spent waiting for data
  double seconds = 0.0;       ///< of this process, all
  std::optional<double> knn_top1;
  std::vector<std::pair<std::string, double>> health;  ///< HealthMonitor::measure(), at the end
  std::int64_t bad_images = 0;
  std::filesystem::path checkpoint;
};

/// Replaces what `auto` and 0 stand for on this machine.
RunConfig resolve_automatic(RunConfig config, const torch::Device& device);

/// Settings of LibTorch that a run wants: compute threads, determinism.
void apply_compute_settings(std::int64_t compute_threads, bool deterministic);

/// Moves a module to the device, convolution weights into the wanted memory format.
void place_module(torch::nn::Module& module, const torch::Device& device, bool channels_last);

/// Builds the method that a configuration describes, initialised from its seed. `config` is
/// resolved.
std::shared_ptr<Method> build_method(const RunConfig& config, std::int64_t dataset_size,
                                     std::int64_t classes, std::int64_t steps_per_epoch);

/// How training walks its data. `config` is resolved.
LoaderOptions training_loader_options(const RunConfig& config, const torch::Device& device,
                                      int threads);

/// Steps of one epoch. Throws Error{config} when the data do not fill one batch, or their last
/// batch would be cut into micro-batches of one image.
std::int64_t steps_per_epoch(const RunConfig& config, std::int64_t dataset_size);

/// Runs a configuration to its end: epochs become metrics.jsonl and checkpoints in options.out.
///
/// Deterministic: stopping and resuming anywhere gives the same bytes.
class Trainer {
 public:
  /// Builds everything, and finds every fault that can be found before the first step. `config` is
  /// resolved.
  /// Throws:  Error{config}, Error{checkpoint}, Error{output}.
  Trainer(const RunConfig& config, std::shared_ptr<const Dataset> dataset,
          const TrainerOptions& options);
  ~Trainer();

  /// Whether a resumed run has nothing left to do.
  bool finished() const;

  /// Throws:  Error{stopped} after a signal, with everything saved; Error{diverged} for a loss that
  ///          is not finite; Error{data}, Error{output} as they come.
  TrainResult run();

  /// What is trained.
  Method& method();

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace clr
