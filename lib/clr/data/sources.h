// SPDX-License-Identifier: Apache-2.0
// What open_dataset() chooses from; each is one file beside.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "clr/data/dataset.h"
#include "clr/data/tar_index.h"

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

/// Which part of a published set.
enum class Split { train, test, unlabeled };
constexpr auto enum_names(Split) { return std::array{"train", "test", "unlabeled"}; }

bool is_cifar_folder(const std::string& path);
std::unique_ptr<Dataset> open_cifar_folder(const std::string& path, Split split,
                                           const DataConfig& config);
std::unique_ptr<Dataset> open_cifar_tar(const std::string& path, Split split,
                                        const DataConfig& config);
std::unique_ptr<Dataset> open_cifar_file(const std::string& path, const DataConfig& config);
/// Whether a file of this name, without folders, makes a tar CIFAR's.
bool is_cifar_member(const std::string& name);

/// MNIST's format: bytes in an array of 3 dimensions, and labels, each file perhaps gzipped.
bool is_idx_folder(const std::string& path);
bool looks_like_idx(std::span<const std::uint8_t> first_bytes);
std::unique_ptr<Dataset> open_idx_folder(const std::string& path, Split split,
                                         const DataConfig& config);
std::unique_ptr<Dataset> open_idx_file(const std::string& path, const DataConfig& config);

/// STL-10's binary files. The images stay on the disk.
bool is_stl10_folder(const std::string& path);
std::unique_ptr<Dataset> open_stl10_folder(const std::string& path, Split split,
                                           const DataConfig& config);

/// The names in a file of one a line, empty lines left out; `where` is the file.
///
/// Throws:  Error{data} for another number of them than `count`.
std::vector<std::string> parse_class_names(std::span<const std::uint8_t> text,
                                           const std::string& where, std::size_t count);

/// A pack of pack_writer.h.
bool looks_like_pack(std::span<const std::uint8_t> first_bytes);
std::unique_ptr<Dataset> open_pack(const std::string& path, const DataConfig& config);

/// The paths that a pattern like `set-{000..099}.tar` stands for; nothing without braces.
/// Throws:  Error{data} for a range that runs backwards or is too long.
std::optional<std::vector<std::string>> expand_shards(const std::string& pattern);

/// A tar whose images are read where they lie.
struct Shard {
  std::string name;  ///< for people
  std::string path;  ///< what is read
  std::vector<TarMember> members;
  std::shared_ptr<const void> holder;  ///< keeps `path` there
};

/// Images in tars. Labels are WebDataset's, a `.cls` or
/// `.json` ("label", "cls" or "class") of the image's name up to its first dot; without any, the
/// folders below those that all names share are classes, where every image is in one.
///
/// Classes are numbered in byte order. Throws:  Error{data}: a tar without images, an image without
/// a label where others have one, a damaged label.
std::unique_ptr<Dataset> open_shards(std::vector<Shard> shards, const DataConfig& config);

/// A folder of images, or, without any, of texts (.txt), a text a file.
std::unique_ptr<Dataset> open_file_folder(const std::string& path, const DataConfig& config);
/// A list of images' paths, or a table of texts.
std::unique_ptr<Dataset> open_list_file(const std::string& path, const DataConfig& config);

/// Texts, a line each; empty lines end documents. `content` is the file's.
///
/// Throws:  Error{data} for a file without a text.
std::unique_ptr<Dataset> open_text_file(const std::string& path, std::string_view content);

}  // namespace clr
