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
#include "clr/dist/world.h"
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
  bool silent = false;                            ///< no line an epoch
  std::shared_ptr<World> world = World::alone();  ///< all of them train this run together
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

/// Runs a configuration to its end: epochs become metrics.jsonl and checkpoints in options.out.
///
/// Deterministic: stopping and resuming anywhere gives the same bytes. Of several processes each
/// trains on its share of every batch, and all have the same networks at every step; rank 0 alone
/// reads and writes options.out. A checkpoint does not know how many there were.
class Trainer {
 public:
  /// Builds everything, and finds every fault that can be found before the first step; then makes
  /// options.out, where it is not yet, and locks it. `config` is resolved.
  /// Throws:  Error{config}, Error{checkpoint}, Error{data}; Error{output}, also where another
  ///          process is writing the run.
  Trainer(const RunConfig& config, std::shared_ptr<const Dataset> dataset,
          const TrainerOptions& options);
  ~Trainer();

  /// Whether no step is done yet: a new run, or one that was stopped before its first checkpoint.
  bool at_start() const;

  /// Whether a resumed run has nothing left to do.
  bool finished() const;

  /// Shows a picture of what is to be trained in TensorBoard. Before run().
  /// Throws:  Error{output}.
  void show(const std::string& tag, const std::string& png, int width, int height);

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
