// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "clr/core/error.h"

namespace clr {

/// A file that appears whole or not at all.
///
/// Bytes go to PATH.tmp; commit() brings them to the disk and renames. Without commit() the
/// destructor removes what was written, and an older PATH stays as it was.
class DurableFile {
 public:
  /// Throws:  Error{output} naming the file: folder missing, not writable, not a regular file.
  explicit DurableFile(std::filesystem::path path);
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  /// Throws:  Error{output} naming the file and the reason ("no space left on device").
  void write(const void* data, std::size_t size);
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }

  /// Flushes to the disk, renames, and flushes the folder. Throws as write() does. Once only.
  void commit();

 private:
  [[noreturn]] void fail(int error) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
};

/// Writes a whole file by way of DurableFile.
void write_file_durably(const std::filesystem::path& path, std::string_view bytes);

/// Brings a folder's list of names to the disk, so that a rename inside it survives a power cut.
///
/// Throws:  Error{output} naming the folder.
void flush_folder(const std::filesystem::path& folder);

/// The bytes of a file. Throws Error{kind}: `path: cannot be read: reason`.
std::string read_file(const std::filesystem::path& path, ErrorKind kind);

/// SHA-256, fed piece by piece.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(const void* data, std::size_t size);

  /// The digest as 64 lower-case hexadecimal digits. Once only.
  std::string hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string sha256_hex(std::string_view bytes);

/// Digest of a file's content, read in pieces. Throws Error{kind} as read_file does.
std::string sha256_file(const std::filesystem::path& path, ErrorKind kind = ErrorKind::checkpoint);

}  // namespace clr
