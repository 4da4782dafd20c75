// SPDX-License-Identifier: Apache-2.0
// MNIST's idx files, and those of the sets that followed it: a header that says what the dimensions
// are, then bytes. Gray images become RGB.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "clr/core/error.h"
#include "clr/data/byte_reader.h"
#include "clr/data/file_bytes.h"
#include "clr/data/fingerprint.h"
#include "clr/data/gzip_file.h"
#include "clr/data/one_file_dataset.h"
#include "clr/data/sources.h"

namespace clr {
namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 32;
constexpr std::uint32_t kMostSide = 65'500;
constexpr std::uint32_t kByteImages = 0x00000803;  ///< unsigned bytes, three dimensions
constexpr std::uint32_t kByteLabels = 0x00000801;

/// The start of the names of a split's two files; what follows is -images-idx3-ubyte and
/// -labels-idx1-ubyte, or with a dot before idx.
constexpr std::array<const char*, 2> kTrainStarts = {"train", nullptr};
constexpr std::array<const char*, 2> kTestStarts = {"t10k", "test"};

/// The first `most` bytes of a file, inflated where it is compressed.
std::vector<std::uint8_t> read_first(const std::string& path, std::size_t most) {
  if (looks_like_gzip(read_first_bytes(path, 2))) return inflate_first(path, most);
  return read_first_bytes(path, most);
}

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw Error(ErrorKind::data, path + ": " + what);
}

/// Bytes behind an idx header, and the sizes that it gives.
struct IdxFile {
  std::vector<std::uint8_t> bytes;
  std::vector<std::uint32_t> sizes;
  std::size_t start = 0;
};

/// The sizes that a header of this kind gives; the content is not read.
std::vector<std::uint32_t> read_sizes(const std::string& path, std::uint32_t kind,
                                      std::int64_t max_pixels) {
  const std::size_t dimensions = kind & 0xffU;
  const auto bytes = read_first(path, 4 + 4 * dimensions);
  const ByteReader reader(bytes, true);
  const auto magic = reader.u32(0);
  if (!magic || *magic != kind) {
    fail(path, fmt::format("expected an idx file of {} (begins with {:#010x}), got another",
                           kind == kByteImages ? "images" : "labels", kind));
  }
  std::vector<std::uint32_t> sizes;
  std::uint64_t all = 1;
  for (std::size_t i = 0; i < dimensions; ++i) {
    const auto size = reader.u32(4 + 4 * i);
    if (!size) fail(path, "expected a whole header, got a cut-off one");
    if (*size == 0 || all > kMostBytes / *size) {
      fail(path,
           fmt::format("expected sizes of 1 or more and 4 GiB or less in all, got {}", *size));
    }
    sizes.push_back(*size);
    all *= *size;
  }
  if (dimensions == 3 && (sizes[1] > kMostSide || sizes[2] > kMostSide ||
                          static_cast<std::int64_t>(sizes[1]) * sizes[2] > max_pixels)) {
    fail(path, fmt::format("expected images of at most {} pixels, {} a side, got {} x {}; see "
                           "data.max_pixels",
                           max_pixels, kMostSide, sizes[2], sizes[1]));
  }
  return sizes;
}

IdxFile read_idx(const std::string& path, std::uint32_t kind, std::int64_t max_pixels) {
  IdxFile file;
  file.sizes = read_sizes(path, kind, max_pixels);
  std::uint64_t expected = 1;
  for (const std::uint32_t size : file.sizes) expected *= size;
  file.start = 4 + 4 * file.sizes.size();
  // One byte more than there should be, to see whether there is.
  file.bytes = read_first(path, file.start + expected + 1);
  if (file.bytes.size() - file.start != expected) {
    fail(path, fmt::format("expected {} bytes behind its header, got {}; the file may be cut off",
                           expected,
                           file.bytes.size() - file.start > expected
                               ? std::string("more")
                               : std::to_string(file.bytes.size() - file.start)));
  }
  return file;
}

class IdxDataset final : public OneFileDataset {
 public:
  IdxDataset(std::string path, IdxFile images, std::optional<IdxFile> labels,
             std::vector<std::string> classes)
      : OneFileDataset(std::move(path), std::move(classes)),
        images_(std::move(images)),
        labels_(std::move(labels)) {}

  std::int64_t size() const override { return images_.sizes[0]; }

  Record get(std::int64_t index) const override {
    Image image;
    image.height = static_cast<int>(images_.sizes[1]);
    image.width = static_cast<int>(images_.sizes[2]);
    const std::size_t pixels = std::size_t{images_.sizes[1]} * images_.sizes[2];
    const std::uint8_t* from =
        images_.bytes.data() + images_.start + static_cast<std::size_t>(index) * pixels;
    image.pixels.reserve(3 * pixels);
    for (std::size_t i = 0; i < pixels; ++i) image.pixels.insert(image.pixels.end(), 3, from[i]);
    return image;
  }

  std::int64_t label(std::int64_t index) const override {
    if (!labelled()) return -1;
    return labels_->bytes[labels_->start + static_cast<std::size_t>(index)];
  }
  std::string fingerprint() const override {
    Fingerprint result;
    result.add(file_name());
    for (const std::uint32_t one : images_.sizes) result.add(std::int64_t{one});
    for (std::int64_t i = 0; i < size(); ++i) result.add(label(i));
    return result.hex();
  }

 private:
  IdxFile images_;
  std::optional<IdxFile> labels_;
};

std::unique_ptr<Dataset> make_idx(const std::string& images_path,
                                  const std::optional<std::string>& labels_path,
                                  const DataConfig& config) {
  IdxFile images = read_idx(images_path, kByteImages, config.max_pixels);
  std::optional<IdxFile> labels;
  std::vector<std::string> classes;
  if (labels_path && config.labels != LabelMode::none) {
    labels = read_idx(*labels_path, kByteLabels, config.max_pixels);
    if (labels->sizes[0] != images.sizes[0]) {
      fail(*labels_path, fmt::format("expected {} labels, one an image, got {}", images.sizes[0],
                                     labels->sizes[0]));
    }
    const auto most = *std::max_element(
        labels->bytes.begin() + static_cast<std::ptrdiff_t>(labels->start), labels->bytes.end());
    for (int i = 0; i <= most; ++i) classes.push_back(std::to_string(i));
  } else if (config.labels == LabelMode::folder) {
    fail(images_path, "expected a file of labels beside it (data.labels = folder), got none");
  }
  return std::make_unique<IdxDataset>(images_path, std::move(images), std::move(labels),
                                      std::move(classes));
}

/// A file of a split below `folder`, by the names that sets use.
std::optional<std::string> find_file(const std::string& folder, Split split, const char* ending) {
  for (const char* start : split == Split::train ? kTrainStarts : kTestStarts) {
    if (start == nullptr) continue;
    for (const char* dot : {"-", "."}) {
      for (const char* compressed : {"", ".gz"}) {
        std::string kind = ending;
        kind.replace(kind.find("-idx"), 1, dot);
        const std::string path = folder + "/" + start + kind + compressed;
        if (is_file(path)) return path;
      }
    }
  }
  return std::nullopt;
}

constexpr const char* kImages = "-images-idx3-ubyte";
constexpr const char* kLabels = "-labels-idx1-ubyte";

}  // namespace

bool is_idx_folder(const std::string& path) {
  return find_file(path, Split::train, kImages) || find_file(path, Split::test, kImages);
}

bool looks_like_idx(std::span<const std::uint8_t> first_bytes) {
  return ByteReader(first_bytes, true).u32(0) == kByteImages;
}

std::unique_ptr<Dataset> open_idx_folder(const std::string& path, Split split,
                                         const DataConfig& config) {
  const auto images = find_file(path, split, kImages);
  if (!images) {
    fail(path, fmt::format("expected the {} set's ...{} file, which is missing", to_string(split),
                           kImages));
  }
  return make_idx(*images, find_file(path, split, kLabels), config);
}

std::unique_ptr<Dataset> open_idx_file(const std::string& path, const DataConfig& config) {
  std::string labels = path;
  for (const auto& [from, to] : {std::pair{"images", "labels"}, std::pair{"idx3", "idx1"}}) {
    const std::size_t at = labels.rfind(from);
    if (at != std::string::npos) labels.replace(at, std::string(from).size(), to);
  }
  return make_idx(path, labels != path && is_file(labels) ? std::optional(labels) : std::nullopt,
                  config);
}

}  // namespace clr
