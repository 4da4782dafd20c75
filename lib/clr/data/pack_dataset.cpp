// SPDX-License-Identifier: Apache-2.0
// Reads what pack_writer.cpp writes.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "clr/config/json.h"
#include "clr/core/error.h"
#include "clr/data/fingerprint.h"
#include "clr/data/pack_format.h"
#include "clr/data/sources.h"

namespace clr {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw Error(ErrorKind::data, path + ": " + what);
}

/// A file mapped into memory: its pages are shared by all processes that read it, and given back
/// when memory is short.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) fail(path, std::string("cannot be read: ") + std::strerror(errno));
    struct stat status {};
    const bool known = ::fstat(descriptor, &status) == 0;
    if (known && status.st_size > 0) {
      size_ = static_cast<std::size_t>(status.st_size);
      void* const mapped = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor, 0);
      if (mapped != MAP_FAILED) data_ = static_cast<const std::uint8_t*>(mapped);
    }
    const int error = errno;
    ::close(descriptor);
    if (data_ == nullptr) fail(path, std::string("cannot be read: ") + std::strerror(error));
  }
  ~MappedFile() { ::munmap(const_cast<std::uint8_t*>(data_), size_); }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

class PackDataset final : public Dataset {
 public:
  PackDataset(const std::string& path, bool labels) : path_(path), file_(path) {
    const PackFooter footer = read_footer();
    const std::uint8_t* const index = file_.data() + footer.entries_offset;
    images_ = static_cast<std::int64_t>(footer.images);
    // Copied out: a record may have any length, so the index lies anywhere.
    entries_.resize(footer.images);
    std::memcpy(entries_.data(), index, footer.images * sizeof(PackEntry));
    names_ = {reinterpret_cast<const char*>(file_.data()) + footer.names_offset,
              static_cast<std::size_t>(footer.json_offset - footer.names_offset)};
    const std::string_view text(reinterpret_cast<const char*>(file_.data()) + footer.json_offset,
                                static_cast<std::size_t>(footer.footer_offset - footer.json_offset));
    read_classes(text);
    check_entries(footer.entries_offset);
    if (!labels) classes_.clear();
  }

  std::int64_t size() const override { return images_; }

  Record get(std::int64_t index) const override {
    const PackEntry& entry = at(index);
    const std::uint8_t* const bytes = file_.data() + entry.offset;
    if (XXH3_64bits(bytes, entry.bytes) != entry.checksum) {
      fail(location(index), "expected the bytes that were packed, got others (checksum); the pack "
                            "is damaged");
    }
    std::vector<std::uint8_t> record(bytes, bytes + entry.bytes);
    if (entry.raw_width == 0) return record;
    Image image;
    image.width = static_cast<int>(entry.raw_width);
    image.height = static_cast<int>(entry.raw_height);
    image.pixels = std::move(record);
    return image;
  }

  std::int64_t label(std::int64_t index) const override {
    return classes_.empty() ? -1 : at(index).label;
  }
  std::string name(std::int64_t index) const override {
    const std::uint64_t begin = index == 0 ? 0 : at(index - 1).name_end;
    return std::string(names_.substr(begin, at(index).name_end - begin));
  }
  std::string location(std::int64_t index) const override { return path_ + ": " + name(index); }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string fingerprint() const override {
    Fingerprint result;
    for (const auto& one : classes_) result.add(one);
    for (std::int64_t i = 0; i < size(); ++i) {
      result.add(name(i));
      result.add(label(i));
      result.add(static_cast<std::int64_t>(at(i).checksum));
    }
    return result.hex();
  }

 private:
  const PackEntry& at(std::int64_t index) const {
    return entries_.at(static_cast<std::size_t>(index));
  }

  PackFooter read_footer() const {
    PackFooter footer;
    const std::size_t least = kPackMagic.size() + sizeof footer;
    if (file_.size() >= least) {
      std::memcpy(&footer, file_.data() + file_.size() - sizeof footer, sizeof footer);
    }
    if (file_.size() < least || footer.magic != kPackMagic) {
      fail(path_, "expected a whole pack, got one without its end; was it cut off? Pack it again");
    }
    if (XXH3_64bits(&footer, offsetof(PackFooter, footer_checksum)) != footer.footer_checksum ||
        footer.footer_offset != file_.size() - sizeof footer ||
        footer.entries_offset > footer.names_offset || footer.names_offset > footer.json_offset ||
        footer.json_offset > footer.footer_offset ||
        footer.names_offset - footer.entries_offset != footer.images * sizeof(PackEntry) ||
        XXH3_64bits(file_.data() + footer.entries_offset,
                    footer.footer_offset - footer.entries_offset) != footer.index_checksum) {
      fail(path_, "expected the index that was packed, got another (checksum); the pack is damaged");
    }
    return footer;
  }

  void read_classes(std::string_view text) {
    const Json json = Json::parse(text, nullptr, false);
    if (!json.is_object() || !json.contains("classes")) fail(path_, "expected classes in its index");
    classes_ = json.at("classes").get<std::vector<std::string>>();
  }

  /// After the checksum: what a faulty writer may have made, no more.
  void check_entries(std::uint64_t records_end) const {
    std::uint64_t name_end = 0;
    for (const PackEntry& entry : entries_) {
      const bool inside = entry.offset <= records_end && entry.bytes <= records_end - entry.offset;
      const bool sized = entry.raw_width == 0 || std::uint64_t{3} * entry.raw_width *
                                                         entry.raw_height == entry.bytes;
      const bool labelled =
          entry.label >= -1 && entry.label < static_cast<std::int64_t>(classes_.size());
      if (!inside || !sized || !labelled || entry.name_end < name_end ||
          entry.name_end > names_.size()) {
        fail(path_, "expected entries that fit its records, got others; the pack is damaged");
      }
      name_end = entry.name_end;
    }
  }

  std::string path_;
  MappedFile file_;
  std::int64_t images_ = 0;
  std::vector<PackEntry> entries_;
  std::string_view names_;
  std::vector<std::string> classes_;
};

}  // namespace

bool looks_like_pack(std::span<const std::uint8_t> first_bytes) {
  return first_bytes.size() >= kPackMagic.size() &&
         std::memcmp(first_bytes.data(), kPackMagic.data(), kPackMagic.size()) == 0;
}

std::unique_ptr<Dataset> open_pack(const std::string& path, const DataConfig& config) {
  auto dataset = std::make_unique<PackDataset>(path, config.labels != LabelMode::none);
  if (config.labels == LabelMode::folder && dataset->classes().empty()) {
    fail(path, "expected labels (data.labels = folder), got a pack without");
  }
  return dataset;
}

}  // namespace clr
