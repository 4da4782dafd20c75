// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "clr/core/batch.h"

namespace clr {

class World;

/// The bad images of a data set, each counted once, and the limit data.max_bad.
class BadImages {
 public:
  BadImages(std::int64_t dataset_size, double most_share)
      : size_(dataset_size), most_share_(most_share) {}

  /// Takes over what a batch reports and returns those that were not known yet.
  ///
  /// Throws:  Error{data} with counts and the first bad image when the share is above the limit.
  std::vector<BadImage> add(const std::vector<BadImage>& reported);

  /// Puts back what an earlier process found.
  void restore(std::map<std::int64_t, BadImage> images) { images_ = std::move(images); }

  /// By dataset index.
  const std::map<std::int64_t, BadImage>& images() const { return images_; }

 private:
  std::int64_t size_;
  double most_share_;
  std::map<std::int64_t, BadImage> images_;
};

/// Everyone's, in the order of ranks.
std::vector<BadImage> gather_bad_images(World& world, const std::vector<BadImage>& own);

}  // namespace clr
