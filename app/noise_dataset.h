// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <vector>

#include "clr/data/dataset.h"

namespace clr {

/// Pictures of noise in ten classes, so that a speed can be measured without data (decoding is then
/// left out of it).
class NoiseDataset : public Dataset {
 public:
  NoiseDataset(std::int64_t size, Size image) : size_(size), image_(image) {}

  std::int64_t size() const override { return size_; }
  Record get(std::int64_t index) const override {
    Image image{image_.width, image_.height, {}};
    image.pixels.resize(static_cast<std::size_t>(image.width) *
                        static_cast<std::size_t>(image.height) * 3);
    std::uint32_t state = static_cast<std::uint32_t>(index) * 2654435761U + 1U;
    for (auto& value : image.pixels) {
      state = state * 1664525U + 1013904223U;
      value = static_cast<std::uint8_t>(state >> 24);
    }
    return image;
  }
  std::int64_t label(std::int64_t index) const override {
    return index % static_cast<std::int64_t>(classes_.size());
  }
  std::string name(std::int64_t index) const override { return fmt::format("noise {}", index); }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string fingerprint() const override { return "0000000000000000"; }

 private:
  std::int64_t size_;
  Size image_;
  std::vector<std::string> classes_{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
};

}  // namespace clr
