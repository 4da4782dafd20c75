// SPDX-License-Identifier: Apache-2.0
// Stands in for opencv_codec.cpp in builds without OpenCV.
#include <fmt/format.h>

#include "clr/core/error.h"
#include "clr/data/opencv_codec.h"

namespace clr {

Image decode_other(std::span<const std::uint8_t>, ImageFormat format) {
  throw Error(ErrorKind::data,
              fmt::format("this build reads JPEG only: expected JPEG, got {}; convert it, "
                          "or use a build with OpenCV",
                          to_string(format)));
}

}  // namespace clr
