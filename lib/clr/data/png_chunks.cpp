// SPDX-License-Identifier: Apache-2.0
#include "clr/data/png_chunks.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "clr/core/error.h"
#include "clr/data/byte_reader.h"

namespace clr {
namespace {

constexpr std::size_t kSignature = 8;
constexpr std::size_t kFrame = 12;  // length, type and checksum of a chunk

struct Chunk {
  std::string_view type;
  std::span<const std::uint8_t> content;
  std::span<const std::uint8_t> whole;
};

/// Calls visit(chunk) for each chunk, IEND being the last.
template <class Visit>
void for_each_chunk(std::span<const std::uint8_t> bytes, Visit visit) {
  const ByteReader reader(bytes, true);
  std::uint64_t offset = kSignature;
  for (bool first = true;; first = false) {
    const auto length = reader.u32(offset);
    if (!length || !reader.has(offset, kFrame + std::uint64_t{*length})) {
      throw Error(ErrorKind::data, "damaged PNG: the file is cut off");
    }
    const Chunk chunk{{reinterpret_cast<const char*>(bytes.data()) + offset + 4, 4},
                      bytes.subspan(offset + 8, *length),
                      bytes.subspan(offset, kFrame + *length)};
    if (first && (chunk.type != "IHDR" || chunk.content.size() != 13)) {
      throw Error(ErrorKind::data, "damaged PNG: it does not begin with a header");
    }
    visit(chunk);
    if (chunk.type == "IEND") return;
    offset += kFrame + std::uint64_t{*length};
  }
}

void check_sum(const Chunk& chunk) {
  const auto stored = ByteReader(chunk.whole, true).u32(chunk.whole.size() - 4);
  const auto computed = crc32_z(0, chunk.whole.data() + 4, chunk.content.size() + 4);
  if (stored != static_cast<std::uint32_t>(computed)) {
    throw Error(ErrorKind::data, fmt::format("damaged PNG: wrong checksum in {}", chunk.type));
  }
}

}  // namespace

PngChunks walk_png(std::span<const std::uint8_t> bytes) {
  PngChunks result;
  for_each_chunk(bytes, [&](const Chunk& chunk) {
    if (chunk.type == "IHDR") {
      const ByteReader reader(chunk.content, true);
      const std::uint32_t width = *reader.u32(0);
      const std::uint32_t height = *reader.u32(4);
      if (width == 0 || height == 0 || width > 0x7fffffffU || height > 0x7fffffffU) {
        throw Error(ErrorKind::data, fmt::format("damaged PNG: a size of {} x {}", width, height));
      }
      result.size = {static_cast<int>(width), static_cast<int>(height)};
    } else if (chunk.type == "eXIf") {
      result.exif = chunk.content;
    }
  });
  return result;
}

std::vector<std::uint8_t> pixel_chunks(std::span<const std::uint8_t> bytes) {
  constexpr std::array<std::string_view, 4> kKept = {"IHDR", "PLTE", "IDAT", "IEND"};
  std::vector<std::uint8_t> result(bytes.begin(), bytes.begin() + kSignature);
  result.reserve(bytes.size());
  bool pixels = false;
  for_each_chunk(bytes, [&](const Chunk& chunk) {
    const bool kept = std::find(kKept.begin(), kKept.end(), chunk.type) != kKept.end();
    // A capital marks what no decoder may ignore, so an unknown one is damage, or a format of its
    // own.
    const bool critical = chunk.type[0] >= 'A' && chunk.type[0] <= 'Z';
    if (!kept && !critical) return;
    check_sum(chunk);
    if (!kept) {
      throw Error(ErrorKind::data, fmt::format("PNG with a chunk {} is not supported", chunk.type));
    }
    pixels = pixels || chunk.type == "IDAT";
    result.insert(result.end(), chunk.whole.begin(), chunk.whole.end());
  });
  if (!pixels) throw Error(ErrorKind::data, "damaged PNG: no pixels in it");
  return result;
}

}  // namespace clr
