// SPDX-License-Identifier: Apache-2.0
// The parts of `clr bench`, each in a file of its own.
#pragma once

#include <filesystem>

#include "command.h"

namespace clr {

double median(std::vector<double> values);

/// Processor time of the calling thread in seconds: other programs do not count.
double thread_seconds();

/// "12.3 [12.0, 14.1]": median, least and most.
std::string median_and_spread(const std::vector<double>& values, int digits);

/// "12.3": without the unit.
std::string megabytes(std::int64_t bytes);

/// A fresh folder that is removed with everything in it.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void add_bench_train_command(CLI::App& bench, Action& action);
void add_bench_loss_command(CLI::App& bench, Action& action);
void add_bench_data_command(CLI::App& bench, Action& action);
void add_bench_eval_command(CLI::App& bench, Action& action);
void add_bench_processes_command(CLI::App& bench, Action& action);

}  // namespace clr
