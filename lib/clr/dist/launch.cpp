// SPDX-License-Identifier: Apache-2.0
#include "clr/dist/launch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <functional>
#include <optional>
#include <string_view>

#include "clr/core/error.h"

namespace clr {
namespace {

constexpr int kMostProcesses = 1 << 20;
/// Ports that are made of a job's number: below those that systems hand out.
constexpr std::int64_t kFirstPort = 20000;
constexpr std::int64_t kPorts = 10000;

class Variables {
 public:
  explicit Variables(const Environment& environment) : environment_(environment) {}

  std::string text(const char* name) const {
    const char* value = environment_(name);
    return value == nullptr ? "" : value;
  }
  bool has(const char* name) const { return !text(name).empty(); }

  std::optional<std::int64_t> number(const char* name, std::int64_t least,
                                     std::int64_t most) const {
    const std::string value = text(name);
    if (value.empty()) return std::nullopt;
    std::int64_t result = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
    if (error != std::errc() || end != value.data() + value.size() || result < least ||
        result > most) {
      throw Error(ErrorKind::usage,
                  fmt::format("environment: {}: expected a whole number from {} to {}, got {}",
                              name, least, most, value));
    }
    return result;
  }

  std::int64_t needed(const char* name, std::int64_t least, std::int64_t most,
                      const char* beside) const {
    const auto value = number(name, least, most);
    if (!value) missing(name, beside);
    return *value;
  }

  [[noreturn]] static void missing(const char* name, const char* beside) {
    throw Error(ErrorKind::usage,
                fmt::format("environment: {}: expected it beside {}, got none", name, beside));
  }

 private:
  const Environment& environment_;
};

/// Rank and size under a launcher's own names.
void read_place(const Variables& variables, const char* rank, const char* size, Launch& launch) {
  launch.size = static_cast<int>(variables.needed(size, 1, kMostProcesses, rank));
  launch.rank = static_cast<int>(variables.needed(rank, 0, launch.size - 1, size));
}

void read_address(const Variables& variables, Launch& launch) {
  if (variables.has("MASTER_ADDR")) launch.address = variables.text("MASTER_ADDR");
  if (const auto port = variables.number("MASTER_PORT", 1, 65535)) {
    launch.port = static_cast<std::uint16_t>(*port);
  }
}

std::uint16_t port_of(std::int64_t job) {
  return static_cast<std::uint16_t>(kFirstPort + job % kPorts);
}

}  // namespace

std::string first_host(const std::string& node_list) {
  const std::string first = node_list.substr(0, node_list.find_first_of(",["));
  const std::size_t open = first.size();
  if (open == node_list.size() || node_list[open] != '[') return first;
  const std::size_t end = node_list.find_first_of("-,]", open + 1);
  const std::string number = node_list.substr(open + 1, end - open - 1);
  const std::size_t close = node_list.find(']', open);
  if (close == std::string::npos) return first + number;
  // What follows the brackets up to the next entry.
  return first + number + node_list.substr(close + 1, node_list.find(',', close) - close - 1);
}

Launch read_launch(const Environment& environment) {
  const Variables variables(environment);
  Launch launch;
  if (variables.has("WORLD_SIZE") || variables.has("RANK")) {
    launch.launcher = variables.has("TORCHELASTIC_RUN_ID") ? "torchrun" : "environment";
    read_place(variables, "RANK", "WORLD_SIZE", launch);
    launch.agent_store = variables.text("TORCHELASTIC_USE_AGENT_STORE") == "True";
    launch.attempt =
        static_cast<int>(variables.number("TORCHELASTIC_RESTART_COUNT", 0, 1 << 30).value_or(0));
    read_address(variables, launch);
  } else if (variables.has("OMPI_COMM_WORLD_SIZE")) {
    launch.launcher = "mpirun";
    read_place(variables, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", launch);
    read_address(variables, launch);
    const auto local = variables.number("OMPI_COMM_WORLD_LOCAL_SIZE", 1, kMostProcesses);
    if (local == launch.size) {
      if (launch.address.empty()) launch.address = "127.0.0.1";
      // Where the job has no name, all have one parent: mpirun.
      const std::string job = variables.text("PMIX_NAMESPACE");
      if (launch.port == 0) {
        launch.port = port_of(
            job.empty() ? getppid()
                        : static_cast<std::int64_t>(std::hash<std::string>{}(job) % kPorts));
      }
    }
  } else if (variables.has("SLURM_STEP_NUM_TASKS")) {
    launch.launcher = "srun";
    read_place(variables, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", launch);
    read_address(variables, launch);
    if (launch.address.empty()) launch.address = first_host(variables.text("SLURM_STEP_NODELIST"));
    const auto job = variables.number("SLURM_JOB_ID", 0, std::int64_t{1} << 40);
    const auto step = variables.number("SLURM_STEP_ID", 0, std::int64_t{1} << 40);
    if (launch.port == 0 && job) launch.port = port_of(*job * 16 + step.value_or(0) % 16);
  }
  if (launch.size == 1) return {};
  if (launch.address.empty()) Variables::missing("MASTER_ADDR", "the number of processes");
  if (launch.port == 0) Variables::missing("MASTER_PORT", "the number of processes");
  return launch;
}

}  // namespace clr
