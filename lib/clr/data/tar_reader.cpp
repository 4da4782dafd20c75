// SPDX-License-Identifier: Apache-2.0
#include "clr/data/tar_reader.h"

#include <utility>

#include "clr/core/error.h"
#include "clr/data/byte_reader.h"
#include "clr/data/gzip_file.h"
#include "clr/data/tar_header.h"

namespace clr {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;

void read_exactly(GzipReader& file, char* to, std::size_t count) {
  while (count > 0) {
    const std::size_t got = file.read(to, count);
    if (got == 0) file.fail();
    to += got;
    count -= got;
  }
}

std::string base_name(const TarBlock& block) {
  const std::string name(tar_text(block, 0, 100));
  return name.substr(name.rfind('/') + 1);
}

}  // namespace

bool looks_like_tar(std::span<const std::uint8_t> bytes) {
  return ByteReader(bytes).is(257, "ustar");
}

NamedFiles read_tar(const std::string& path,
                    const std::function<TarStep(const std::string& name)>& choose) {
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorKind::data, path + ": " + what);
  };
  GzipReader file(path, "tar file");
  NamedFiles files;
  TarBlock block{};
  std::vector<std::uint8_t> content;
  while (true) {
    read_exactly(file, block.data(), kTarBlock);
    if (is_tar_end(block)) return files;
    const auto size = tar_octal(block, 124, 12);
    if (!size || !has_tar_sum(block)) fail("expected a tar file, got another");
    const std::uint64_t blocks = tar_blocks(*size);
    const char type = block[156];
    std::string name = base_name(block);
    const TarStep step = type == '0' || type == '\0' ? choose(name) : TarStep::skip;
    if (step == TarStep::stop) return files;
    if (step == TarStep::take) {
      if (*size > kMostBytes) fail(name + ": expected at most 1 GiB");
      content.resize(blocks * kTarBlock);
      read_exactly(file, reinterpret_cast<char*>(content.data()), content.size());
      content.resize(*size);
      files[std::move(name)] = std::move(content);
      content = {};
    } else {
      for (std::uint64_t i = 0; i < blocks; ++i) read_exactly(file, block.data(), kTarBlock);
    }
  }
}

}  // namespace clr
