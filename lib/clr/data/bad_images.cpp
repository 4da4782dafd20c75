// SPDX-License-Identifier: Apache-2.0
#include "clr/data/bad_images.h"

#include <fmt/format.h>

#include "clr/core/error.h"

namespace clr {

std::vector<BadImage> BadImages::add(const std::vector<BadImage>& reported) {
  std::vector<BadImage> fresh;
  for (const BadImage& bad : reported) {
    if (images_.emplace(bad.index, bad).second) fresh.push_back(bad);
  }
  if (static_cast<double>(images_.size()) <= most_share_ * static_cast<double>(size_)) return fresh;
  const BadImage& first = images_.begin()->second;
  throw Error(
      ErrorKind::data,
      fmt::format("{}: {}; expected at most a share of {} bad images (data.max_bad), got {} of {}",
                  first.name, first.reason, most_share_, images_.size(), size_));
}

}  // namespace clr
