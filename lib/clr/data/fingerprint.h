// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace clr {

/// A 64-bit hash of a sequence of strings and numbers (FNV-1a): tells data sets apart, no more.
class Fingerprint {
 public:
  void add(std::string_view text) {
    for (const char c : text) mix(static_cast<std::uint8_t>(c));
    mix(0);  // so that "ab", "c" differs from "a", "bc"
  }
  void add(std::int64_t number) {
    for (int shift = 0; shift < 64; shift += 8) {
      mix(static_cast<std::uint8_t>(static_cast<std::uint64_t>(number) >> shift));
    }
  }
  std::string hex() const { return fmt::format("{:016x}", state_); }

 private:
  void mix(std::uint8_t byte) { state_ = (state_ ^ byte) * 0x100000001b3U; }

  std::uint64_t state_ = 0xcbf29ce484222325U;
};

}  // namespace clr
