// SPDX-License-Identifier: Apache-2.0
// Stands in for gif_codec.cpp in builds without giflib.
#include "clr/core/error.h"
#include "clr/data/gif_codec.h"

namespace clr {
namespace {

[[noreturn]] void fail() {
  throw Error(ErrorKind::data,
              "this build does not read GIF; convert it to PNG, or use a build with giflib");
}

}  // namespace

Size gif_size(std::span<const std::uint8_t>) { fail(); }
Image decode_gif(std::span<const std::uint8_t>) { fail(); }

}  // namespace clr
