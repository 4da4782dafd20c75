// SPDX-License-Identifier: Apache-2.0
// Stands in for heif_codec.cpp in builds without libheif.
#include "clr/core/error.h"
#include "clr/data/heif_codec.h"

namespace clr {
namespace {

[[noreturn]] void fail() {
  throw Error(ErrorKind::data,
              "this build does not read HEIF or AVIF; convert it to JPEG or PNG, or use a build "
              "with libheif");
}

}  // namespace

Size heif_size(std::span<const std::uint8_t>) { fail(); }
Image decode_heif(std::span<const std::uint8_t>) { fail(); }

}  // namespace clr
