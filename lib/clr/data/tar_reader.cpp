// SPDX-License-Identifier: Apache-2.0
#include "clr/data/tar_reader.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include "clr/core/error.h"
#include "clr/data/byte_reader.h"

namespace clr {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;

struct CloseGzip {
  void operator()(gzFile file) const { gzclose(file); }
};
using GzipFile = std::unique_ptr<std::remove_pointer_t<gzFile>, CloseGzip>;

using Block = std::array<std::uint8_t, kBlock>;

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw Error(ErrorKind::data, path + ": " + what);
}

void read_exactly(gzFile file, const std::string& path, std::uint8_t* to, std::size_t count) {
  constexpr std::size_t kMostAtOnce = std::size_t{1} << 20;
  while (count > 0) {
    const int got = gzread(file, to, static_cast<unsigned>(std::min(count, kMostAtOnce)));
    if (got <= 0) fail(path, "expected a whole tar file, got a cut-off or damaged one");
    to += got;
    count -= static_cast<std::size_t>(got);
  }
}

std::optional<std::uint64_t> octal(const Block& block, std::size_t offset, std::size_t count) {
  std::uint64_t value = 0;
  bool any = false;
  for (std::size_t i = offset; i < offset + count; ++i) {
    const auto c = static_cast<char>(block[i]);
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
    if (i < 148 || i >= 156) sum += block[i];
  }
  return sum;
}

std::string base_name(const Block& block) {
  const auto* text = reinterpret_cast<const char*>(block.data());
  const std::string name(text, strnlen(text, 100));
  return name.substr(name.rfind('/') + 1);
}

}  // namespace

bool looks_like_tar(std::span<const std::uint8_t> bytes) {
  return ByteReader(bytes).is(257, "ustar");
}

NamedFiles read_tar(const std::string& path,
                    const std::function<TarStep(const std::string& name)>& choose) {
  errno = 0;
  const GzipFile file(gzopen(path.c_str(), "rb"));
  if (!file) fail(path, std::string("cannot be read: ") + std::strerror(errno));
  gzbuffer(file.get(), 1U << 18);
  NamedFiles files;
  Block block{};
  std::vector<std::uint8_t> content;
  while (true) {
    read_exactly(file.get(), path, block.data(), kBlock);
    if (std::all_of(block.begin(), block.end(), [](std::uint8_t b) { return b == 0; }))
      return files;
    const auto size = octal(block, 124, 12);
    if (!size || octal(block, 148, 8) != header_sum(block))
      fail(path, "expected a tar file, got another");
    const std::uint64_t blocks = (*size + kBlock - 1) / kBlock;
    const auto type = static_cast<char>(block[156]);
    std::string name = base_name(block);
    const TarStep step = type == '0' || type == '\0' ? choose(name) : TarStep::skip;
    if (step == TarStep::stop) return files;
    if (step == TarStep::take) {
      if (*size > kMostBytes) fail(path, name + ": expected at most 1 GiB");
      content.resize(blocks * kBlock);
      read_exactly(file.get(), path, content.data(), content.size());
      content.resize(*size);
      files[std::move(name)] = std::move(content);
      content = {};
    } else {
      for (std::uint64_t i = 0; i < blocks; ++i)
        read_exactly(file.get(), path, block.data(), kBlock);
    }
  }
}

}  // namespace clr
