// SPDX-License-Identifier: Apache-2.0
#include "clr/data/bad_images.h"

#include <fmt/format.h>

#include "clr/core/error.h"

namespace clr {

void BadImages::add(const Batch& batch) {
  for (const BadImage& bad : batch.bad) images_.emplace(bad.index, bad);
  if (batch.bad.empty()) return;
  if (static_cast<double>(images_.size()) <= most_share_ * static_cast<double>(size_)) return;
  const BadImage& first = images_.begin()->second;
  throw Error(ErrorKind::data,
              fmt::format("{}: {}; expected at most a share of {} bad images (data.max_bad), got {} of {}",
                          first.name, first.reason, most_share_, images_.size(), size_));
}

}  // namespace clr
