// SPDX-License-Identifier: Apache-2.0
#include "loss_peers.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include <cstdio>
#include <fstream>

#include "bench.h"
#include "clr/core/error.h"
#include "clr/core/log.h"
#include "clr/io/file.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

using torch::Tensor;

struct Output {
  int status;
  std::string text;
};

std::string quoted(const std::string& word) {
  std::string result = "'";
  for (const char c : word) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

/// Runs a command of the shell and reads what it prints.
Output read_command(const std::string& command) {
  std::FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw Error(ErrorKind::output, "--peers: no process can be started");
  Output result{0, {}};
  char buffer[4096];
  for (std::size_t count = 0; (count = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
    result.text.append(buffer, count);
  }
  const int status = pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return result;
}

std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.find_last_of('\n') + 1);
}

/// The folder test/peers of the source tree that holds `start`; empty if none does.
fs::path peers_above(fs::path start) {
  for (; start.has_relative_path(); start = start.parent_path()) {
    if (fs::exists(start / "test/peers/bench_loss.py")) return start / "test/peers";
  }
  return {};
}

void write_tensor(const fs::path& path, const Tensor& values) {
  const Tensor whole = values.contiguous();
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(whole.const_data_ptr()),
             static_cast<std::streamsize>(whole.nbytes()));
  if (!file.flush()) throw Error(ErrorKind::output, path.string() + ": cannot be written");
}

}  // namespace

LossPeers::LossPeers() {
  std::error_code ignored;
  fs::path folder = peers_above(fs::read_symlink("/proc/self/exe", ignored).parent_path());
  if (folder.empty()) folder = peers_above(fs::current_path());
  if (folder.empty()) {
    throw Error(ErrorKind::usage,
                "--peers: test/peers/bench_loss.py is not above this program nor above the working "
                "folder; run it in clr's source tree");
  }
  script_ = folder / "bench_loss.py";
  const Output found = read_command("sh " + quoted((folder / "find_python.sh").string()) + " 2>&1");
  python_ = last_line(found.text);
  if (found.status != 0) {
    const std::string skipped = "skipped: ";
    if (python_.starts_with(skipped)) python_.erase(0, skipped.size());
    throw Error(ErrorKind::usage, "--peers: " + python_);
  }
}

std::vector<LossRow> LossPeers::measure(const Tensor& x, const Tensor& exact, double temperature,
                                        std::int64_t repeats) const {
  const ScratchFolder folder;
  write_tensor(folder.path() / "z.bin", x.to(torch::kCPU, torch::kFloat32));
  write_tensor(folder.path() / "gradient.bin", exact);
  const fs::path errors = folder.path() / "errors.txt";
  std::string type = c10::toString(x.scalar_type());
  const auto names = std::array{std::pair("Float", "float32"), std::pair("Half", "float16"),
                                std::pair("BFloat16", "bfloat16")};
  for (const auto& [here, there] : names) {
    if (type == here) type = there;
  }
  const Output output = read_command(fmt::format(
      "PYTHONDONTWRITEBYTECODE=1 {} {} {} --n {} --d {} --temperature {} --dtype {} --device {} "
      "--threads {} --repeats {} 2>{}",
      quoted(python_), quoted(script_.string()), quoted(folder.path().string()), x.size(0) / 2,
      x.size(1), temperature, type, x.device().str(), at::get_num_threads(), repeats,
      quoted(errors.string())));
  if (output.status != 0) {
    throw Error(ErrorKind::usage, fmt::format("--peers: {} failed: {}", script_.string(),
                                              last_line(read_file(errors, ErrorKind::output))));
  }
  std::vector<LossRow> rows;
  for (const Json& peer : parse_json(output.text, script_.filename().string())) {
    LossRow row{peer.at("implementation").get<std::string>()};
    if (peer.contains("error")) {
      log_warning("{}: {}", row.implementation, peer.at("error").get<std::string>());
      continue;
    }
    row.loss = peer.at("loss").get<double>();
    row.gradient_error = peer.at("gradient_error").get<double>();
    row.milliseconds = peer.at("milliseconds_runs").get<std::vector<double>>();
    row.extra_bytes = peer.at("extra_bytes").get<std::int64_t>();
    if (const Json& resident = peer.at("extra_resident_bytes"); !resident.is_null()) {
      row.extra_resident = resident.get<std::int64_t>();
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace clr
