// SPDX-License-Identifier: Apache-2.0
#include "clr/data/image_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "clr/core/error.h"
#include "clr/data/byte_reader.h"
#include "clr/data/png_chunks.h"
#include "clr/data/tiff_header.h"

namespace clr {
namespace {

using Bytes = std::span<const std::uint8_t>;

[[noreturn]] void damaged(ImageFormat format, const std::string& what) {
  throw Error(ErrorKind::data, fmt::format("damaged {}: {}", to_string(format), what));
}

[[noreturn]] void cut_off(ImageFormat format) { damaged(format, "the file is cut off"); }

Size checked_size(ImageFormat format, std::int64_t width, std::int64_t height) {
  constexpr std::int64_t kMost = 0x7fffffff;
  if (width <= 0 || height <= 0 || width > kMost || height > kMost) {
    damaged(format, fmt::format("a size of {} x {}", width, height));
  }
  return {static_cast<int>(width), static_cast<int>(height)};
}

// -------------------------------------------------------------------------------------------- BMP

bool is_bmp(const ByteReader& reader) {
  // Two letters are too little to tell a picture from a text.
  constexpr std::array<std::uint32_t, 7> kHeaderSizes = {12, 40, 52, 56, 64, 108, 124};
  const auto header = reader.u32(14);
  return reader.is(0, "BM") && header &&
         std::find(kHeaderSizes.begin(), kHeaderSizes.end(), *header) != kHeaderSizes.end();
}

Size bmp_size(Bytes bytes) {
  const ByteReader reader(bytes);
  const auto header = reader.u32(14).value_or(0);
  if (!reader.has(14, header)) cut_off(ImageFormat::bmp);
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::uint32_t bits = 0;
  std::uint32_t compression = 0;
  if (header == 12) {
    width = *reader.u16(18);
    height = *reader.u16(20);
    bits = *reader.u16(24);
  } else {
    width = static_cast<std::int32_t>(*reader.u32(18));
    // Negative: stored from the top.
    height = std::abs(static_cast<std::int64_t>(static_cast<std::int32_t>(*reader.u32(22))));
    bits = *reader.u16(28);
    compression = *reader.u32(30);
  }
  if (compression != 0 && compression != 3) {
    throw Error(ErrorKind::data, "compressed BMP is not supported; convert it to PNG");
  }
  const Size size = checked_size(ImageFormat::bmp, width, height);
  const std::uint64_t row = (static_cast<std::uint64_t>(width) * bits + 31) / 32 * 4;
  if (!reader.has(*reader.u32(10), row * static_cast<std::uint64_t>(height))) {
    cut_off(ImageFormat::bmp);
  }
  return size;
}

// ------------------------------------------------------------------------------------------- WebP

/// Calls visit(type, content) for each chunk until it returns true; false at a cut-off one.
template <class Visit>
bool for_each_riff_chunk(Bytes bytes, Visit visit) {
  const ByteReader reader(bytes);
  const std::uint64_t end = std::uint64_t{reader.u32(4).value_or(0)} + 8;
  if (end > bytes.size()) return false;
  for (std::uint64_t offset = 12; offset + 8 <= end;) {
    const std::uint32_t length = *reader.u32(offset + 4);
    if (!reader.has(offset + 8, length)) return false;
    const std::string_view type(reinterpret_cast<const char*>(bytes.data()) + offset, 4);
    if (visit(type, bytes.subspan(offset + 8, length))) return true;
    offset += 8 + std::uint64_t{length} + (length & 1U);
  }
  return true;
}

Size webp_size(Bytes bytes) {
  std::optional<Size> size;
  const bool complete = for_each_riff_chunk(bytes, [&](std::string_view type, Bytes content) {
    const ByteReader reader(content);
    if (type == "VP8X" && content.size() >= 10) {
      if ((content[0] & 0x02U) != 0) {
        throw Error(ErrorKind::data, "animated WebP is not supported; convert it to PNG");
      }
      if (!size)
        size = Size{static_cast<int>(*reader.u24(4)) + 1, static_cast<int>(*reader.u24(7)) + 1};
    } else if (type == "VP8 " && content.size() >= 10) {
      if (!size) {
        size = Size{static_cast<int>(*reader.u16(6) & 0x3fffU),
                    static_cast<int>(*reader.u16(8) & 0x3fffU)};
      }
    } else if (type == "VP8L" && content.size() >= 5) {
      const std::uint32_t bits = *reader.u32(1);
      if (!size) {
        size = Size{static_cast<int>(bits & 0x3fffU) + 1,
                    static_cast<int>((bits >> 14) & 0x3fffU) + 1};
      }
    }
    return false;
  });
  if (!complete) cut_off(ImageFormat::webp);
  if (!size) damaged(ImageFormat::webp, "no picture in it");
  return checked_size(ImageFormat::webp, size->width, size->height);
}

// -------------------------------------------------------------------------------------------- PNM

bool is_space(std::uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// The next number of a PNM header; comments run from # to the end of the line.
std::optional<std::int64_t> pnm_number(Bytes bytes, std::size_t& at) {
  while (at < bytes.size() && (is_space(bytes[at]) || bytes[at] == '#')) {
    if (bytes[at] == '#') {
      while (at < bytes.size() && bytes[at] != '\n') ++at;
    } else {
      ++at;
    }
  }
  std::int64_t value = 0;
  const std::size_t first = at;
  for (; at < bytes.size() && bytes[at] >= '0' && bytes[at] <= '9'; ++at) {
    if (at - first >= 10) return std::nullopt;
    value = value * 10 + (bytes[at] - '0');
  }
  if (at == first) return std::nullopt;
  return value;
}

Size pnm_size(Bytes bytes) {
  const char kind = static_cast<char>(bytes[1]);
  const bool bitmap = kind == '1' || kind == '4';
  std::size_t at = 2;
  const auto width = pnm_number(bytes, at);
  const auto height = width ? pnm_number(bytes, at) : std::nullopt;
  const auto most = !height || bitmap ? height : pnm_number(bytes, at);
  if (!most) damaged(ImageFormat::pnm, "no size in its header");
  const Size size = checked_size(ImageFormat::pnm, *width, *height);
  if (!bitmap && *most != 255 && *most != 65535) {
    throw Error(
        ErrorKind::data,
        fmt::format("PNM with a largest value of {} is not supported; use 255 or 65535", *most));
  }
  if (kind >= '4') {
    const std::int64_t samples = kind == '6' ? 3 : 1;
    const std::int64_t row =
        bitmap ? (*width + 7) / 8 : *width * samples * (*most == 65535 ? 2 : 1);
    const auto needed = static_cast<std::uint64_t>(row) * static_cast<std::uint64_t>(*height);
    if (!ByteReader(bytes).has(at + 1, needed)) cut_off(ImageFormat::pnm);
  }
  return size;
}

// ------------------------------------------------------------------------------------------- EXIF

constexpr std::string_view kExifMark("Exif\0\0", 6);

/// The EXIF part of a JPEG: the first APP1 segment with its mark.
Bytes jpeg_exif(Bytes bytes) {
  const ByteReader reader(bytes, true);
  std::uint64_t offset = 2;
  while (true) {
    const auto marker = reader.u16(offset);
    const auto length = reader.u16(offset + 2);
    if (!marker || (*marker & 0xff00U) != 0xff00U) return {};
    if (*marker == 0xffffU) {  // fill byte
      ++offset;
      continue;
    }
    constexpr std::uint32_t kStartOfScan = 0xffdaU;
    constexpr std::uint32_t kApp1 = 0xffe1U;
    if (*marker == kStartOfScan || !length || *length < 2 || !reader.has(offset + 2, *length))
      return {};
    if (*marker == kApp1 && reader.is(offset + 4, kExifMark) && *length >= 2 + kExifMark.size()) {
      return bytes.subspan(offset + 4 + kExifMark.size(), *length - 2 - kExifMark.size());
    }
    offset += 2 + *length;
  }
}

Bytes webp_exif(Bytes bytes) {
  Bytes found;
  for_each_riff_chunk(bytes, [&](std::string_view type, Bytes content) {
    if (type != "EXIF") return false;
    // Some writers keep JPEG's mark in front.
    found = ByteReader(content).is(0, kExifMark) ? content.subspan(kExifMark.size()) : content;
    return true;
  });
  return found;
}

}  // namespace

ImageFormat sniff(Bytes bytes) {
  const ByteReader reader(bytes);
  if (reader.is(0, "\xff\xd8\xff")) return ImageFormat::jpeg;
  if (reader.is(0, "\x89PNG\r\n\x1a\n")) return ImageFormat::png;
  if (is_bmp(reader)) return ImageFormat::bmp;
  if (reader.is(0, "RIFF") && reader.is(8, "WEBP")) return ImageFormat::webp;
  if (reader.is(0, {"II*\0", 4}) || reader.is(0, {"MM\0*", 4}) || reader.is(0, {"II+\0", 4}) ||
      reader.is(0, {"MM\0+", 4})) {
    return ImageFormat::tiff;
  }
  if (reader.is(0, "GIF87a") || reader.is(0, "GIF89a")) return ImageFormat::gif;
  if (reader.is(0, {"\0\0\0\x0cjP  ", 8}) || reader.is(0, "\xff\x4f\xff\x51")) {
    return ImageFormat::jpeg2000;
  }
  if (reader.is(4, "ftyp") &&
      (reader.is(8, "avif") || reader.is(8, "avis") || reader.is(8, "heic") ||
       reader.is(8, "heix") || reader.is(8, "mif1"))) {
    return ImageFormat::heif;
  }
  if (bytes.size() >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' &&
      is_space(bytes[2])) {
    return ImageFormat::pnm;
  }
  return ImageFormat::unknown;
}

bool has_image_extension(std::string_view name) {
  constexpr std::array<std::string_view, 12> kExtensions = {
      "jpg", "jpeg", "jfif", "png", "bmp", "webp", "tif", "tiff", "ppm", "pgm", "pbm", "pnm"};
  const auto dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  std::string extension(name.substr(dot + 1));
  for (char& c : extension) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

const char* to_string(ImageFormat format) {
  constexpr std::array kNames = {"unknown", "JPEG", "PNG", "BMP",       "WebP",
                                 "TIFF",    "PNM",  "GIF", "JPEG 2000", "HEIF or AVIF"};
  return kNames.at(static_cast<std::size_t>(format));
}

Size read_size(Bytes bytes, ImageFormat format) {
  switch (format) {
    case ImageFormat::png:
      return walk_png(bytes).size;
    case ImageFormat::bmp:
      return bmp_size(bytes);
    case ImageFormat::webp:
      return webp_size(bytes);
    case ImageFormat::tiff:
      return tiff_size(bytes);
    case ImageFormat::pnm:
      return pnm_size(bytes);
    default:
      throw Error(ErrorKind::data,
                  fmt::format("{} is not supported; convert it to JPEG or PNG", to_string(format)));
  }
}

int exif_orientation(Bytes bytes, ImageFormat format) {
  constexpr std::uint32_t kOrientation = 274;
  Bytes exif;
  if (format == ImageFormat::jpeg) exif = jpeg_exif(bytes);
  if (format == ImageFormat::png) exif = walk_png(bytes).exif;
  if (format == ImageFormat::webp) exif = webp_exif(bytes);
  const auto values = tiff_tag(exif, kOrientation);
  return values.size() == 1 && values[0] >= 1 && values[0] <= 8 ? static_cast<int>(values[0]) : 1;
}

Image apply_orientation(Image image, int orientation) {
  if (orientation <= 1) return image;
  const bool transposed = orientation >= 5;
  // Where the upright picture's pixel (x, y) is stored: along which axes it runs backwards.
  const bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image upright;
  upright.width = transposed ? image.height : image.width;
  upright.height = transposed ? image.width : image.height;
  upright.pixels.resize(image.pixels.size());
  std::size_t at = 0;
  for (int y = 0; y < upright.height; ++y) {
    for (int x = 0; x < upright.width; ++x, at += 3) {
      int source_x = transposed ? y : x;
      int source_y = transposed ? x : y;
      if (flip_x) source_x = image.width - 1 - source_x;
      if (flip_y) source_y = image.height - 1 - source_y;
      const std::size_t from =
          3 * (static_cast<std::size_t>(source_y) * static_cast<std::size_t>(image.width) +
               static_cast<std::size_t>(source_x));
      std::copy_n(image.pixels.begin() + static_cast<std::ptrdiff_t>(from), 3,
                  upright.pixels.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }
  return upright;
}

}  // namespace clr
