// SPDX-License-Identifier: Apache-2.0
#include "clr/data/tiff_header.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "clr/core/error.h"
#include "clr/data/byte_reader.h"

namespace clr {
namespace {

using Bytes = std::span<const std::uint8_t>;

enum Tag : std::uint32_t {
  kWidth = 256,
  kHeight = 257,
  kBitsPerSample = 258,
  kStripOffsets = 273,
  kOrientation = 274,
  kStripLengths = 279,
  kTileOffsets = 324,
  kTileLengths = 325,
  kExtraSamples = 338,
  kSampleFormat = 339,
};

/// Where the values of a tag stand.
struct Place {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  bool is_short = false;
};

ByteReader reader_of(Bytes bytes) { return ByteReader(bytes, ByteReader(bytes).is(0, "MM")); }

std::optional<Place> find_tag(Bytes bytes, std::uint32_t tag) {
  const ByteReader reader = reader_of(bytes);
  if (reader.u16(2) != 42U) return std::nullopt;
  const auto directory = reader.u32(4);
  const auto entries = directory ? reader.u16(*directory) : std::nullopt;
  if (!entries) return std::nullopt;
  for (std::uint32_t i = 0; i < *entries; ++i) {
    const std::uint64_t entry = std::uint64_t{*directory} + 2 + 12ULL * i;
    if (!reader.has(entry, 12)) return std::nullopt;
    if (reader.u16(entry) != tag) continue;
    constexpr std::uint32_t kShort = 3;
    Place place;
    place.is_short = reader.u16(entry + 2) == kShort;
    place.count = *reader.u32(entry + 4);
    const std::uint64_t length = place.count * (place.is_short ? 2 : 4);
    // What fits stands in the entry itself.
    place.first = length <= 4 ? entry + 8 : *reader.u32(entry + 8);
    if (!reader.has(place.first, length)) return std::nullopt;
    return place;
  }
  return std::nullopt;
}

/// Whether all strips or tiles, whose tags these are, lie inside the file.
bool parts_inside(Bytes bytes, Tag offsets_tag, Tag lengths_tag) {
  const auto offsets = tiff_tag(bytes, offsets_tag);
  const auto lengths = tiff_tag(bytes, lengths_tag);
  if (offsets.empty() || offsets.size() != lengths.size()) return false;
  const ByteReader reader(bytes);
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    if (!reader.has(offsets[i], lengths[i])) return false;
  }
  return true;
}

void check_samples(Bytes bytes) {
  constexpr std::uint32_t kUnsigned = 1;
  for (const std::uint32_t bits : tiff_tag(bytes, kBitsPerSample)) {
    if (bits <= 8 || bits == 16) continue;
    throw Error(ErrorKind::data, fmt::format("TIFF with {} bits a sample is not supported", bits));
  }
  for (const std::uint32_t format : tiff_tag(bytes, kSampleFormat)) {
    if (format == kUnsigned) continue;
    throw Error(ErrorKind::data, "TIFF with signed or floating-point samples is not supported");
  }
}

}  // namespace

std::vector<std::uint32_t> tiff_tag(Bytes bytes, std::uint32_t tag) {
  const auto place = find_tag(bytes, tag);
  std::vector<std::uint32_t> values;
  if (!place) return values;
  const ByteReader reader = reader_of(bytes);
  for (std::uint64_t i = 0; i < place->count; ++i) {
    values.push_back(place->is_short ? *reader.u16(place->first + 2 * i)
                                     : *reader.u32(place->first + 4 * i));
  }
  return values;
}

Size tiff_size(Bytes bytes) {
  if (reader_of(bytes).u16(2) == 43U) {
    throw Error(ErrorKind::data, "BigTIFF is not supported; convert it to PNG");
  }
  const auto width = tiff_tag(bytes, kWidth);
  const auto height = tiff_tag(bytes, kHeight);
  constexpr std::uint32_t kMost = 0x7fffffffU;
  if (width.size() != 1 || height.size() != 1 || width[0] - 1U >= kMost ||
      height[0] - 1U >= kMost) {
    throw Error(ErrorKind::data, "damaged TIFF: no size in its header");
  }
  check_samples(bytes);
  if (!parts_inside(bytes, kStripOffsets, kStripLengths) &&
      !parts_inside(bytes, kTileOffsets, kTileLengths)) {
    throw Error(ErrorKind::data, "damaged TIFF: the file is cut off");
  }
  Size size{static_cast<int>(width[0]), static_cast<int>(height[0])};
  const auto orientation = tiff_tag(bytes, kOrientation);
  if (orientation.size() == 1 && orientation[0] >= 5 && orientation[0] <= 8) {
    std::swap(size.width, size.height);
  }
  return size;
}

std::vector<std::uint8_t> with_inert_alpha(Bytes bytes) {
  constexpr std::uint8_t kAssociated = 1;
  constexpr std::uint32_t kUnassociated = 2;
  std::vector<std::uint8_t> copy(bytes.begin(), bytes.end());
  const auto place = find_tag(bytes, kExtraSamples);
  const auto values = tiff_tag(bytes, kExtraSamples);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] != kUnassociated) continue;
    const std::uint64_t width = place->is_short ? 2 : 4;
    const std::uint64_t last = ByteReader(bytes).is(0, "MM") ? width - 1 : 0;
    copy[place->first + width * i + last] = kAssociated;
  }
  return copy;
}

}  // namespace clr
