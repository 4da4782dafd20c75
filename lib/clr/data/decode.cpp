// SPDX-License-Identifier: Apache-2.0
#include "clr/data/decode.h"

#include <fmt/format.h>

#include <utility>

#include "clr/core/error.h"
#include "clr/data/gif_codec.h"
#include "clr/data/heif_codec.h"
#include "clr/data/image_format.h"
#include "clr/data/jpeg_codec.h"
#include "clr/data/opencv_codec.h"

namespace clr {
namespace {

constexpr int kMostSide = 65'500;
constexpr std::size_t kMostBytes = 2'000'000'000;  // codecs count in int

void check_size(Size size, const DecodeRequest& request) {
  if (size.width > kMostSide || size.height > kMostSide) {
    throw Error(ErrorKind::data, fmt::format("expected at most {} pixels a side, got {} x {}",
                                             kMostSide, size.width, size.height));
  }
  if (std::int64_t{size.width} * size.height > request.max_pixels) {
    throw Error(ErrorKind::data,
                fmt::format("expected at most {} pixels, got {} x {}; see data.max_pixels",
                            request.max_pixels, size.width, size.height));
  }
}

ImageFormat known_format(std::span<const std::uint8_t> bytes) {
  if (bytes.empty()) throw Error(ErrorKind::data, "expected an image, got an empty file");
  if (bytes.size() > kMostBytes)
    throw Error(ErrorKind::data, "expected an image, got a file above 2 GB");
  const ImageFormat format = sniff(bytes);
  if (format == ImageFormat::unknown) {
    throw Error(ErrorKind::data,
                "expected an image (JPEG, PNG, BMP, WebP, TIFF, PNM, GIF, AVIF or HEIF), got "
                "something else");
  }
  return format;
}

Size header_size(std::span<const std::uint8_t> bytes, ImageFormat format) {
  if (format == ImageFormat::jpeg) return jpeg_size(bytes);
  if (format == ImageFormat::gif) return gif_size(bytes);
  if (format == ImageFormat::heif) return heif_size(bytes);
  return read_size(bytes, format);
}

Image decode_checked(std::span<const std::uint8_t> bytes, ImageFormat format) {
  if (format == ImageFormat::gif) return decode_gif(bytes);
  if (format == ImageFormat::heif) return decode_heif(bytes);
  return decode_other(bytes, format);
}

}  // namespace

Size probe(std::span<const std::uint8_t> bytes, const DecodeRequest& request) {
  const ImageFormat format = known_format(bytes);
  Size size = header_size(bytes, format);
  check_size(size, request);
  if (request.apply_exif && exif_orientation(bytes, format) >= 5)
    std::swap(size.width, size.height);
  return size;
}

Image decode(std::span<const std::uint8_t> bytes, const DecodeRequest& request, Image reuse) {
  const ImageFormat format = known_format(bytes);
  Image image;
  if (format == ImageFormat::jpeg) {
    image = decode_jpeg(
        bytes, [&](Size size) { check_size(size, request); }, std::move(reuse));
  } else {
    check_size(header_size(bytes, format), request);
    image = decode_checked(bytes, format);
  }
  if (!request.apply_exif) return image;
  return apply_orientation(std::move(image), exif_orientation(bytes, format));
}

bool decodes_in_parts(std::span<const std::uint8_t> bytes) {
  return sniff(bytes) == ImageFormat::jpeg;
}

Image decode_part(std::span<const std::uint8_t> bytes, Region& wanted, Image reuse) {
  return decode_jpeg_part(bytes, wanted, std::move(reuse));
}

const char* format_name(std::span<const std::uint8_t> bytes) { return to_string(sniff(bytes)); }

}  // namespace clr
