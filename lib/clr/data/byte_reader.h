// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace clr {

/// Unsigned integers at offsets of a byte string; nothing where the string is too short.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::uint8_t> bytes, bool big_endian = false)
      : bytes_(bytes), big_endian_(big_endian) {}

  std::optional<std::uint32_t> u16(std::uint64_t offset) const { return number(offset, 2); }
  std::optional<std::uint32_t> u24(std::uint64_t offset) const { return number(offset, 3); }
  std::optional<std::uint32_t> u32(std::uint64_t offset) const { return number(offset, 4); }

  bool has(std::uint64_t offset, std::uint64_t count) const {
    return offset <= bytes_.size() && count <= bytes_.size() - offset;
  }

  bool is(std::uint64_t offset, std::string_view text) const {
    if (!has(offset, text.size())) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (bytes_[offset + i] != static_cast<std::uint8_t>(text[i])) return false;
    }
    return true;
  }

 private:
  std::optional<std::uint32_t> number(std::uint64_t offset, unsigned count) const {
    if (!has(offset, count)) return std::nullopt;
    std::uint32_t value = 0;
    for (unsigned i = 0; i < count; ++i) {
      const unsigned at = big_endian_ ? i : count - 1 - i;
      value = (value << 8) | bytes_[offset + at];
    }
    return value;
  }

  std::span<const std::uint8_t> bytes_;
  bool big_endian_;
};

}  // namespace clr
