// SPDX-License-Identifier: Apache-2.0
#include "clr/core/memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace clr {
namespace {

/// A line "VmRSS:   123 kB" of /proc/self/status, in bytes; 0 where there is none.
std::int64_t status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return 1024 * std::stoll(line.substr(key.size() + 1));
  }
  return 0;
}

}  // namespace

std::int64_t physical_memory() {
  std::int64_t bytes = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) *
                       static_cast<std::int64_t>(sysconf(_SC_PAGESIZE));
  std::ifstream limit("/sys/fs/cgroup/memory.max");
  std::int64_t group = 0;
  if (limit >> group && group > 0) bytes = std::min(bytes, group);
  return bytes;
}

std::int64_t resident_memory() { return status_bytes("VmRSS"); }
std::int64_t peak_resident_memory() { return status_bytes("VmHWM"); }

}  // namespace clr
