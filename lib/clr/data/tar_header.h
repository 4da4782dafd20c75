// SPDX-License-Identifier: Apache-2.0
// A tar's blocks and the fields of their headers, for those who walk one.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace clr {

constexpr std::size_t kTarBlock = 512;
using TarBlock = std::array<char, kTarBlock>;

/// The blocks that so many bytes of content take.
inline std::uint64_t tar_blocks(std::uint64_t bytes) { return (bytes + kTarBlock - 1) / kTarBlock; }

/// Whether this block is the end of the tar.
inline bool is_tar_end(const TarBlock& block) {
  return std::all_of(block.begin(), block.end(), [](char c) { return c == 0; });
}

inline std::string_view tar_text(const TarBlock& block, std::size_t offset, std::size_t count) {
  return {block.data() + offset, strnlen(block.data() + offset, count)};
}

/// A number in octal digits; nothing where there are others, or none.
inline std::optional<std::uint64_t> tar_octal(const TarBlock& block, std::size_t offset,
                                              std::size_t count) {
  std::uint64_t value = 0;
  bool any = false;
  for (std::size_t i = offset; i < offset + count; ++i) {
    const char c = block[i];
    if (c == ' ' && !any) continue;
    if (c == ' ' || c == '\0') break;
    if (c < '0' || c > '7') return std::nullopt;
    value = value * 8 + static_cast<std::uint64_t>(c - '0');
    any = true;
  }
  if (!any) return std::nullopt;
  return value;
}

/// Whether the header's own sum of its bytes, that field counted as spaces, is right.
inline bool has_tar_sum(const TarBlock& block) {
  std::uint64_t sum = 8 * ' ';
  for (std::size_t i = 0; i < kTarBlock; ++i) {
    if (i < 148 || i >= 156) sum += static_cast<std::uint8_t>(block[i]);
  }
  return tar_octal(block, 148, 8) == sum;
}

}  // namespace clr
