// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

#include "clr/core/error.h"
#include "clr/data/file_bytes.h"
#include "clr/data/image_format.h"
#include "clr/data/sources.h"
#include "clr/data/tar_reader.h"

namespace clr {
namespace {

/// PATH without its `#test`, and which split that asks for.
struct Target {
  std::string path;
  CifarSplit split = CifarSplit::train;
  bool named_split = false;
};

Target parse(std::string text) {
  constexpr std::string_view kTest = "#test";
  struct stat status {};
  if (text.ends_with(kTest) && ::stat(text.c_str(), &status) != 0) {
    text.resize(text.size() - kTest.size());
    return {text, CifarSplit::test, true};
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

std::unique_ptr<Dataset> open_file(const Target& target, const DataConfig& config) {
  const std::string& path = target.path;
  const auto first = read_first_bytes(path, 512);
  if (looks_like_tar(first)) return open_cifar_tar(path, target.split, config);
  if (target.named_split)
    throw Error(ErrorKind::data, path + ": #test is for CIFAR folders and tars");
  if (path.ends_with(".csv") || path.ends_with(".tsv") || path.ends_with(".jsonl")) {
    return open_list_file(path, config);
  }
  if (path.ends_with(".bin")) return open_cifar_file(path, config);
  if (sniff(first) != ImageFormat::unknown) return open_one_image(path, config);
  throw Error(ErrorKind::data,
              path +
                  ": expected a folder, an image, a list (.csv, .tsv, .jsonl) or CIFAR's "
                  "binary files, got another kind of file");
}

}  // namespace

std::unique_ptr<Dataset> open_dataset(const std::filesystem::path& path, const DataConfig& config) {
  const Target target = parse(path.string());
  struct stat status {};
  if (::stat(target.path.c_str(), &status) != 0) {
    throw Error(ErrorKind::data,
                target.path + ": expected a folder or file: " + std::strerror(errno));
  }
  if (!S_ISDIR(status.st_mode)) return open_file(target, config);
  if (is_cifar_folder(target.path)) return open_cifar_folder(target.path, target.split, config);
  if (target.named_split) {
    throw Error(ErrorKind::data,
                target.path + ": #test is for CIFAR folders and tars; name the test folder");
  }
  return open_image_folder(target.path, config);
}

}  // namespace clr
