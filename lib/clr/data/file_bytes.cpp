// SPDX-License-Identifier: Apache-2.0
#include "clr/data/file_bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <utility>

#include "clr/core/error.h"

namespace clr {
namespace {

constexpr std::uint64_t kMostBytes = 2'000'000'000;

}  // namespace

// Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
RandomFile::RandomFile(const std::string& path, std::string shown)
    : shown_(std::move(shown)),
      descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (descriptor_ < 0) cannot_read(std::strerror(errno));
}

RandomFile::~RandomFile() { ::close(descriptor_); }

void RandomFile::cannot_read(const std::string& reason) const {
  throw Error(ErrorKind::data, shown_ + ": cannot be read: " + reason);
}

std::uint64_t RandomFile::size() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) cannot_read(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) cannot_read("it is no regular file");
  return static_cast<std::uint64_t>(status.st_size);
}

std::size_t RandomFile::read_some(std::uint64_t offset, void* to, std::size_t count) const {
  std::size_t done = 0;
  while (done < count) {
    const ssize_t got = ::pread(descriptor_, static_cast<char*>(to) + done, count - done,
                                static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) cannot_read(std::strerror(errno));
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

void RandomFile::read(std::uint64_t offset, void* to, std::size_t count) const {
  if (read_some(offset, to, count) < count) cannot_read("it has become shorter than it was");
}

std::vector<std::uint8_t> read_first_bytes(const std::string& path, std::size_t count) {
  const RandomFile file(path, path);
  const std::uint64_t size = std::min<std::uint64_t>(file.size(), count);
  if (size > kMostBytes) {
    throw Error(ErrorKind::data, path + ": cannot be read: it is larger than 2 GB");
  }
  std::vector<std::uint8_t> bytes(size);
  bytes.resize(file.read_some(0, bytes.data(), size));
  return bytes;
}

std::vector<std::uint8_t> read_bytes(const std::string& path) {
  return read_first_bytes(path, std::numeric_limits<std::size_t>::max());
}

std::vector<std::uint8_t> read_range(const std::string& path, std::uint64_t offset,
                                     std::size_t count, const std::string& shown) {
  const RandomFile file(path, shown);
  std::vector<std::uint8_t> bytes(count);
  file.read(offset, bytes.data(), count);
  return bytes;
}

bool is_file(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

}  // namespace clr
