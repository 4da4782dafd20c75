// SPDX-License-Identifier: Apache-2.0
#include "bench.h"

#include <fmt/format.h>

#include <algorithm>

namespace clr {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

std::string median_and_spread(const std::vector<double>& values, int digits) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return fmt::format("{:.{}f} [{:.{}f}, {:.{}f}]", median(values), digits, *low, digits, *high,
                     digits);
}

void add_bench_command(CLI::App& program, Action& action) {
  CLI::App* bench = program.add_subcommand("bench", "measure speed, after checking correctness");
  bench->require_subcommand(1);
  add_bench_train_command(*bench, action);
  add_bench_loss_command(*bench, action);
}

}  // namespace clr
