// SPDX-License-Identifier: Apache-2.0
#include "clr/data/scan.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "clr/core/error.h"
#include "clr/core/parallel.h"
#include "clr/data/decode.h"
#include "clr/data/decode_record.h"
#include "clr/io/file.h"

namespace clr {
namespace {

/// What one image adds.
struct ImageFacts {
  std::string unreadable;  ///< why; "" when it can be read
  const char* format = "";
  Size size;
  PixelDigest digest{};
  std::array<float, 3> mean{};
  std::array<float, 3> mean_square{};
};

PixelDigest digest_of(const Image& image) {
  Sha256 hash;
  const std::array<std::int32_t, 2> size = {image.width, image.height};
  hash.update(size.data(), sizeof size);
  hash.update(image.pixels.data(), image.pixels.size());
  const std::string hex = hash.hex();
  PixelDigest digest{};
  for (std::size_t i = 0; i < digest.size(); ++i) {
    std::from_chars(hex.data() + 16 * i, hex.data() + 16 * (i + 1), digest[i], 16);
  }
  return digest;
}

void add_moments(const Image& image, ImageFacts& facts) {
  std::array<std::uint64_t, 3> sum{};
  std::array<std::uint64_t, 3> squares{};
  for (std::size_t p = 0; p < image.pixels.size(); p += 3) {
    for (std::size_t c = 0; c < 3; ++c) {
      const std::uint64_t value = image.pixels[p + c];
      sum[c] += value;
      squares[c] += value * value;
    }
  }
  const double pixels = static_cast<double>(image.pixels.size()) / 3;
  for (std::size_t c = 0; c < 3; ++c) {
    facts.mean[c] = static_cast<float>(static_cast<double>(sum[c]) / pixels / 255);
    facts.mean_square[c] =
        static_cast<float>(static_cast<double>(squares[c]) / pixels / (255 * 255));
  }
}

ImageFacts facts_of(const Dataset& dataset, std::int64_t index, const DataConfig& config) {
  ImageFacts facts;
  try {
    Record record = dataset.get(index);
    const auto* bytes = std::get_if<std::vector<std::uint8_t>>(&record);
    facts.format = bytes != nullptr ? format_name(*bytes) : "pixels";
    const Image image = decode_record(std::move(record), config);
    facts.size = image.size();
    facts.digest = digest_of(image);
    add_moments(image, facts);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) throw;
    facts.unreadable = reason_of(error, dataset, index);
  }
  return facts;
}

SizeRange range_of(std::vector<int> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values.front(), values[(values.size() - 1) / 2], values.back()};
}

}  // namespace

DataScan scan_dataset(const Dataset& dataset, const DataConfig& config, int threads,
                      const std::function<void(std::int64_t)>& watch) {
  std::vector<ImageFacts> facts(static_cast<std::size_t>(dataset.size()));
  parallel_for(
      dataset.size(), threads,
      [&](std::int64_t i) { facts[static_cast<std::size_t>(i)] = facts_of(dataset, i, config); },
      watch);

  DataScan scan;
  scan.images = dataset.size();
  std::vector<int> widths;
  std::vector<int> heights;
  std::vector<int> shorter;
  std::array<double, 3> squares{};
  for (std::size_t i = 0; i < facts.size(); ++i) {
    const ImageFacts& one = facts[i];
    scan.digests.push_back(one.digest);
    if (!one.unreadable.empty()) {
      const auto index = static_cast<std::int64_t>(i);
      scan.unreadable.push_back({index, dataset.name(index), one.unreadable});
      continue;
    }
    ++scan.formats[one.format];
    widths.push_back(one.size.width);
    heights.push_back(one.size.height);
    shorter.push_back(std::min(one.size.width, one.size.height));
    for (std::size_t c = 0; c < 3; ++c) {
      scan.mean[c] += static_cast<double>(one.mean[c]);
      squares[c] += static_cast<double>(one.mean_square[c]);
    }
  }
  const auto count = static_cast<double>(std::max<std::size_t>(1, widths.size()));
  for (std::size_t c = 0; c < 3; ++c) {
    scan.mean[c] /= count;
    const double variance = squares[c] / count - scan.mean[c] * scan.mean[c];
    scan.deviation[c] = std::sqrt(std::max(0.0, variance));
  }
  scan.width = range_of(std::move(widths));
  scan.height = range_of(std::move(heights));
  scan.shorter = range_of(std::move(shorter));
  return scan;
}

std::vector<DuplicateGroup> find_duplicates(const DataScan& first, const DataScan* second) {
  struct Member {
    PixelDigest digest;
    bool in_second;
    std::int64_t index;
    auto operator<=>(const Member&) const = default;
  };
  std::vector<Member> members;
  const auto add = [&](const DataScan& scan, bool in_second) {
    for (std::size_t i = 0; i < scan.digests.size(); ++i) {
      if (scan.digests[i] == PixelDigest{}) continue;
      members.push_back({scan.digests[i], in_second, static_cast<std::int64_t>(i)});
    }
  };
  add(first, false);
  if (second != nullptr) add(*second, true);
  std::sort(members.begin(), members.end());

  std::vector<DuplicateGroup> groups;
  for (std::size_t begin = 0, end = 0; begin < members.size(); begin = end) {
    while (end < members.size() && members[end].digest == members[begin].digest) ++end;
    if (end - begin < 2) continue;
    DuplicateGroup group;
    for (std::size_t i = begin; i < end; ++i) {
      (members[i].in_second ? group.second : group.first).push_back(members[i].index);
    }
    groups.push_back(std::move(group));
  }
  // Those of the first set by their first image there, then those of the second set alone.
  const auto place = [](const DuplicateGroup& group) {
    return group.first.empty() ? std::pair{true, group.second.front()}
                               : std::pair{false, group.first.front()};
  };
  std::sort(groups.begin(), groups.end(),
            [&](const auto& a, const auto& b) { return place(a) < place(b); });
  return groups;
}

}  // namespace clr
