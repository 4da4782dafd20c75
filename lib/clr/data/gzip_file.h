// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace clr {

/// Whether bytes begin like a gzip file.
bool looks_like_gzip(std::span<const std::uint8_t> bytes);

/// Reads a gzip file, or one that is not compressed, from front to back.
class GzipReader {
 public:
  /// `kind` is what messages call a whole one. Throws:  Error{data} naming the file: not readable.
  explicit GzipReader(const std::string& path, const char* kind = "gzip file");
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  /// Up to `count` bytes; 0 at the end of a whole file. Throws:  Error{data}: cut off, damaged.
  std::size_t read(void* to, std::size_t count);

  /// That the file is cut off or damaged. Throws:  Error{data}.
  [[noreturn]] void fail() const;

 private:
  std::string path_;
  const char* kind_;
  gzFile file_;
};

/// The content of a gzip file, no more than `most` bytes of it.
///
/// Throws:  Error{data} naming the file: not readable, cut off, damaged.
std::vector<std::uint8_t> inflate_first(const std::string& path, std::size_t most);

/// A gzip file's content in a temporary file that has no name and goes with this object: gzip has
/// no random access.
class InflatedFile {
 public:
  /// Throws:  Error{data} as inflate_first(); Error{output} when the folder for temporary files
  ///          (TMPDIR) cannot take it.
  explicit InflatedFile(const std::string& path);
  ~InflatedFile();
  InflatedFile(const InflatedFile&) = delete;
  InflatedFile& operator=(const InflatedFile&) = delete;

  /// A path that opens the content while this object lives.
  const std::string& path() const { return path_; }

 private:
  int descriptor_ = -1;
  std::string path_;
};

}  // namespace clr
