// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "clr/data/image_format.h"

namespace clr {

/// A regular file in a tar, and where its bytes lie.
struct TarMember {
  std::string name;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  ImageFormat format = ImageFormat::unknown;  ///< told by its first bytes
};

/// Walks the headers of a tar that is not compressed and gives each regular file to `visit`, until
/// it returns false. ustar, GNU (long names, large sizes) and pax are read.
///
/// Nothing is extracted: a name is a name, whatever it begins with. `shown` is what messages call
/// the file.
/// Throws:  Error{data} "SHOWN: byte N: ...": a damaged header, or the end of the file before the
///          end of the tar.
void index_tar(const std::string& path, const std::string& shown,
               const std::function<bool(TarMember)>& visit);

}  // namespace clr
