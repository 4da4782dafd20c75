// SPDX-License-Identifier: Apache-2.0
// Each subcommand is one file: its options, then what it does. It adds itself to the program and,
// when it was chosen, leaves what is to be run in `action`.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "clr/config/json.h"

namespace clr {

using Action = std::function<void()>;

void add_pretrain_command(CLI::App& program, Action& action);
void add_linear_eval_command(CLI::App& program, Action& action);
void add_finetune_command(CLI::App& program, Action& action);
void add_embed_command(CLI::App& program, Action& action);
void add_health_command(CLI::App& program, Action& action);
void add_query_command(CLI::App& program, Action& action);
void add_pair_eval_command(CLI::App& program, Action& action);
void add_predict_command(CLI::App& program, Action& action);
void add_export_command(CLI::App& program, Action& action);
void add_config_command(CLI::App& program, Action& action);
void add_bench_command(CLI::App& program, Action& action);
void add_report_command(CLI::App& program, Action& action);
void add_verify_command(CLI::App& program, Action& action);
void add_data_command(CLI::App& program, Action& action);

/// Options that every command that computes has.
struct ComputeOptions {
  std::string device = "auto";
  int threads = 0;  ///< loader threads; 0 = chosen by the machine

  void add_to(CLI::App& command);

  /// Loader threads for a device: with a GPU all cores but one, without one a quarter of them; of
  /// each of the machine's processes, which share the cores.
  int loader_threads(bool with_gpu, int processes = 1) const;
};

/// Help of --data: what PATH may be; all of it is in docs/cli.md.
inline constexpr const char* kDataHelp =
    "images: a folder, a list (csv, tsv, jsonl), tars, a .clrpack, or CIFAR, MNIST or STL-10; or "
    "texts: a .txt, a folder of them, a table with a column text";

/// --quiet, -v, --log-level: of every command.
void add_log_options(CLI::App& command);

/// Prints a command's result as one JSON object on standard output.
void print_json(const Json& result);

/// The lines of an aligned table; the first row is the heading, numbers are right-aligned.
std::vector<std::string> align_table(const std::vector<std::vector<std::string>>& rows);

/// Prints an aligned table on standard error.
void print_table(const std::vector<std::vector<std::string>>& rows);

/// Prints names and their values, both left-aligned.
void print_facts(const std::vector<std::pair<std::string, std::string>>& facts);

/// "43.4 % [42.4, 44.4]".
std::string percent(double fraction);
std::string percent_interval(double fraction, double low, double high);

/// "1 epoch", "1,200 epochs".
std::string plural(std::int64_t count, const std::string& thing);

/// A word as a shell reads it, in quotes where it needs them.
std::string shell_quoted(const std::string& word);

/// "2026-01-31_14-05-09", local time: part of a new run's name.
std::string time_stamp();

}  // namespace clr
