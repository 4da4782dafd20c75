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
#include "clr/data/stored_texts.h"

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
  std::vector<std::string> files;
  std::vector<std::string> folders;
};

/// A folder on the disk, whatever path leads to it.
using FolderId = std::pair<dev_t, ino_t>;

/// Which files are items.
enum class FileKind { images, texts };
constexpr auto enum_names(FileKind) { return std::array{"images", "texts"}; }

class Scanner {
 public:
  Scanner(std::string root, FileKind kind) : root_(std::move(root)), kind_(kind) {}

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
    std::sort(listing.files.begin(), listing.files.end());
    std::sort(listing.folders.begin(), listing.folders.end());
    return listing;
  }

  /// All items in `folder` and below, as os.walk, sorted, gives them: by folder, then by name.
  std::vector<std::string> files_below(const std::string& folder) const {
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
    std::vector<std::string> files;
    for (auto& [name, listing] : found) {
      std::move(listing.files.begin(), listing.files.end(), std::back_inserter(files));
    }
    return files;
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
    } else if (type == DT_REG && is_item(relative, dangling)) {
      listing.files.push_back(std::move(relative));
    }
  }

  /// A link to nowhere that is called .jpg is an image that cannot be read, not one to leave out.
  bool is_item(const std::string& relative, bool dangling) const {
    if (kind_ == FileKind::texts) return relative.ends_with(".txt");
    if (has_image_extension(relative)) return true;
    // "P1 ..." is how a PNM begins, and a text may.
    if (dangling || relative.ends_with(".txt")) return false;
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
  FileKind kind_;
};

/// A top-level subfolder and what it holds.
struct Subfolder {
  std::string name;
  std::vector<std::string> files;

  /// Whether items lie in folders of its own.
  bool nested() const {
    return std::any_of(files.begin(), files.end(), [&](const std::string& file) {
      return file.find('/', name.size() + 1) != std::string::npos;
    });
  }
};

void refuse_splits(const std::string& root, const std::vector<Subfolder>& subfolders) {
  std::size_t others = 0;
  std::size_t nested = 0;
  const std::string* first = nullptr;
  for (const Subfolder& subfolder : subfolders) {
    if (subfolder.files.empty()) continue;
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
                                        const std::vector<std::string>& files) {
  auto dataset = std::make_unique<FileDataset>(root);
  for (const std::string& file : files) dataset->add(file, -1);
  return dataset;
}

std::unique_ptr<FileDataset> labelled(const std::string& root,
                                      const std::vector<Subfolder>& subfolders, FileKind kind) {
  auto dataset = std::make_unique<FileDataset>(root);
  std::vector<std::string> classes;
  for (const Subfolder& subfolder : subfolders) {
    if (subfolder.files.empty()) {
      throw Error(
          ErrorKind::data,
          fmt::format("{}/{}: expected a class folder with {}, got one without any; remove it, "
                      "or --set data.labels=none",
                      root, subfolder.name, to_string(kind)));
    }
    const auto label = static_cast<std::int64_t>(classes.size());
    classes.push_back(subfolder.name);
    for (const std::string& file : subfolder.files) dataset->add(file, label);
  }
  dataset->set_classes(std::move(classes));
  return dataset;
}

/// The files of one kind; a set without any where there are none.
std::unique_ptr<FileDataset> open_files(const std::string& path, const DataConfig& config,
                                        FileKind kind) {
  const Scanner scanner(path, kind);
  if (config.labels == LabelMode::none) return unlabelled(path, scanner.files_below(""));
  const Listing top = scanner.list("");
  std::vector<Subfolder> subfolders;
  for (const std::string& name : top.folders)
    subfolders.push_back({name, scanner.files_below(name)});
  const auto filled =
      std::find_if(subfolders.begin(), subfolders.end(),
                   [](const Subfolder& subfolder) { return !subfolder.files.empty(); });
  if (filled == subfolders.end()) {
    if (config.labels == LabelMode::folder && !top.files.empty()) {
      throw Error(ErrorKind::data,
                  fmt::format("{}: expected class folders (data.labels = folder), got {} only",
                              path, to_string(kind)));
    }
    return unlabelled(path, top.files);
  }
  refuse_splits(path, subfolders);
  if (!top.files.empty()) {
    throw Error(
        ErrorKind::data,
        fmt::format("{0}: expected {1} or class folders, got both ({2} and {3}); to use all {1} "
                    "without labels: --set data.labels=none",
                    path, to_string(kind), top.files.front(), filled->name));
  }
  return labelled(path, subfolders, kind);
}

/// Reads them all: a text a file.
std::unique_ptr<Dataset> read_texts(const std::string& path, const FileDataset& files) {
  auto texts = std::make_unique<StoredTexts>(path, 1, /*lines=*/false);
  for (std::int64_t i = 0; i < files.size(); ++i) {
    const std::vector<std::uint8_t> bytes = read_bytes(files.location(i));
    texts->add({{reinterpret_cast<const char*>(bytes.data()), bytes.size()}}, files.label(i),
               files.name(i));
  }
  texts->set_classes(files.classes());
  return texts;
}

}  // namespace

std::unique_ptr<Dataset> open_file_folder(const std::string& path, const DataConfig& config) {
  if (auto images = open_files(path, config, FileKind::images); images->size() > 0) return images;
  if (const auto texts = open_files(path, config, FileKind::texts); texts->size() > 0)
    return read_texts(path, *texts);
  throw Error(ErrorKind::data,
              path + ": expected images or texts (.txt), got a folder without any");
}

}  // namespace clr
