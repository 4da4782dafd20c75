// SPDX-License-Identifier: Apache-2.0
// STL-10's binary files: images of [3, 96, 96] bytes whose columns lie together, labels from 1 to
// 10. Its unlabeled images are 2.8 GB: they are read where they lie.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "clr/core/error.h"
#include "clr/data/file_bytes.h"
#include "clr/data/fingerprint.h"
#include "clr/data/sources.h"

namespace clr {
namespace {

constexpr std::size_t kSide = 96;
constexpr std::size_t kPlane = kSide * kSide;
constexpr std::size_t kRecord = 3 * kPlane;
constexpr std::size_t kClasses = 10;

class Stl10 final : public Dataset {
 public:
  Stl10(std::string path, std::int64_t size, std::vector<std::uint8_t> labels,
        std::vector<std::string> classes)
      : path_(std::move(path)),
        size_(size),
        labels_(std::move(labels)),
        classes_(std::move(classes)) {}

  std::int64_t size() const override { return size_; }

  Record get(std::int64_t index) const override {
    const auto bytes =
        read_range(path_, static_cast<std::uint64_t>(index) * kRecord, kRecord, path_);
    Image image;
    image.width = kSide;
    image.height = kSide;
    image.pixels.resize(kRecord);
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t x = 0; x < kSide; ++x) {
        for (std::size_t y = 0; y < kSide; ++y) {
          image.pixels[3 * (y * kSide + x) + c] = bytes[c * kPlane + x * kSide + y];
        }
      }
    }
    return image;
  }

  std::int64_t label(std::int64_t index) const override {
    return labels_.empty() ? -1 : labels_[static_cast<std::size_t>(index)] - 1;
  }
  std::string name(std::int64_t index) const override {
    return fmt::format("{}/{}", std::filesystem::path(path_).filename().string(), index);
  }
  std::string location(std::int64_t index) const override {
    return fmt::format("{}/{}", path_, index);
  }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string fingerprint() const override {
    Fingerprint result;
    for (const auto& one : classes_) result.add(one);
    result.add(std::filesystem::path(path_).filename().string());
    result.add(size_);
    for (std::int64_t i = 0; i < size(); ++i) result.add(label(i));
    return result.hex();
  }

 private:
  std::string path_;
  std::int64_t size_;
  std::vector<std::uint8_t> labels_;
  std::vector<std::string> classes_;
};

std::string images_path(const std::string& folder, Split split) {
  return folder + "/" + to_string(split) + "_X.bin";
}

bool is_file(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

std::vector<std::string> class_names(const std::string& folder) {
  std::vector<std::string> names;
  const std::string path = folder + "/class_names.txt";
  if (!is_file(path)) {
    for (std::size_t i = 1; i <= kClasses; ++i) names.push_back(std::to_string(i));
    return names;
  }
  names.emplace_back();
  for (const std::uint8_t byte : read_bytes(path)) {
    if (byte == '\n') {
      names.emplace_back();
    } else if (byte != '\r') {
      names.back() += static_cast<char>(byte);
    }
  }
  std::erase(names, "");
  if (names.size() != kClasses) {
    throw Error(ErrorKind::data, fmt::format("{}: expected {} class names, got {}", path, kClasses,
                                             names.size()));
  }
  return names;
}

std::vector<std::uint8_t> read_labels(const std::string& path, std::int64_t images) {
  auto labels = read_bytes(path);
  if (static_cast<std::int64_t>(labels.size()) != images) {
    throw Error(ErrorKind::data, fmt::format("{}: expected {} labels, one an image, got {}", path,
                                             images, labels.size()));
  }
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] >= 1 && labels[i] <= kClasses) continue;
    throw Error(ErrorKind::data, fmt::format("{}: image {}: expected a label from 1 to {}, got {}",
                                             path, i, kClasses, labels[i]));
  }
  return labels;
}

}  // namespace

bool is_stl10_folder(const std::string& path) {
  return is_file(images_path(path, Split::train)) || is_file(images_path(path, Split::test)) ||
         is_file(images_path(path, Split::unlabeled));
}

std::unique_ptr<Dataset> open_stl10_folder(const std::string& path, Split split,
                                           const DataConfig& config) {
  const std::string images = images_path(path, split);
  if (!is_file(images)) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected {}_X.bin, which is missing; {}#test and {}#unlabeled name "
                            "STL-10's other parts",
                            path, to_string(split), path, path));
  }
  const std::uintmax_t bytes = std::filesystem::file_size(images);
  if (bytes == 0 || bytes % kRecord != 0) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected whole images of {} bytes, got {} bytes; the file may be "
                            "cut off",
                            images, kRecord, bytes));
  }
  const auto size = static_cast<std::int64_t>(bytes / kRecord);
  const bool labelled = split != Split::unlabeled && config.labels != LabelMode::none;
  if (!labelled && config.labels == LabelMode::folder) {
    throw Error(ErrorKind::data,
                images + ": expected labels (data.labels = folder), got STL-10's unlabeled part");
  }
  if (!labelled) return std::make_unique<Stl10>(images, size, std::vector<std::uint8_t>{}, std::vector<std::string>{});
  return std::make_unique<Stl10>(images, size,
                                 read_labels(path + "/" + to_string(split) + "_y.bin", size),
                                 class_names(path));
}

}  // namespace clr
