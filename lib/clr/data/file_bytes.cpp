// SPDX-License-Identifier: Apache-2.0
#include "clr/data/file_bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "clr/core/error.h"

namespace clr {
namespace {

constexpr std::size_t kMostBytes = 2'000'000'000;

[[noreturn]] void cannot_read(const std::string& path, const std::string& reason) {
  throw Error(ErrorKind::data, path + ": cannot be read: " + reason);
}

class Descriptor {
 public:
  // Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
  Descriptor(const std::string& path, const std::string& shown)
      : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (number_ < 0) cannot_read(shown, std::strerror(errno));
  }
  ~Descriptor() { ::close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int number() const { return number_; }

 private:
  int number_;
};

}  // namespace

std::vector<std::uint8_t> read_first_bytes(const std::string& path, std::size_t count) {
  const Descriptor file(path, path);
  struct stat status {};
  if (::fstat(file.number(), &status) != 0) cannot_read(path, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) cannot_read(path, "it is no regular file");
  const auto size = std::min(static_cast<std::size_t>(status.st_size), count);
  if (size > kMostBytes) cannot_read(path, "it is larger than 2 GB");
  std::vector<std::uint8_t> bytes(size);
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(file.number(), bytes.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) cannot_read(path, std::strerror(errno));
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

std::vector<std::uint8_t> read_bytes(const std::string& path) {
  return read_first_bytes(path, std::numeric_limits<std::size_t>::max());
}

std::vector<std::uint8_t> read_range(const std::string& path, std::uint64_t offset,
                                     std::size_t count, const std::string& shown) {
  const Descriptor file(path, shown);
  std::vector<std::uint8_t> bytes(count);
  std::size_t done = 0;
  while (done < count) {
    const ssize_t got = ::pread(file.number(), bytes.data() + done, count - done,
                                static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) cannot_read(shown, std::strerror(errno));
    if (got == 0) cannot_read(shown, "it has become shorter than it was");
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace clr
