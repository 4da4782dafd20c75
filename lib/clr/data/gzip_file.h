// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace clr {

/// Whether bytes begin like a gzip file.
bool looks_like_gzip(std::span<const std::uint8_t> bytes);

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
