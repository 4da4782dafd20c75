// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "clr/config/fields.h"
#include "clr/core/image.h"

namespace clr {

enum class OnError { fail, skip, replace };
constexpr auto enum_names(OnError) { return std::array{"fail", "skip", "replace"}; }
enum class CacheMode { automatic, none, encoded, decoded };
constexpr auto enum_names(CacheMode) { return std::array{"auto", "none", "encoded", "decoded"}; }
enum class LabelMode { automatic, none, folder };
constexpr auto enum_names(LabelMode) { return std::array{"auto", "none", "folder"}; }
enum class ExifMode { ignore, apply };
constexpr auto enum_names(ExifMode) { return std::array{"ignore", "apply"}; }

/// The `data` section.
struct DataConfig {
  OnError on_error = OnError::fail;
  double max_bad = 0.01;
  CacheMode cache = CacheMode::automatic;
  double cache_memory = 0.25;
  LabelMode labels = LabelMode::automatic;
  ExifMode exif = ExifMode::ignore;
  std::int64_t max_pixels = 178'000'000;
  std::int64_t shuffle_shards = 0;

  static void fields(auto&& f) {
    f("on_error", &DataConfig::on_error,
      "an image that cannot be read: fail, skip it, or replace it by another (drawn, so "
      "repeatable)");
    f("max_bad", &DataConfig::max_bad, In{0, 1},
      "stop when more than this share of the images is bad");
    f("cache", &DataConfig::cache,
      "keep images in memory: decoded, encoded as in their files, or none; auto: the first of "
      "these whose images all fit");
    f("cache_memory", &DataConfig::cache_memory, In{0, 1},
      "share of the memory that data.cache may take");
    f("labels", &DataConfig::labels,
      "auto: subfolders are classes where they hold images; none: ignore them and search to any "
      "depth; "
      "folder: require classes");
    f("exif", &DataConfig::exif, "EXIF orientation: ignored, as torchvision does, or applied");
    f("max_pixels", &DataConfig::max_pixels, In{1, 1e10},
      "refuse larger images before decoding them");
    f("shuffle_shards", &DataConfig::shuffle_shards, In{0, 1'000'000},
      "an epoch takes this many shards at a time, in drawn order, and shuffles their images "
      "together, "
      "for disks that are slow at finding; 0: all at once");
  }
};

/// What a data set gives for one index: encoded bytes (a JPEG, a PNG, ...), or pixels.
using Record = std::variant<std::vector<std::uint8_t>, Image>;

/// Images by index. Const and thread-safe; never decodes.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual std::int64_t size() const = 0;

  /// The record of `index`. Throws Error{data} that names the file when it cannot be read.
  virtual Record get(std::int64_t index) const = 0;

  /// Class number, or -1 where there is none.
  virtual std::int64_t label(std::int64_t index) const = 0;

  /// A name that people recognise: the path relative to the root of the set.
  virtual std::string name(std::int64_t index) const = 0;

  /// Where the image can be found, for messages: its full path.
  virtual std::string location(std::int64_t index) const { return name(index); }

  /// Where the images of each shard end: files that hold many. One, at size(), without any.
  virtual std::vector<std::int64_t> shard_ends() const { return {size()}; }

  /// Class names, by class number; empty for unlabelled data.
  virtual const std::vector<std::string>& classes() const = 0;

  /// 16 hexadecimal digits that change when names, labels or sizes do.
  virtual std::string fingerprint() const = 0;

  bool labelled() const { return !classes().empty(); }
};

/// Opens what PATH names:
/// - a folder of images: subfolders that hold images (at any depth) are classes, numbered in byte
///   order of their names; without such subfolders, or with data.labels = none, it is unlabelled.
///   Images are in torchvision's order: by folder, then by name. Hidden entries are left out, links
///   are followed;
/// - an image file: a set of one;
/// - a CIFAR-10 or CIFAR-100 binary folder, or the .tar or .tar.gz of one: the training images
///   (`PATH#test`: the test images), with CIFAR-100's fine labels; or one .bin file, that file
///   alone;
/// - a folder of MNIST's idx files (or Fashion-MNIST's, KMNIST's; .gz too), as CIFAR's; or one
///   file of images, with the labels beside it;
/// - an STL-10 binary folder: `PATH#train`, `PATH#test`, or `PATH#unlabeled`;
/// - a .tar or .tar.gz of images, or several by a pattern like `set-{000..099}.tar` (WebDataset):
///   labels from .cls or .json files beside the images, else from folders;
/// - a .clrpack, as write_pack() makes it;
/// - a list, .csv, .tsv or .jsonl: `path[,label]`, paths relative to the list's folder, an optional
///   first line `path,label`; classes are numbered in byte order of the labels;
/// - texts (data/text_dataset.h): a .txt or .txt.gz, a text a line, where an empty line ends a document; a
///   folder without images but .txt files, a text a file, with classes as folders of images have; a list
///   whose first line (or whose objects) names a column `text`, or `text_a` and `text_b`.
///
/// Throws:  Error{data}: nothing there, not readable, no image in it, a class folder without
/// images,
///          images beside class folders, train/ and test/ given as one set, a damaged list or CIFAR
///          file (with line or record).
std::unique_ptr<Dataset> open_dataset(const std::filesystem::path& path, const DataConfig& config);

/// The same for `what`, which is about images. Throws:  Error{data} for texts too.
std::unique_ptr<Dataset> open_images(const std::filesystem::path& path, const DataConfig& config,
                                     const std::string& what);

/// Some images of another set, in the given order; labels and classes stay as they are.
///
/// Throws:  std::out_of_range for an index that `base` does not have.
std::unique_ptr<Dataset> make_subset(std::shared_ptr<const Dataset> base,
                                     std::vector<std::int64_t> indices);

/// For each class of `test` the number of the class of `train` with the same name.
///
/// Throws:  Error{data} naming the first class that `train` lacks, or if either has no labels.
std::vector<std::int64_t> match_classes(const Dataset& train, const Dataset& test);

}  // namespace clr
