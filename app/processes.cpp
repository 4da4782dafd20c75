// SPDX-License-Identifier: Apache-2.0
#include "processes.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <thread>

#include "clr/config/json.h"
#include "clr/core/error.h"
#include "clr/core/log.h"
#include "clr/dist/launch.h"

namespace clr {
namespace {

/// Of this process; what main has to take leave of.
struct Processes {
  Launch launch;
  std::shared_ptr<World> world;
};

Processes& the_processes() {
  static Processes processes;
  return processes;
}

Launch launch_of_environment() {
  return read_launch([](const char* name) { return std::getenv(name); });
}

/// torchrun shows this text as the reason.
void write_error_file(const std::string& message) {
  const char* path = std::getenv("TORCHELASTIC_ERROR_FILE");
  if (path == nullptr || *path == '\0') return;
  std::ofstream(path) << Json{{"message", message}, {"timestamp", std::time(nullptr)}}.dump(
      -1, ' ', false, Json::error_handler_t::replace);
}

void require_alike(World& world, const Json& own) {
  const std::vector<std::string> texts = world.gather_text(own.dump());
  Json first = Json::parse(texts.front());
  for (std::size_t rank = 1; rank < texts.size(); ++rank) {
    Json other = Json::parse(texts[rank]);
    const auto require = [&](const std::string& what) {
      if (other[what] == first[what]) return;
      throw Error(ErrorKind::usage,
                  fmt::format("rank {}: {}: expected {} as rank 0 has, got {}; start all processes "
                              "with one command line",
                              rank, what, show(first[what]), show(other[what])));
    };
    // Another command has other options.
    require("command");
    for (const auto& [option, value] : first.items()) require(option);
  }
}

}  // namespace

void ProcessOptions::add_to(CLI::App& command) {
  command
      .add_option("--join-timeout", join_timeout,
                  "with several processes: seconds that the last may be behind the first")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  command
      .add_option("--stall-timeout", stall_timeout,
                  "with several processes: seconds without progress after which one counts as hung")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
}

std::shared_ptr<World> join_processes(const ProcessOptions& options, const std::string& command,
                                      Json alike) {
  Processes& processes = the_processes();
  processes.launch = launch_of_environment();
  const Launch& launch = processes.launch;
  if (launch.size == 1) return processes.world = World::alone();
  // The others may go while they are written to, which is an error to report and not a way to end.
  std::signal(SIGPIPE, SIG_IGN);
  // A launcher that is killed would leave its processes behind.
  if (launch.launcher == "torchrun" || launch.launcher == "mpirun")
    prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (launch.rank != 0) set_log_level(LogLevel::quiet);
  WorldOptions world_options;
  world_options.join_timeout = std::chrono::seconds(options.join_timeout);
  world_options.limits.stall = std::chrono::seconds(options.stall_timeout);
  processes.world = World::join(launch, fmt::format("clr {}", CLR_VERSION), world_options);
  log_info(
      "{} processes{} (started by {})", launch.size,
      processes.world->hosts() > 1 ? fmt::format(" on {} machines", processes.world->hosts()) : "",
      launch.launcher == "environment" ? "RANK and WORLD_SIZE" : launch.launcher);
  alike["command"] = command;
  require_alike(*processes.world, alike);
  return processes.world;
}

void require_one_process(const std::string& command) {
  const Launch launch = launch_of_environment();
  if (launch.size == 1) return;
  throw Error(
      ErrorKind::usage,
      fmt::format("{}: expected one process, got {} (started by {}); pretrain, linear-eval, "
                  "finetune, embed and predict share their work",
                  command, launch.size, launch.launcher));
}

void leave_processes() {
  if (the_processes().world) the_processes().world->leave();
}

void end_processes(int code, const std::string& message) {
  const Processes& processes = the_processes();
  if (processes.launch.size == 1) return;
  const bool first = !processes.world || processes.world->end(code, message);
  if (processes.launch.launcher != "torchrun") return;
  // torchrun blames whoever ends first.
  if (first) {
    write_error_file(message);
  } else {
    std::this_thread::sleep_for(std::chrono::seconds(2));
  }
}

int leave_program(int code) {
  if (the_processes().launch.size == 1) return code;
  std::fflush(nullptr);
  _exit(code);
}

std::string rank_prefix() {
  const Launch& launch = the_processes().launch;
  return launch.size == 1 ? "" : fmt::format("rank {}: ", launch.rank);
}

}  // namespace clr
