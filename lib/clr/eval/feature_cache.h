// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "clr/config/json.h"
#include "clr/data/dataset.h"
#include "clr/eval/features.h"

namespace clr {

/// 16 hexadecimal digits of the bytes of all records, in order; records that cannot be read count
/// as such. Reads the whole set, and decodes nothing. Source: XXH3, 64 bits.
std::string content_hash(const Dataset& dataset, int threads);

/// Features that stay in a folder: a safetensors file each, named by a hash of everything that the
/// features depend on and holding it, so that two sets that share a hash cannot be confused.
class FeatureCache {
 public:
  /// `key` is whatever the features depend on.
  FeatureCache(std::filesystem::path folder, const Json& key);

  /// Nothing where there are none, or a file that is damaged or of another key.
  std::optional<Features> find() const;

  /// Keeps them, and no more than the eight files of the folder that were used last.
  /// Throws:  Error{output}.
  void keep(const Features& features) const;

 private:
  std::filesystem::path folder_;
  std::string key_;
  std::filesystem::path file_;
};

}  // namespace clr
