// SPDX-License-Identifier: Apache-2.0
// What a data set holds: every image is read and decoded once.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "clr/core/batch.h"
#include "clr/data/dataset.h"

namespace clr {

/// Least, median (the lower of two) and largest of a list of sizes.
struct SizeRange {
  int least = 0;
  int median = 0;
  int most = 0;
};

/// A digest of an image's size and pixels; all 0 where it cannot be read.
using PixelDigest = std::array<std::uint64_t, 2>;

/// What a scan found. Everything but `unreadable` is over the images that can be read.
struct DataScan {
  std::int64_t images = 0;                      ///< all, unreadable ones too
  std::vector<BadImage> unreadable;             ///< by index
  std::map<std::string, std::int64_t> formats;  ///< "JPEG", ...; "pixels" where nothing is encoded
  SizeRange width;
  SizeRange height;
  SizeRange shorter;                  ///< the shorter side
  std::array<double, 3> mean{};       ///< of red, green, blue in [0, 1]; every image counts alike
  std::array<double, 3> deviation{};  ///< over the same pixels
  std::vector<PixelDigest> digests;   ///< [images]

  std::int64_t readable() const { return images - static_cast<std::int64_t>(unreadable.size()); }
};

/// Reads and decodes every image. The result does not depend on the number of threads. `watch` is
/// told how many images are done.
///
/// Memory:  100 bytes an image.
DataScan scan_dataset(const Dataset& dataset, const DataConfig& config, int threads,
                      const std::function<void(std::int64_t)>& watch = {});

/// Images with the same pixels, whatever their files: indices in one set and in the other.
struct DuplicateGroup {
  std::vector<std::int64_t> first;
  std::vector<std::int64_t> second;
};

/// All groups of two images or more, in the order of their first member. `second` may be null.
std::vector<DuplicateGroup> find_duplicates(const DataScan& first, const DataScan* second);

}  // namespace clr
