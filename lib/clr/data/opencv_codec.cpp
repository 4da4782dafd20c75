// SPDX-License-Identifier: Apache-2.0
#include "clr/data/opencv_codec.h"

#include <fmt/format.h>

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <vector>

#include "clr/core/error.h"
#include "clr/data/png_chunks.h"
#include "clr/data/tiff_header.h"
#include "clr/io/drawing.h"

namespace clr {
namespace {

template <class Sample, class Scale>
void copy_as_rgb(const cv::Mat& pixels, Image& image, Scale scale) {
  std::uint8_t* to = image.pixels.data();
  for (int y = 0; y < pixels.rows; ++y) {
    const Sample* from = pixels.ptr<Sample>(y);
    for (int x = 0; x < pixels.cols; ++x, from += 3, to += 3) {
      for (int c = 0; c < 3; ++c) to[c] = scale(from[2 - c]);
    }
  }
}

cv::Mat read_pixels(std::span<const std::uint8_t> bytes, ImageFormat format) {
  const cv::Mat encoded(
      1, static_cast<int>(bytes.size()), CV_8UC1,
      const_cast<std::uint8_t*>(bytes.data()));  // read only, though not declared so
  try {
    return cv::imdecode(encoded,
                        cv::IMREAD_COLOR | cv::IMREAD_ANYDEPTH | cv::IMREAD_IGNORE_ORIENTATION);
  } catch (const cv::Exception& error) {
    throw Error(ErrorKind::data, fmt::format("damaged {}: {}", to_string(format), error.err));
  }
}

}  // namespace

Image decode_other(std::span<const std::uint8_t> bytes, ImageFormat format) {
  quieten_opencv();
  std::vector<std::uint8_t> kept;
  if (format == ImageFormat::png) {
    kept = pixel_chunks(bytes);
    bytes = kept;
  } else if (format == ImageFormat::tiff) {
    kept = with_inert_alpha(bytes);
    bytes = kept;
  }
  const cv::Mat pixels = read_pixels(bytes, format);
  if (pixels.empty()) {
    throw Error(ErrorKind::data,
                fmt::format("damaged {}: its pixels cannot be read", to_string(format)));
  }
  Image image;
  image.width = pixels.cols;
  image.height = pixels.rows;
  image.pixels.resize(3 * static_cast<std::size_t>(pixels.cols) *
                      static_cast<std::size_t>(pixels.rows));
  if (pixels.type() == CV_8UC3) {
    copy_as_rgb<std::uint8_t>(pixels, image, [](std::uint8_t value) { return value; });
  } else if (pixels.type() == CV_16UC3) {
    copy_as_rgb<std::uint16_t>(pixels, image, [](std::uint16_t value) {
      return static_cast<std::uint8_t>((value + 128U) / 257U);
    });
  } else {
    throw Error(ErrorKind::data,
                fmt::format("{} with other than 8 or 16 bits a sample is not supported",
                            to_string(format)));
  }
  return image;
}

}  // namespace clr
