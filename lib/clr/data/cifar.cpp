// SPDX-License-Identifier: Apache-2.0
// CIFAR-10 and CIFAR-100 as binary files: records of one label byte (CIFAR-100: coarse and fine)
// and 3072 bytes of pixels, [3, 32, 32].
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "clr/core/error.h"
#include "clr/data/file_bytes.h"
#include "clr/data/fingerprint.h"
#include "clr/data/sources.h"
#include "clr/data/tar_reader.h"

namespace clr {
namespace {

constexpr int kSide = 32;
constexpr std::size_t kPlane = kSide * kSide;
constexpr std::size_t kPixels = 3 * kPlane;

/// What differs between the two sets.
struct Kind {
  std::size_t label_bytes;  ///< the last of them is the label
  std::size_t classes;
  const char* names_file;
  std::vector<std::string> train_files;
  std::vector<std::string> test_files;

  std::size_t record() const { return label_bytes + kPixels; }
  const std::vector<std::string>& files(Split split) const {
    return split == Split::train ? train_files : test_files;
  }
  bool has(const std::string& name) const {
    return std::find(train_files.begin(), train_files.end(), name) != train_files.end() ||
           std::find(test_files.begin(), test_files.end(), name) != test_files.end();
  }
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> result = {
      {1,
       10,
       "batches.meta.txt",
       {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
        "data_batch_5.bin"},
       {"test_batch.bin"}},
      {2, 100, "fine_label_names.txt", {"train.bin"}, {"test.bin"}}};
  return result;
}

class Cifar final : public Dataset {
 public:
  Cifar(std::string where, std::size_t label_bytes, std::vector<std::string> classes)
      : where_(std::move(where)), label_bytes_(label_bytes), classes_(std::move(classes)) {}

  void add(const std::string& file, const std::vector<std::uint8_t>& records) {
    files_.push_back({file, size()});
    records_.insert(records_.end(), records.begin(), records.end());
  }
  void drop_labels() { classes_.clear(); }

  std::int64_t size() const override {
    return static_cast<std::int64_t>(records_.size() / (label_bytes_ + kPixels));
  }

  Record get(std::int64_t index) const override {
    const std::uint8_t* planes = record(index) + label_bytes_;
    Image image;
    image.width = kSide;
    image.height = kSide;
    image.pixels.resize(kPixels);
    for (std::size_t i = 0; i < kPlane; ++i) {
      for (std::size_t c = 0; c < 3; ++c) image.pixels[3 * i + c] = planes[c * kPlane + i];
    }
    return image;
  }

  std::int64_t label(std::int64_t index) const override {
    return classes_.empty() ? -1 : record(index)[label_bytes_ - 1];
  }

  std::string name(std::int64_t index) const override {
    const auto file = std::find_if(files_.rbegin(), files_.rend(),
                                   [&](const File& candidate) { return candidate.first <= index; });
    return fmt::format("{}/{}", file->name, index - file->first);
  }

  std::string location(std::int64_t index) const override { return where_ + "/" + name(index); }
  const std::vector<std::string>& classes() const override { return classes_; }

  std::string fingerprint() const override {
    Fingerprint result;
    for (const auto& name : classes_) result.add(name);
    for (const File& file : files_) {
      result.add(file.name);
      result.add(file.first);
    }
    for (std::int64_t i = 0; i < size(); ++i) result.add(label(i));
    return result.hex();
  }

 private:
  struct File {
    std::string name;
    std::int64_t first;  ///< index of its first image
  };

  const std::uint8_t* record(std::int64_t index) const {
    return &records_.at(static_cast<std::size_t>(index) * (label_bytes_ + kPixels));
  }

  std::string where_;
  std::size_t label_bytes_;
  std::vector<std::string> classes_;
  std::vector<File> files_;
  std::vector<std::uint8_t> records_;
};

std::vector<std::string> class_names(const Kind& kind, const NamedFiles& files,
                                     const std::string& where) {
  const auto found = files.find(kind.names_file);
  if (found != files.end()) {
    return parse_class_names(found->second, where + "/" + kind.names_file, kind.classes);
  }
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kind.classes; ++i) names.push_back(std::to_string(i));
  return names;
}

void check_records(const Kind& kind, const std::vector<std::uint8_t>& bytes,
                   const std::string& where) {
  if (bytes.empty() || bytes.size() % kind.record() != 0) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected whole records of {} bytes, got {} bytes; the "
                            "file may be cut off",
                            where, kind.record(), bytes.size()));
  }
  for (std::size_t at = 0; at < bytes.size(); at += kind.record()) {
    const std::size_t label = bytes[at + kind.label_bytes - 1];
    if (label < kind.classes) continue;
    throw Error(ErrorKind::data, fmt::format("{}: record {}: expected a label below {}, got {}",
                                             where, at / kind.record(), kind.classes, label));
  }
}

/// `wanted` in this order; `where` is the folder or tar that holds them.
std::unique_ptr<Dataset> make_cifar(const Kind& kind, const NamedFiles& files,
                                    const std::vector<std::string>& wanted,
                                    const std::string& where, const DataConfig& config) {
  auto dataset = std::make_unique<Cifar>(where, kind.label_bytes, class_names(kind, files, where));
  for (const std::string& name : wanted) {
    const auto found = files.find(name);
    if (found == files.end()) {
      throw Error(ErrorKind::data, fmt::format("{}: expected {}, which is missing", where, name));
    }
    check_records(kind, found->second, where + "/" + name);
    dataset->add(name, found->second);
  }
  if (config.labels == LabelMode::none) dataset->drop_labels();
  return dataset;
}

std::unique_ptr<Dataset> make_cifar(const NamedFiles& files, Split split, const std::string& where,
                                    const DataConfig& config) {
  for (const Kind& kind : kinds()) {
    const auto& wanted = kind.files(split);
    const bool any = std::any_of(wanted.begin(), wanted.end(),
                                 [&](const std::string& name) { return files.contains(name); });
    if (any) return make_cifar(kind, files, wanted, where, config);
  }
  throw Error(ErrorKind::data, fmt::format("{}: expected CIFAR's binary {} files, got none", where,
                                           split == Split::train ? "training" : "test"));
}

bool is_wanted(const std::string& name, Split split) {
  return std::any_of(kinds().begin(), kinds().end(), [&](const Kind& kind) {
    const auto& names = kind.files(split);
    return name == kind.names_file || std::find(names.begin(), names.end(), name) != names.end();
  });
}

/// The files of a folder that a split needs, as far as they are there.
NamedFiles read_folder(const std::string& path, Split split) {
  NamedFiles files;
  for (const Kind& kind : kinds()) {
    std::vector<std::string> names = kind.files(split);
    names.emplace_back(kind.names_file);
    for (const std::string& name : names) {
      const std::string file = path + "/" + name;
      std::error_code ignored;
      if (std::filesystem::exists(file, ignored)) files[name] = read_bytes(file);
    }
  }
  return files;
}

}  // namespace

bool is_cifar_folder(const std::string& path) {
  return std::any_of(kinds().begin(), kinds().end(), [&](const Kind& kind) {
    const auto there = [&](const std::string& name) { return is_file(path + "/" + name); };
    return std::any_of(kind.train_files.begin(), kind.train_files.end(), there) ||
           std::any_of(kind.test_files.begin(), kind.test_files.end(), there);
  });
}

std::unique_ptr<Dataset> open_cifar_folder(const std::string& path, Split split,
                                           const DataConfig& config) {
  return make_cifar(read_folder(path, split), split, path, config);
}

bool is_cifar_member(const std::string& name) {
  return name == "data_batch_1" || is_wanted(name, Split::train) || is_wanted(name, Split::test);
}

std::unique_ptr<Dataset> open_cifar_tar(const std::string& path, Split split,
                                        const DataConfig& config) {
  const auto files = read_tar(path, [&](const std::string& name) {
    if (name == "data_batch_1") {
      throw Error(ErrorKind::data,
                  path + ": expected CIFAR's binary version, got its Python version");
    }
    return is_wanted(name, split) ? TarStep::take : TarStep::skip;
  });
  return make_cifar(files, split, path, config);
}

std::unique_ptr<Dataset> open_cifar_file(const std::string& path, const DataConfig& config) {
  const std::filesystem::path whole(path);
  const std::string name = whole.filename().string();
  const std::string folder = whole.has_parent_path() ? whole.parent_path().string() : ".";
  NamedFiles files;
  files[name] = read_bytes(path);
  for (const Kind& kind : kinds()) {
    if (!kind.has(name)) continue;
    const std::string names_file = folder + "/" + kind.names_file;
    std::error_code ignored;
    if (std::filesystem::exists(names_file, ignored))
      files[kind.names_file] = read_bytes(names_file);
    return make_cifar(kind, files, {name}, folder, config);
  }
  throw Error(
      ErrorKind::data,
      path +
          ": expected a CIFAR file (data_batch_1.bin ... 5, test_batch.bin, train.bin, test.bin)");
}

}  // namespace clr
