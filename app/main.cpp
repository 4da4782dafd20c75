// SPDX-License-Identifier: Apache-2.0
#include <ATen/Version.h>
#include <fmt/format.h>
#include <malloc.h>
#include <torch/version.h>

#include <cstdio>
#include <iostream>
#include <set>
#include <string>

#include "clr/core/error.h"
#include "clr/core/exit_code.h"
#include "clr/core/log.h"
#include "clr/core/stop.h"
#include "command.h"
#include "processes.h"
#include "waiting_threads.h"

namespace clr {
namespace {

static_assert(TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR == 11,
              "clr is built against LibTorch 2.11: run scripts/setup.sh");

std::string version_text() {
  return fmt::format(
      "clr {}\nLibTorch {}\nCUDA libraries: loaded when a CUDA device is asked for\ncompiler: g++ "
      "{}",
      CLR_VERSION, TORCH_VERSION, __VERSION__);
}

/// CLI11's messages may have several lines.
std::string one_line(const std::string& text) { return text.substr(0, text.find('\n')); }

/// "clr data check": what was asked for, as far as it was understood.
std::string command_name(const CLI::App& program) {
  std::string name = "clr";
  for (const CLI::App* at = &program; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    name += " " + at->get_name();
  }
  return name;
}

/// Whether the command asked for has a device to compute on (ComputeOptions).
bool computes(const CLI::App& program) {
  const CLI::App* at = &program;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  return at->get_option_no_throw("--device") != nullptr;
}

bool shares_work(const std::string& command) {
  static const std::set<std::string> names = {"clr pretrain", "clr linear-eval",
                                              "clr finetune", "clr embed",
                                              "clr predict",  "clr bench processes"};
  return names.contains(command);
}

void run_program(int argc, char** argv) {
  CLI::App program("Train representations of images or texts without labels, and judge them.",
                   "clr");
  program.set_version_flag("--version", version_text());
  program.footer("Presets: clr config --list.  A command's options: clr COMMAND --help.");
  Action action;
  add_pretrain_command(program, action);
  add_linear_eval_command(program, action);
  add_finetune_command(program, action);
  add_embed_command(program, action);
  add_health_command(program, action);
  add_query_command(program, action);
  add_pair_eval_command(program, action);
  add_predict_command(program, action);
  add_export_command(program, action);
  add_data_command(program, action);
  add_bench_command(program, action);
  add_report_command(program, action);
  add_verify_command(program, action);
  add_config_command(program, action);
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& success) {
    program.exit(success);
    return;
  } catch (const CLI::ParseError& error) {
    const std::string name = command_name(program);
    throw Error(ErrorKind::usage,
                fmt::format("{}: {}; see {} --help", name, one_line(error.what()), name));
  }
  const std::string command = command_name(program);
  if (!shares_work(command)) require_one_process(command);
  if (!action) throw Error(ErrorKind::usage, "clr: expected a command, got none; see clr --help");
  if (computes(program)) shorten_spinning(argv);
  action();
  leave_processes();
  if (!std::cout.flush()) throw Error(ErrorKind::output, "standard output: cannot be written");
}

}  // namespace
}  // namespace clr

int main(int argc, char** argv) {
  // Training frees and takes the same large blocks in every step. glibc would give each back to the
  // system and fault its pages in again.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 2047 << 20);
  mallopt(M_TOP_PAD, 64 << 20);
  try {
    clr::run_program(argc, argv);
    return clr::leave_program(0);
  } catch (...) {
    const clr::ExitReport report = clr::report_exception(std::current_exception());
    clr::log_line(clr::LogLevel::debug, "error: " + report.message);
    std::fflush(stdout);
    std::fprintf(stderr, "clr: %serror: %s\n", clr::rank_prefix().c_str(), report.message.c_str());
    clr::end_processes(report.code, report.message);
    return clr::leave_program(report.code);
  }
}
