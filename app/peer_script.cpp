// SPDX-License-Identifier: Apache-2.0
#include "peer_script.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <cstdio>

#include "bench.h"
#include "clr/core/error.h"
#include "clr/io/file.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

struct Output {
  int status;
  std::string text;
};

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

/// The folder test/peers of the source tree that holds `start` with `script` in it; empty if none
/// does.
fs::path peers_above(fs::path start, const std::string& script) {
  for (; start.has_relative_path(); start = start.parent_path()) {
    if (fs::exists(start / "test/peers" / script)) return start / "test/peers";
  }
  return {};
}

}  // namespace

PeerScript::PeerScript(const std::string& name) {
  std::error_code ignored;
  fs::path folder = peers_above(fs::read_symlink("/proc/self/exe", ignored).parent_path(), name);
  if (folder.empty()) folder = peers_above(fs::current_path(), name);
  if (folder.empty()) {
    throw Error(ErrorKind::usage,
                fmt::format("--peers: test/peers/{} is not above this program nor above the "
                            "working folder; run it in clr's source tree",
                            name));
  }
  script_ = folder / name;
  const Output found =
      read_command("sh " + shell_quoted((folder / "find_python.sh").string()) + " 2>&1");
  python_ = last_line(found.text);
  if (found.status != 0) {
    const std::string skipped = "skipped: ";
    if (python_.starts_with(skipped)) python_.erase(0, skipped.size());
    throw Error(ErrorKind::usage, "--peers: " + python_);
  }
}

Json PeerScript::run(const std::string& arguments) const {
  const ScratchFolder folder;
  const fs::path errors = folder.path() / "errors.txt";
  const Output output = read_command(
      fmt::format("PYTHONDONTWRITEBYTECODE=1 {} {} {} 2>{}", shell_quoted(python_),
                  shell_quoted(script_.string()), arguments, shell_quoted(errors.string())));
  if (output.status != 0) {
    throw Error(ErrorKind::usage, fmt::format("--peers: {} failed: {}", script_.string(),
                                              last_line(read_file(errors, ErrorKind::output))));
  }
  return parse_json(output.text, script_.filename().string());
}

}  // namespace clr
