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
#include "clr/data/tar_header.h"

namespace clr {
namespace {

constexpr std::uint64_t kMostExtra = std::uint64_t{1} << 20;  // a long name or a pax header

/// The size of a header's content: octal digits or, for large ones, GNU's big-endian bytes.
std::optional<std::uint64_t> size_of(const TarBlock& block) {
  constexpr std::size_t kOffset = 124;
  constexpr std::size_t kCount = 12;
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(block[kOffset + i]); };
  if (byte(0) != 0x80U) return tar_octal(block, kOffset, kCount);
  std::uint64_t value = 0;
  for (std::size_t i = 1; i < kCount; ++i) {
    if (value >> 54 != 0) return std::nullopt;
    value = (value << 8) | byte(i);
  }
  return value;
}

std::string header_name(const TarBlock& block) {
  std::string name(tar_text(block, 0, 100));
  const bool ustar = std::memcmp(block.data() + 257, "ustar\0", 6) == 0;
  if (const std::string_view prefix = tar_text(block, 345, 155); ustar && !prefix.empty()) {
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
      TarBlock header{};
      read(at_, header);
      if (is_tar_end(header)) return;
      auto size = size_of(header);
      if (!size || !has_tar_sum(header)) {
        fail(at_, "expected a tar header, got other bytes; is the file damaged?");
      }
      const char type = header[156];
      const bool regular = type == '0' || type == '\0' || type == '7';
      if (regular && extra.size) size = extra.size;
      const std::uint64_t content = at_ + kTarBlock;
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
      at_ = content + tar_blocks(*size) * kTarBlock;
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
