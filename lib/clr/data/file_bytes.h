// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace clr {

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

}  // namespace clr
