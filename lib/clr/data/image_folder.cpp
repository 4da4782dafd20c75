// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "clr/core/error.h"
#include "clr/data/file_bytes.h"
#include "clr/data/image_format.h"
#include "clr/data/sources.h"

namespace clr {
namespace {

constexpr std::size_t kMostDepth = 64;

std::string join(const std::string& folder, const std::string& name) {
  return folder.empty() ? name : folder + "/" + name;
}

bool is_split_name(std::string_view name) {
  constexpr std::array<std::string_view, 5> kNames = {"train", "val", "valid", "validation",
                                                      "test"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

/// One folder's entries, sorted by bytes; paths are relative to the root of the set.
struct Listing {
  std::vector<std::string> images;
  std::vector<std::string> folders;
};

/// A folder on the disk, whatever path leads to it.
using FolderId = std::pair<dev_t, ino_t>;

class Scanner {
 public:
  explicit Scanner(std::string root) : root_(std::move(root)) {}

  Listing list(const std::string& folder) const {
    const std::string path = full(folder);
    struct Close {
      void operator()(DIR* stream) const { ::closedir(stream); }
    };
    const std::unique_ptr<DIR, Close> stream(::opendir(path.c_str()));
    if (!stream) cannot_read(path);
    Listing listing;
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(stream.get());
      if (entry == nullptr) {
        if (errno != 0) cannot_read(path);
        break;
      }
      if (entry->d_name[0] == '.') continue;
      add(join(folder, entry->d_name), entry->d_type, listing);
    }
    std::sort(listing.images.begin(), listing.images.end());
    std::sort(listing.folders.begin(), listing.folders.end());
    return listing;
  }

  /// All images in `folder` and below, as os.walk, sorted, gives them: by folder, then by name.
  std::vector<std::string> images_below(const std::string& folder) const {
    std::vector<std::pair<std::string, Listing>> found;
    std::vector<FolderId> above = {id("")};
    if (!folder.empty()) {
      const FolderId own = id(folder);
      if (own == above.front()) return {};
      above.push_back(own);
    }
    walk(folder, above, found);
    std::sort(found.begin(), found.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<std::string> images;
    for (auto& [name, listing] : found) {
      std::move(listing.images.begin(), listing.images.end(), std::back_inserter(images));
    }
    return images;
  }

 private:
  std::string full(const std::string& relative) const {
    return relative.empty() ? root_ : root_ + "/" + relative;
  }

  [[noreturn]] static void cannot_read(const std::string& path) {
    throw Error(ErrorKind::data, path + ": cannot be read: " + std::strerror(errno));
  }

  FolderId id(const std::string& folder) const {
    const std::string path = full(folder);
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) cannot_read(path);
    return {status.st_dev, status.st_ino};
  }

  void add(std::string relative, unsigned char type, Listing& listing) const {
    bool dangling = false;
    if (type == DT_LNK || type == DT_UNKNOWN) {
      struct stat status {};
      dangling = ::stat(full(relative).c_str(), &status) != 0;
      type = dangling || S_ISREG(status.st_mode) ? DT_REG
             : S_ISDIR(status.st_mode)           ? DT_DIR
                                                 : DT_FIFO;
    }
    if (type == DT_DIR) {
      listing.folders.push_back(std::move(relative));
    } else if (type == DT_REG && is_image(relative, dangling)) {
      listing.images.push_back(std::move(relative));
    }
  }

  /// A link to nowhere that is called .jpg is an image that cannot be read, not one to leave out.
  bool is_image(const std::string& relative, bool dangling) const {
    if (has_image_extension(relative)) return true;
    if (dangling) return false;
    return sniff(read_first_bytes(full(relative), kSniffBytes)) != ImageFormat::unknown;
  }

  void walk(const std::string& folder, std::vector<FolderId>& above,
            std::vector<std::pair<std::string, Listing>>& found) const {
    if (above.size() > kMostDepth) {
      throw Error(ErrorKind::data, fmt::format("{}: expected at most {} folders in each other",
                                               full(folder), kMostDepth));
    }
    Listing listing = list(folder);
    const std::vector<std::string> folders = std::move(listing.folders);
    found.emplace_back(folder, std::move(listing));
    for (const std::string& next : folders) {
      const FolderId next_id = id(next);
      // A link that leads back up would be followed for ever.
      if (std::find(above.begin(), above.end(), next_id) != above.end()) continue;
      above.push_back(next_id);
      walk(next, above, found);
      above.pop_back();
    }
  }

  std::string root_;
};

/// A top-level subfolder and what it holds.
struct Subfolder {
  std::string name;
  std::vector<std::string> images;

  /// Whether images lie in folders of its own.
  bool nested() const {
    return std::any_of(images.begin(), images.end(), [&](const std::string& image) {
      return image.find('/', name.size() + 1) != std::string::npos;
    });
  }
};

void refuse_splits(const std::string& root, const std::vector<Subfolder>& subfolders) {
  std::size_t others = 0;
  std::size_t nested = 0;
  const std::string* first = nullptr;
  for (const Subfolder& subfolder : subfolders) {
    if (subfolder.images.empty()) continue;
    if (!is_split_name(subfolder.name)) {
      ++others;
      continue;
    }
    if (first == nullptr) first = &subfolder.name;
    if (subfolder.nested()) ++nested;
  }
  // One class may well be called "train".
  if (first == nullptr || (others > 0 && nested < 2)) return;
  throw Error(ErrorKind::data,
              fmt::format("{}: expected class folders, got the splits of a data set; name "
                          "one of them: {}/{}",
                          root, root, *first));
}

std::unique_ptr<FileDataset> unlabelled(const std::string& root,
                                        const std::vector<std::string>& images) {
  if (images.empty())
    throw Error(ErrorKind::data, root + ": expected images, got a folder without any");
  auto dataset = std::make_unique<FileDataset>(root);
  for (const std::string& image : images) dataset->add(image, -1);
  return dataset;
}

std::unique_ptr<FileDataset> labelled(const std::string& root,
                                      const std::vector<Subfolder>& subfolders) {
  auto dataset = std::make_unique<FileDataset>(root);
  std::vector<std::string> classes;
  for (const Subfolder& subfolder : subfolders) {
    if (subfolder.images.empty()) {
      throw Error(
          ErrorKind::data,
          fmt::format("{}/{}: expected a class folder with images, got one without any; remove it, "
                      "or --set data.labels=none",
                      root, subfolder.name));
    }
    const auto label = static_cast<std::int64_t>(classes.size());
    classes.push_back(subfolder.name);
    for (const std::string& image : subfolder.images) dataset->add(image, label);
  }
  dataset->set_classes(std::move(classes));
  return dataset;
}

}  // namespace

std::unique_ptr<Dataset> open_image_folder(const std::string& path, const DataConfig& config) {
  const Scanner scanner(path);
  if (config.labels == LabelMode::none) return unlabelled(path, scanner.images_below(""));
  const Listing top = scanner.list("");
  std::vector<Subfolder> subfolders;
  for (const std::string& name : top.folders)
    subfolders.push_back({name, scanner.images_below(name)});
  const auto filled =
      std::find_if(subfolders.begin(), subfolders.end(),
                   [](const Subfolder& subfolder) { return !subfolder.images.empty(); });
  if (filled == subfolders.end()) {
    auto dataset = unlabelled(path, top.images);
    if (config.labels == LabelMode::folder) {
      throw Error(ErrorKind::data,
                  path + ": expected class folders (data.labels = folder), got images only");
    }
    return dataset;
  }
  refuse_splits(path, subfolders);
  if (!top.images.empty()) {
    throw Error(
        ErrorKind::data,
        fmt::format("{}: expected images or class folders, got both ({} and {}); to use all images "
                    "without labels: --set data.labels=none",
                    path, top.images.front(), filled->name));
  }
  return labelled(path, subfolders);
}

}  // namespace clr
