// SPDX-License-Identifier: Apache-2.0
#include "clr/data/gzip_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "clr/core/error.h"
#include "clr/data/byte_reader.h"

namespace clr {
namespace {

constexpr std::size_t kPiece = std::size_t{1} << 20;

[[noreturn]] void cannot_inflate(const std::string& path, const std::string& folder, int error) {
  const bool many = error == EMFILE || error == ENFILE;
  throw Error(ErrorKind::output,
              path + ": cannot be inflated into " + folder + ": " + std::strerror(error) +
                  (many ? "; raise `ulimit -n` above the number of shards, or gunzip them"
                        : "; set TMPDIR to a folder with room, or gunzip it"));
}

}  // namespace

GzipReader::GzipReader(const std::string& path, const char* kind) : path_(path), kind_(kind) {
  errno = 0;
  file_ = gzopen(path.c_str(), "rb");
  if (file_ == nullptr) {
    throw Error(ErrorKind::data, path + ": cannot be read: " + std::strerror(errno));
  }
  gzbuffer(file_, 1U << 18);
}

GzipReader::~GzipReader() { gzclose(file_); }

std::size_t GzipReader::read(void* to, std::size_t count) {
  const int got = gzread(file_, to, static_cast<unsigned>(std::min(count, kPiece)));
  int state = Z_OK;
  gzerror(file_, &state);
  // A file without its end gives what it has, then nothing and why.
  if (got < 0 || (got == 0 && state != Z_OK && state != Z_STREAM_END)) fail();
  return static_cast<std::size_t>(got);
}

void GzipReader::fail() const {
  throw Error(ErrorKind::data,
              fmt::format("{}: expected a whole {}, got a cut-off or damaged one", path_, kind_));
}

bool looks_like_gzip(std::span<const std::uint8_t> bytes) {
  return ByteReader(bytes).is(0, "\x1f\x8b");
}

std::vector<std::uint8_t> inflate_first(const std::string& path, std::size_t most) {
  GzipReader reader(path);
  std::vector<std::uint8_t> bytes;
  while (bytes.size() < most) {
    const std::size_t before = bytes.size();
    const std::size_t wanted = std::min(most - before, kPiece);
    bytes.resize(before + wanted);
    const std::size_t got = reader.read(bytes.data() + before, wanted);
    bytes.resize(before + got);
    if (got == 0) break;
  }
  return bytes;
}

InflatedFile::InflatedFile(const std::string& path) {
  GzipReader reader(path);
  std::error_code error;
  const std::string folder = std::filesystem::temp_directory_path(error).string();
  if (error) cannot_inflate(path, "TMPDIR", error.value());
  std::string name = folder + "/clr-inflated-XXXXXX";
  descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) cannot_inflate(path, folder, errno);
  ::unlink(name.c_str());
  std::vector<std::uint8_t> piece(kPiece);
  try {
    while (const std::size_t got = reader.read(piece.data(), piece.size())) {
      for (std::size_t done = 0; done < got;) {
        const ssize_t count = ::write(descriptor_, piece.data() + done, got - done);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) cannot_inflate(path, folder, errno);
        done += static_cast<std::size_t>(count);
      }
    }
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
  path_ = "/proc/self/fd/" + std::to_string(descriptor_);
}

InflatedFile::~InflatedFile() { ::close(descriptor_); }

}  // namespace clr
