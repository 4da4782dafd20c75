// SPDX-License-Identifier: Apache-2.0
// Reads what pack_writer.cpp writes.
#include <fmt/format.h>

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
#include "clr/data/file_bytes.h"
#include "clr/data/fingerprint.h"
#include "clr/data/pack_format.h"
#include "clr/data/sources.h"

namespace clr {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw Error(ErrorKind::data, path + ": " + what);
}

class PackDataset final : public Dataset {
 public:
  PackDataset(const std::string& path, bool labels) : path_(path), file_(path, path) {
    const PackFooter footer = read_footer();
    const std::string index = read_index(footer);
    entries_.resize(footer.images);
    std::memcpy(entries_.data(), index.data(), footer.images * sizeof(PackEntry));
    const std::size_t names = footer.names_offset - footer.entries_offset;
    const std::size_t json = footer.json_offset - footer.entries_offset;
    names_ = index.substr(names, json - names);
    read_classes(std::string_view(index).substr(json));
    check_entries(footer.entries_offset);
    if (!labels) classes_.clear();
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(entries_.size()); }

  Record get(std::int64_t index) const override {
    const PackEntry& entry = at(index);
    std::vector<std::uint8_t> record(entry.bytes);
    file_.read(entry.offset, record.data(), record.size());
    if (XXH3_64bits(record.data(), record.size()) != entry.checksum) {
      fail(location(index),
           "expected the bytes that were packed, got others (checksum); the pack "
           "is damaged");
    }
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
    return names_.substr(begin, at(index).name_end - begin);
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
    const std::uint64_t size = file_.size();
    const bool long_enough = size >= kPackMagic.size() + sizeof footer;
    if (long_enough) file_.read(size - sizeof footer, &footer, sizeof footer);
    if (!long_enough || footer.magic != kPackMagic) {
      fail(path_, "expected a whole pack, got one without its end; was it cut off? Pack it again");
    }
    const std::uint64_t entries = footer.names_offset - footer.entries_offset;
    if (XXH3_64bits(&footer, offsetof(PackFooter, footer_checksum)) != footer.footer_checksum ||
        footer.footer_offset != size - sizeof footer ||
        footer.entries_offset > footer.names_offset || footer.names_offset > footer.json_offset ||
        footer.json_offset > footer.footer_offset || entries % sizeof(PackEntry) != 0 ||
        entries / sizeof(PackEntry) != footer.images) {
      bad_index();
    }
    return footer;
  }

  /// Entries, names and JSON.
  std::string read_index(const PackFooter& footer) const {
    std::string index(footer.footer_offset - footer.entries_offset, '\0');
    file_.read(footer.entries_offset, index.data(), index.size());
    if (XXH3_64bits(index.data(), index.size()) != footer.index_checksum) bad_index();
    return index;
  }

  [[noreturn]] void bad_index() const {
    fail(path_, "expected the index that was packed, got another (checksum); the pack is damaged");
  }

  void read_classes(std::string_view text) {
    const Json json = Json::parse(text, nullptr, false);
    const bool listed = json.is_object() && json.contains("classes") && json["classes"].is_array();
    if (!listed) fail(path_, "expected classes in its index, got none");
    for (const Json& one : json["classes"]) {
      if (!one.is_string()) fail(path_, "expected names of classes in its index, got others");
      classes_.push_back(one.get<std::string>());
    }
  }

  /// After the checksum: what a faulty writer may have made, no more.
  void check_entries(std::uint64_t records_end) const {
    constexpr std::uint32_t kMostSide = 65'500;
    std::uint64_t name_end = 0;
    for (const PackEntry& entry : entries_) {
      const bool inside = entry.offset <= records_end && entry.bytes <= records_end - entry.offset;
      const bool raw = entry.raw_width != 0 || entry.raw_height != 0;
      const bool sized =
          !raw || (entry.raw_width >= 1 && entry.raw_width <= kMostSide && entry.raw_height >= 1 &&
                   entry.raw_height <= kMostSide &&
                   std::uint64_t{3} * entry.raw_width * entry.raw_height == entry.bytes);
      const bool labelled =
          classes_.empty()
              ? entry.label == -1
              : entry.label >= 0 && entry.label < static_cast<std::int64_t>(classes_.size());
      if (!inside || !sized || !labelled || entry.name_end < name_end ||
          entry.name_end > names_.size()) {
        fail(path_, "expected entries that fit its records, got others; the pack is damaged");
      }
      name_end = entry.name_end;
    }
  }

  std::string path_;
  RandomFile file_;
  std::vector<PackEntry> entries_;
  std::string names_;
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
