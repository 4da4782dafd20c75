// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>

#include "clr/core/batch.h"

namespace clr {

/// The bad images that batches reported, each counted once, and the limit data.max_bad.
class BadImages {
 public:
  BadImages(std::int64_t dataset_size, double most_share) : size_(dataset_size), most_share_(most_share) {}

  /// Takes over batch.bad.
  ///
  /// Throws:  Error{data} with counts and the first bad image when the share is above the limit.
  void add(const Batch& batch);

  /// By dataset index.
  const std::map<std::int64_t, BadImage>& images() const { return images_; }

 private:
  std::int64_t size_;
  double most_share_;
  std::map<std::int64_t, BadImage> images_;
};

}  // namespace clr
