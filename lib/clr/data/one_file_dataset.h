// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "clr/data/dataset.h"

namespace clr {

/// Images in one file, known by their numbers.
class OneFileDataset : public Dataset {
 public:
  OneFileDataset(std::string path, std::vector<std::string> classes)
      : path_(std::move(path)), classes_(std::move(classes)) {}

  std::string name(std::int64_t index) const final {
    return fmt::format("{}/{}", file_name(), index);
  }
  std::string location(std::int64_t index) const final {
    return fmt::format("{}/{}", path_, index);
  }
  const std::vector<std::string>& classes() const final { return classes_; }

 protected:
  std::string file_name() const { return std::filesystem::path(path_).filename().string(); }

 private:
  std::string path_;
  std::vector<std::string> classes_;
};

}  // namespace clr
