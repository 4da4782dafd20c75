// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "clr/core/error.h"
#include "clr/data/file_bytes.h"
#include "clr/data/gzip_file.h"
#include "clr/data/image_format.h"
#include "clr/data/sources.h"
#include "clr/data/tar_reader.h"
#include "clr/data/text_dataset.h"

namespace clr {
namespace {

/// PATH without its `#test`, and which split that asks for.
struct Target {
  std::string path;
  Split split = Split::train;
  bool named_split = false;
};

Target parse(std::string text) {
  struct stat status {};
  for (const Split split : {Split::train, Split::test, Split::unlabeled}) {
    const std::string mark = fmt::format("#{}", to_string(split));
    if (!text.ends_with(mark) || ::stat(text.c_str(), &status) == 0) continue;
    text.resize(text.size() - mark.size());
    return {text, split, true};
  }
  // "data/" and "data" are one place, and names are appended with a slash.
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return {text};
}

std::unique_ptr<Dataset> open_one_image(const std::string& path, const DataConfig& config) {
  if (config.labels == LabelMode::folder) {
    throw Error(ErrorKind::data,
                path + ": expected class folders (data.labels = folder), got an image");
  }
  const std::filesystem::path whole(path);
  auto dataset =
      std::make_unique<FileDataset>(whole.has_parent_path() ? whole.parent_path().string() : ".");
  dataset->add(whole.filename().string(), -1);
  return dataset;
}

std::string last_part(const std::string& name) { return name.substr(name.rfind('/') + 1); }

[[noreturn]] void refuse_split(const Target& target) {
  const bool unlabeled = target.split == Split::unlabeled;
  throw Error(ErrorKind::data,
              fmt::format("{}: #{} is for {}; name the folder or file of that part instead",
                          target.path, to_string(target.split),
                          unlabeled ? "STL-10's folder"
                                    : "CIFAR's folders and tars, MNIST's and STL-10's folders"));
}

/// CIFAR and MNIST have a training and a test set.
void require_train_or_test(const Target& target) {
  if (target.split == Split::unlabeled) refuse_split(target);
}

/// Whether a compressed tar is one of CIFAR's: by its first file that is CIFAR's or an image's.
bool is_cifar_archive(const std::string& path) {
  bool cifar = false;
  read_tar(path, [&](const std::string& name) {
    cifar = is_cifar_member(name);
    const bool other =
        has_image_extension(name) || name.ends_with(".cls") || name.ends_with(".json");
    return cifar || other ? TarStep::stop : TarStep::skip;
  });
  return cifar;
}

/// A tar's members, up to the first that is CIFAR's (returns false) if `stop_at_cifar`.
bool index_shard(Shard& shard, bool stop_at_cifar) {
  bool cifar = false;
  index_tar(shard.path, shard.name, [&](TarMember member) {
    cifar = stop_at_cifar && is_cifar_member(last_part(member.name));
    shard.members.push_back(std::move(member));
    return !cifar;
  });
  return !cifar;
}

/// Tars: CIFAR's, or images with or without labels beside them.
std::unique_ptr<Dataset> open_tars(const Target& target, const std::vector<std::string>& paths,
                                   const DataConfig& config) {
  const bool alone = paths.size() == 1;
  std::vector<Shard> shards;
  for (const std::string& path : paths) {
    Shard shard{path, path, {}, nullptr};
    const bool compressed = looks_like_gzip(read_first_bytes(path, 2));
    const bool cifar = compressed && alone && is_cifar_archive(path);
    if (compressed && !cifar) {
      auto inflated = std::make_shared<const InflatedFile>(path);
      shard.path = inflated->path();
      shard.holder = std::move(inflated);
    }
    if (cifar || !index_shard(shard, alone)) {
      require_train_or_test(target);
      return open_cifar_tar(path, target.split, config);
    }
    shards.push_back(std::move(shard));
  }
  if (target.named_split) refuse_split(target);
  return open_shards(std::move(shards), config);
}

std::string_view as_text(const std::vector<std::uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::unique_ptr<Dataset> open_file(const Target& target, const DataConfig& config) {
  const std::string& path = target.path;
  const auto first = read_first_bytes(path, 512);
  const auto content = looks_like_gzip(first) ? inflate_first(path, 512) : first;
  if (looks_like_tar(content)) return open_tars(target, {path}, config);
  if (target.named_split) refuse_split(target);
  if (looks_like_idx(content)) return open_idx_file(path, config);
  if (looks_like_pack(first)) return open_pack(path, config);
  if (path.ends_with(".csv") || path.ends_with(".tsv") || path.ends_with(".jsonl")) {
    return open_list_file(path, config);
  }
  if (path.ends_with(".txt")) return open_text_file(path, as_text(read_bytes(path)));
  if (path.ends_with(".txt.gz")) {
    const InflatedFile inflated(path);
    return open_text_file(path, as_text(read_bytes(inflated.path())));
  }
  if (path.ends_with(".bin")) return open_cifar_file(path, config);
  if (sniff(first) != ImageFormat::unknown) return open_one_image(path, config);
  throw Error(
      ErrorKind::data,
      path +
          ": expected a folder, an image, a list (.csv, .tsv, .jsonl), texts (.txt), a .tar "
          "of images, a .clrpack, or CIFAR's or MNIST's binary files, got another kind of "
          "file");
}

}  // namespace

std::unique_ptr<Dataset> open_images(const std::filesystem::path& path, const DataConfig& config,
                                     const std::string& what) {
  auto dataset = open_dataset(path, config);
  require_images(*dataset, path.string(), what);
  return dataset;
}

std::unique_ptr<Dataset> open_dataset(const std::filesystem::path& path, const DataConfig& config) {
  const Target target = parse(path.string());
  struct stat status {};
  if (::stat(target.path.c_str(), &status) != 0) {
    if (const auto shards = expand_shards(target.path)) return open_tars(target, *shards, config);
    throw Error(ErrorKind::data,
                target.path + ": expected a folder or file: " + std::strerror(errno));
  }
  if (!S_ISDIR(status.st_mode)) return open_file(target, config);
  if (is_stl10_folder(target.path)) return open_stl10_folder(target.path, target.split, config);
  if (is_cifar_folder(target.path)) {
    require_train_or_test(target);
    return open_cifar_folder(target.path, target.split, config);
  }
  if (is_idx_folder(target.path)) {
    require_train_or_test(target);
    return open_idx_folder(target.path, target.split, config);
  }
  if (target.named_split) refuse_split(target);
  return open_file_folder(target.path, config);
}

}  // namespace clr
