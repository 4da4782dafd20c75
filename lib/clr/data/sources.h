// SPDX-License-Identifier: Apache-2.0
// What open_dataset() chooses from; each is one file beside.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "clr/data/dataset.h"

namespace clr {

/// Image files below one folder: names, and labels where there are any.
///
/// Memory:  the names' bytes and 16 bytes an image.
class FileDataset final : public Dataset {
 public:
  /// `root` is the folder that names are relative to.
  explicit FileDataset(std::string root) : root_(std::move(root)) {}

  /// Appends an image; label -1 for none.
  void add(std::string_view name, std::int64_t label);
  void set_classes(std::vector<std::string> classes) { classes_ = std::move(classes); }

  std::int64_t size() const override { return static_cast<std::int64_t>(labels_.size()); }
  Record get(std::int64_t index) const override;
  std::int64_t label(std::int64_t index) const override;
  std::string name(std::int64_t index) const override;
  std::string location(std::int64_t index) const override;
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string fingerprint() const override;

 private:
  std::string root_;
  std::string names_;
  std::vector<std::uint64_t> ends_;  ///< where each name ends in names_
  std::vector<std::int64_t> labels_;
  std::vector<std::string> classes_;
};

/// Which of CIFAR's two sets.
enum class CifarSplit { train, test };

bool is_cifar_folder(const std::string& path);
std::unique_ptr<Dataset> open_cifar_folder(const std::string& path, CifarSplit split,
                                           const DataConfig& config);
std::unique_ptr<Dataset> open_cifar_tar(const std::string& path, CifarSplit split,
                                        const DataConfig& config);
std::unique_ptr<Dataset> open_cifar_file(const std::string& path, const DataConfig& config);
std::unique_ptr<Dataset> open_image_folder(const std::string& path, const DataConfig& config);
std::unique_ptr<Dataset> open_list_file(const std::string& path, const DataConfig& config);

}  // namespace clr
