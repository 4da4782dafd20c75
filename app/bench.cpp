// SPDX-License-Identifier: Apache-2.0
#include "bench.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "clr/core/error.h"

namespace fs = std::filesystem;

namespace clr {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::string median_and_spread(const std::vector<double>& values, int digits) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return fmt::format("{:.{}f} [{:.{}f}, {:.{}f}]", median(values), digits, *low, digits, *high,
                     digits);
}

std::string megabytes(std::int64_t bytes) {
  return fmt::format("{:.1f}", static_cast<double>(bytes) / 1e6);
}

ScratchFolder::ScratchFolder() {
  std::string pattern = (fs::temp_directory_path() / "clr_bench_XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    throw Error(ErrorKind::output, pattern + ": cannot be created");
  }
  path_ = pattern;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void add_bench_command(CLI::App& program, Action& action) {
  CLI::App* bench = program.add_subcommand("bench", "measure speed, after checking correctness");
  bench->require_subcommand(1);
  add_bench_train_command(*bench, action);
  add_bench_loss_command(*bench, action);
  add_bench_data_command(*bench, action);
  add_bench_eval_command(*bench, action);
  add_bench_processes_command(*bench, action);
}

}  // namespace clr
