// SPDX-License-Identifier: Apache-2.0
#include "clr/data/tar_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "clr/core/error.h"

namespace clr {
namespace {

constexpr std::uint64_t kBlock = 512;
constexpr std::uint64_t kMostExtra = std::uint64_t{1} << 20;  // a long name or a pax header

using Block = std::array<char, kBlock>;

std::string_view text_at(const Block& block, std::size_t offset, std::size_t count) {
  return {block.data() + offset, strnlen(block.data() + offset, count)};
}

/// A number of a header: octal digits or, for large ones, GNU's big-endian bytes.
std::optional<std::uint64_t> number_at(const Block& block, std::size_t offset, std::size_t count) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(block[offset + i]); };
  std::uint64_t value = 0;
  if (byte(0) == 0x80U) {
    for (std::size_t i = 1; i < count; ++i) {
      if (value >> 54 != 0) return std::nullopt;
      value = (value << 8) | byte(i);
    }
    return value;
  }
  bool any = false;
  for (std::size_t i = 0; i < count; ++i) {
    const char c = block[offset + i];
    if (c == ' ' && !any) continue;
    if (c == ' ' || c == '\0') break;
    if (c < '0' || c > '7') return std::nullopt;
    value = value * 8 + static_cast<std::uint64_t>(c - '0');
    any = true;
  }
  if (!any) return std::nullopt;
  return value;
}

/// The sum of a header's bytes, its own field counted as spaces.
std::uint64_t header_sum(const Block& block) {
  std::uint64_t sum = 8 * ' ';
  for (std::size_t i = 0; i < kBlock; ++i) {
    if (i < 148 || i >= 156) sum += static_cast<std::uint8_t>(block[i]);
  }
  return sum;
}

std::string header_name(const Block& block) {
  std::string name(text_at(block, 0, 100));
  const bool ustar = std::memcmp(block.data() + 257, "ustar\0", 6) == 0;
  if (const std::string_view prefix = text_at(block, 345, 155); ustar && !prefix.empty()) {
    name = std::string(prefix) + "/" + name;
  }
  return name;
}

/// What a pax header says of the next file.
struct Extra {
  std::optional<std::string> name;
  std::optional<std::uint64_t> size;
};

class TarWalker {
 public:
  TarWalker(const std::string& path, std::string shown)
      : path_(std::move(shown)), file_(path, std::ios::binary) {
    if (!file_) throw Error(ErrorKind::data, path_ + ": cannot be read: " + std::strerror(errno));
    file_.seekg(0, std::ios::end);
    end_ = static_cast<std::uint64_t>(file_.tellg());
  }

  void walk(const std::function<bool(TarMember)>& visit) {
    Extra extra;
    while (true) {
      Block header{};
      read(at_, header);
      if (std::all_of(header.begin(), header.end(), [](char c) { return c == 0; })) return;
      const auto sum = number_at(header, 148, 8);
      auto size = number_at(header, 124, 12);
      if (!size || sum != header_sum(header)) {
        fail(at_, "expected a tar header, got other bytes; is the file damaged?");
      }
      const char type = header[156];
      const bool regular = type == '0' || type == '\0' || type == '7';
      if (regular && extra.size) size = extra.size;
      const std::uint64_t content = at_ + kBlock;
      std::string name = extra.name.value_or(header_name(header));
      if (*size > end_ - content) {
        fail(at_, fmt::format("{}: expected {} bytes, got {}; is the file cut off?", name, *size,
                              end_ - content));
      }
      if (type == 'L') {
        extra.name = read_text(content, *size);
        extra.name->resize(strnlen(extra.name->c_str(), extra.name->size()));
      } else if (type == 'x') {
        read_pax(content, *size, extra);
      } else {
        extra = {};
        if (regular && !visit({std::move(name), content, *size, format_at(content, *size)})) return;
      }
      at_ = content + (*size + kBlock - 1) / kBlock * kBlock;
    }
  }

 private:
  [[noreturn]] void fail(std::uint64_t at, const std::string& what) const {
    throw Error(ErrorKind::data, fmt::format("{}: byte {}: {}", path_, at, what));
  }

  void read(std::uint64_t at, std::span<char> to) {
    if (at > end_ || to.size() > end_ - at) {
      fail(std::min(at, end_), "expected more of the tar, got its end; is the file cut off?");
    }
    file_.seekg(static_cast<std::streamoff>(at));
    file_.read(to.data(), static_cast<std::streamsize>(to.size()));
    if (!file_) fail(at, "cannot be read");
  }

  std::string read_text(std::uint64_t at, std::uint64_t size) {
    if (size > kMostExtra) fail(at, "expected a header of at most 1 MiB, got a larger one");
    std::string text(size, '\0');
    read(at, text);
    return text;
  }

  ImageFormat format_at(std::uint64_t at, std::uint64_t size) {
    std::array<char, kSniffBytes> first{};
    const std::size_t count = std::min<std::uint64_t>(size, first.size());
    read(at, std::span(first).first(count));
    return sniff({reinterpret_cast<const std::uint8_t*>(first.data()), count});
  }

  /// Records "LENGTH KEY=VALUE\n".
  void read_pax(std::uint64_t at, std::uint64_t size, Extra& extra) {
    const std::string text = read_text(at, size);
    std::size_t begin = 0;
    while (begin < text.size() && text[begin] != '\0') {
      const std::size_t space = text.find(' ', begin);
      const std::size_t length = space == std::string::npos || space - begin > 9
                                     ? 0
                                     : std::strtoull(text.c_str() + begin, nullptr, 10);
      if (length <= space - begin + 1 || length > text.size() - begin ||
          text[begin + length - 1] != '\n') {
        fail(at, "expected a pax header, got other bytes; is the file damaged?");
      }
      const std::string record = text.substr(space + 1, length - (space - begin) - 2);
      if (record.starts_with("path=")) extra.name = record.substr(5);
      if (record.starts_with("size=")) {
        extra.size = std::strtoull(record.c_str() + 5, nullptr, 10);
      }
      begin += length;
    }
  }

  std::string path_;
  std::ifstream file_;
  std::uint64_t end_ = 0;
  std::uint64_t at_ = 0;
};

}  // namespace

void index_tar(const std::string& path, const std::string& shown,
               const std::function<bool(TarMember)>& visit) {
  TarWalker(path, shown).walk(visit);
}

}  // namespace clr
