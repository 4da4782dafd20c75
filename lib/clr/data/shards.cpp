// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "clr/core/error.h"
#include "clr/core/log.h"
#include "clr/data/file_bytes.h"
#include "clr/data/fingerprint.h"
#include "clr/data/sources.h"

namespace clr {
namespace {

constexpr std::uint64_t kMostLabelBytes = std::uint64_t{1} << 20;
constexpr std::int64_t kMostShards = 1'000'000;

struct Sample {
  std::size_t shard = 0;
  TarMember image;
  std::int64_t label = -1;
};

/// Images in tar files, read where they lie.
///
/// Memory:  the names' bytes and about 80 bytes an image.
class ShardDataset final : public Dataset {
 public:
  ShardDataset(std::vector<Shard> shards, std::vector<Sample> samples,
               std::vector<std::string> classes)
      : shards_(std::move(shards)), samples_(std::move(samples)), classes_(std::move(classes)) {}

  std::int64_t size() const override { return static_cast<std::int64_t>(samples_.size()); }
  Record get(std::int64_t index) const override {
    const Sample& sample = at(index);
    const Shard& shard = shards_[sample.shard];
    return read_range(shard.path, sample.image.offset, static_cast<std::size_t>(sample.image.size),
                      shard.name);
  }
  std::int64_t label(std::int64_t index) const override { return at(index).label; }
  /// Names may be the same in two shards.
  std::string name(std::int64_t index) const override {
    const Sample& sample = at(index);
    if (shards_.size() == 1) return sample.image.name;
    return std::filesystem::path(shards_[sample.shard].name).filename().string() + "/" +
           sample.image.name;
  }
  std::string location(std::int64_t index) const override {
    return shards_[at(index).shard].name + ": " + at(index).image.name;
  }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::vector<std::int64_t> shard_ends() const override {
    std::vector<std::int64_t> ends(shards_.size(), 0);
    for (const Sample& sample : samples_) ++ends[sample.shard];
    std::partial_sum(ends.begin(), ends.end(), ends.begin());
    return ends;
  }
  std::string fingerprint() const override {
    Fingerprint result;
    for (const auto& name : classes_) result.add(name);
    for (std::int64_t i = 0; i < size(); ++i) {
      result.add(name(i));
      result.add(label(i));
      result.add(static_cast<std::int64_t>(at(i).image.size));
    }
    return result.hex();
  }

 private:
  const Sample& at(std::int64_t index) const {
    return samples_.at(static_cast<std::size_t>(index));
  }

  std::vector<Shard> shards_;
  std::vector<Sample> samples_;
  std::vector<std::string> classes_;
};

/// WebDataset's key: the name up to the first dot of its last part. Extension: the rest.
std::pair<std::string, std::string> split_name(const std::string& name) {
  const std::size_t slash = name.rfind('/');
  const std::size_t dot = name.find('.', slash == std::string::npos ? 0 : slash + 1);
  if (dot == std::string::npos) return {name, ""};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

/// What a .cls or .json file says of its image; nothing where JSON has no label.
std::optional<std::string> read_label(const Shard& shard, const TarMember& member,
                                      const std::string& extension) {
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorKind::data, shard.name + ": " + member.name + ": " + what);
  };
  if (member.size > kMostLabelBytes) fail("expected a label of at most 1 MiB, got a larger file");
  const auto bytes =
      read_range(shard.path, member.offset, static_cast<std::size_t>(member.size), shard.name);
  std::string text(bytes.begin(), bytes.end());
  if (extension == "cls") {
    const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
    while (!text.empty() && is_space(text.back())) text.pop_back();
    if (text.empty()) fail("expected a label, got nothing");
    return text;
  }
  const Json object = Json::parse(text, nullptr, false);
  if (!object.is_object()) fail("expected a JSON object, got something else");
  for (const char* key : {"label", "cls", "class"}) {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) continue;
    if (found->is_string()) return found->get<std::string>();
    if (found->is_number_integer()) return found->dump();
    fail(fmt::format("expected \"{}\" to be a string or an integer, got {}", key, found->dump()));
  }
  return std::nullopt;
}

/// Members of one key that follow each other.
struct Group {
  std::size_t shard = 0;
  std::string key;
  std::vector<TarMember> images;
  std::optional<std::string> label;
};

void add_members(const std::vector<Shard>& shards, std::size_t shard, std::vector<Group>& groups) {
  for (const TarMember& member : shards[shard].members) {
    auto [key, extension] = split_name(member.name);
    if (groups.empty() || groups.back().shard != shard || groups.back().key != key) {
      groups.push_back({shard, std::move(key), {}, std::nullopt});
    }
    Group& group = groups.back();
    // First by its name: a label "BMW" begins as a BMP does.
    if (extension == "cls" || extension == "json") {
      if (auto label = read_label(shards[shard], member, extension)) group.label = std::move(label);
    } else if (member.format != ImageFormat::unknown) {
      group.images.push_back(member);
    }
  }
  std::erase_if(groups, [](const Group& group) { return group.images.empty(); });
}

/// The first folder of each name below the folders that all share; nothing if one has none.
std::optional<std::vector<std::string>> folders_of(const std::vector<Sample>& samples) {
  std::size_t begin = 0;
  while (true) {
    std::vector<std::string> folders;
    for (const Sample& sample : samples) {
      const std::size_t slash = sample.image.name.find('/', begin);
      if (slash == std::string::npos) return std::nullopt;
      folders.push_back(sample.image.name.substr(begin, slash - begin));
    }
    const bool shared = std::all_of(folders.begin(), folders.end(),
                                    [&](const std::string& one) { return one == folders[0]; });
    if (!shared) return folders;
    begin += folders[0].size() + 1;
  }
}

/// Numbers classes in byte order of their names.
std::vector<std::string> number_classes(const std::vector<std::string>& labels,
                                        std::vector<Sample>& samples) {
  std::map<std::string, std::int64_t> numbers;
  for (const std::string& label : labels) numbers.emplace(label, 0);
  std::vector<std::string> classes;
  for (auto& [name, number] : numbers) {
    number = static_cast<std::int64_t>(classes.size());
    classes.push_back(name);
  }
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i].label = numbers.at(labels[i]);
  return classes;
}

}  // namespace

std::optional<std::vector<std::string>> expand_shards(const std::string& pattern) {
  const std::size_t open = pattern.find('{');
  const std::size_t dots = pattern.find("..", open);
  const std::size_t close = pattern.find('}', dots);
  if (open == std::string::npos || dots == std::string::npos || close == std::string::npos) {
    return std::nullopt;
  }
  const std::string first = pattern.substr(open + 1, dots - open - 1);
  const std::string last = pattern.substr(dots + 2, close - dots - 2);
  const auto is_number = [](const std::string& text) {
    return !text.empty() && text.size() <= 9 &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  };
  if (!is_number(first) || !is_number(last)) return std::nullopt;
  const std::int64_t low = std::stoll(first);
  const std::int64_t high = std::stoll(last);
  if (low > high || high - low >= kMostShards) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected {{FIRST..LAST}} with at most {} shards, got {} to {}",
                            pattern, kMostShards, low, high));
  }
  std::vector<std::string> paths;
  for (std::int64_t i = low; i <= high; ++i) {
    const std::string path = fmt::format("{}{:0{}}{}", pattern.substr(0, open), i, first.size(),
                                         pattern.substr(close + 1));
    if (auto more = expand_shards(path)) {
      paths.insert(paths.end(), more->begin(), more->end());
    } else {
      paths.push_back(path);
    }
  }
  return paths;
}

std::unique_ptr<Dataset> open_shards(std::vector<Shard> shards, const DataConfig& config) {
  std::vector<Group> groups;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::size_t before = groups.size();
    add_members(shards, i, groups);
    shards[i].members = {};  // The samples have what they need of them.
    if (groups.size() == before) {
      throw Error(
          ErrorKind::data,
          shards[i].name + ": expected images or CIFAR's binary files, got a tar without any");
    }
  }
  const bool has_labels =
      std::any_of(groups.begin(), groups.end(), [](const Group& one) { return one.label; });
  std::vector<Sample> samples;
  std::vector<std::string> labels;
  std::int64_t left_out = 0;
  for (const Group& group : groups) {
    if (has_labels && config.labels != LabelMode::none) {
      if (!group.label) {
        throw Error(ErrorKind::data,
                    fmt::format("{}: {}: expected a label (.cls or .json) as other images have; "
                                "data.labels = none ignores them",
                                shards[group.shard].name, group.images[0].name));
      }
      labels.push_back(*group.label);
    }
    // Beside labels, further images of a sample are its masks and the like.
    const std::size_t count = has_labels ? 1 : group.images.size();
    left_out += static_cast<std::int64_t>(group.images.size() - count);
    for (std::size_t i = 0; i < count; ++i) samples.push_back({group.shard, group.images[i]});
  }
  if (left_out > 0) {
    log_warning("{}: samples with several images: the first of each is taken, {} are left out",
                shards[0].name, left_out);
  }
  std::vector<std::string> classes;
  if (!labels.empty()) {
    classes = number_classes(labels, samples);
  } else if (config.labels != LabelMode::none) {
    const auto folders = folders_of(samples);
    if (folders) classes = number_classes(*folders, samples);
    if (!folders && config.labels == LabelMode::folder) {
      throw Error(
          ErrorKind::data,
          shards[0].name + ": expected labels or class folders (data.labels = folder), got none");
    }
  }
  return std::make_unique<ShardDataset>(std::move(shards), std::move(samples), std::move(classes));
}

}  // namespace clr
