// SPDX-License-Identifier: Apache-2.0
// STL-10's binary files: images of [3, 96, 96] bytes whose columns lie together, labels from 1 to
// 10. Its unlabeled images are 2.8 GB: they are read where they lie.
#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "clr/core/error.h"
#include "clr/data/file_bytes.h"
#include "clr/data/fingerprint.h"
#include "clr/data/one_file_dataset.h"
#include "clr/data/sources.h"

namespace clr {
namespace {

constexpr std::size_t kSide = 96;
constexpr std::size_t kPlane = kSide * kSide;
constexpr std::size_t kRecord = 3 * kPlane;
constexpr std::size_t kClasses = 10;

class Stl10 final : public OneFileDataset {
 public:
  Stl10(const std::string& path, std::int64_t size, std::vector<std::uint8_t> labels,
        std::vector<std::string> classes)
      : OneFileDataset(path, std::move(classes)),
        file_(path, path),
        size_(size),
        labels_(std::move(labels)) {}

  std::int64_t size() const override { return size_; }

  Record get(std::int64_t index) const override {
    std::vector<std::uint8_t> bytes(kRecord);
    file_.read(static_cast<std::uint64_t>(index) * kRecord, bytes.data(), kRecord);
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
    return labelled() ? labels_[static_cast<std::size_t>(index)] - 1 : -1;
  }
  std::string fingerprint() const override {
    Fingerprint result;
    for (const auto& one : classes()) result.add(one);
    result.add(file_name());
    result.add(size_);
    for (std::int64_t i = 0; i < size(); ++i) result.add(label(i));
    return result.hex();
  }

 private:
  RandomFile file_;
  std::int64_t size_;
  std::vector<std::uint8_t> labels_;
};

std::string images_path(const std::string& folder, Split split) {
  return folder + "/" + to_string(split) + "_X.bin";
}

std::vector<std::string> class_names(const std::string& folder) {
  const std::string path = folder + "/class_names.txt";
  if (is_file(path)) return parse_class_names(read_bytes(path), path, kClasses);
  std::vector<std::string> names;
  for (std::size_t i = 1; i <= kClasses; ++i) names.push_back(std::to_string(i));
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
    throw Error(
        ErrorKind::data,
        fmt::format("{}: expected {}_X.bin, which is missing; {}#test and {}#unlabeled name "
                    "STL-10's other parts",
                    path, to_string(split), path, path));
  }
  const std::uint64_t bytes = RandomFile(images, images).size();
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
  std::vector<std::uint8_t> labels;
  std::vector<std::string> classes;
  if (labelled) {
    labels = read_labels(path + "/" + to_string(split) + "_y.bin", size);
    classes = class_names(path);
  }
  return std::make_unique<Stl10>(images, size, std::move(labels), std::move(classes));
}

}  // namespace clr
