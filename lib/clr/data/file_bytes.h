// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace clr {

/// A file open for reading at any place, by any thread.
///
/// Read where it is asked for, not mapped: a disk that fails is an error then, not a signal.
class RandomFile {
 public:
  /// `shown` is what messages call the file. Throws:  Error{data} "SHOWN: cannot be read: REASON".
  RandomFile(const std::string& path, std::string shown);
  ~RandomFile();
  RandomFile(const RandomFile&) = delete;
  RandomFile& operator=(const RandomFile&) = delete;

  /// Throws:  Error{data} naming it, also where it is no regular file.
  std::uint64_t size() const;

  /// Up to `count` bytes from `offset` on; fewer at the end of the file.
  std::size_t read_some(std::uint64_t offset, void* to, std::size_t count) const;

  /// All of them. Throws:  Error{data} naming the file: not readable, or it ends before.
  void read(std::uint64_t offset, void* to, std::size_t count) const;

 private:
  [[noreturn]] void cannot_read(const std::string& reason) const;

  std::string shown_;
  int descriptor_;
};

/// The whole content of a regular file of at most 2 GB.
///
/// Throws:  Error{data} "PATH: cannot be read: REASON".
std::vector<std::uint8_t> read_bytes(const std::string& path);

/// The first `count` bytes of a regular file, fewer where it is shorter. Throws as read_bytes().
std::vector<std::uint8_t> read_first_bytes(const std::string& path, std::size_t count);

/// `count` bytes from `offset` on; `shown` is what messages call the file.
///
/// Throws:  Error{data} naming it: not readable, or it ends before.
std::vector<std::uint8_t> read_range(const std::string& path, std::uint64_t offset,
                                     std::size_t count, const std::string& shown);

/// Whether there is a regular file of this name.
bool is_file(const std::string& path);

}  // namespace clr
