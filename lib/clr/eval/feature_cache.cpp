// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/feature_cache.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "clr/core/error.h"
#include "clr/core/parallel.h"
#include "clr/data/fingerprint.h"
#include "clr/data/text_dataset.h"
#include "clr/io/file.h"
#include "clr/io/safetensors.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

constexpr std::size_t kMostFiles = 8;

std::uint64_t record_hash(const Dataset& dataset, std::int64_t index) {
  try {
    const Record record = dataset.get(index);
    if (const Image* image = std::get_if<Image>(&record)) {
      return XXH3_64bits_withSeed(image->pixels.data(), image->pixels.size(),
                                  static_cast<std::uint64_t>(image->width));
    }
    const auto& bytes = std::get<std::vector<std::uint8_t>>(record);
    return XXH3_64bits(bytes.data(), bytes.size());
  } catch (const Error&) {
    return 0;
  }
}

Json bad_json(const std::vector<BadImage>& bad) {
  Json list = Json::array();
  for (const BadImage& image : bad)
    list.push_back({{"index", image.index}, {"name", image.name}, {"reason", image.reason}});
  return list;
}

std::vector<BadImage> bad_images(const Json& list) {
  std::vector<BadImage> bad;
  for (const Json& image : list) {
    bad.push_back({image.at("index").get<std::int64_t>(), image.at("name").get<std::string>(),
                   image.at("reason").get<std::string>()});
  }
  return bad;
}

}  // namespace

std::string content_hash(const Dataset& dataset, int threads) {
  // Of texts it is of what they say.
  if (as_texts(dataset) != nullptr) return dataset.fingerprint();
  std::vector<std::uint64_t> hashes(static_cast<std::size_t>(dataset.size()));
  parallel_for(dataset.size(), threads, [&](std::int64_t i) {
    hashes[static_cast<std::size_t>(i)] = record_hash(dataset, i);
  });
  Fingerprint fingerprint;
  for (const std::uint64_t hash : hashes) fingerprint.add(static_cast<std::int64_t>(hash));
  return fingerprint.hex();
}

FeatureCache::FeatureCache(fs::path folder, const Json& key)
    : folder_(std::move(folder)), key_(dump_text(key)) {
  file_ = folder_ / (sha256_hex(key_).substr(0, 16) + ".safetensors");
}

std::optional<Features> FeatureCache::find() const {
  std::error_code ignored;
  if (!fs::exists(file_, ignored)) return std::nullopt;
  try {
    const SafeTensors content = read_safetensors(file_);
    const auto key = content.metadata.find("clr.key");
    const auto bad = content.metadata.find("clr.bad");
    Features features;
    features.values = content.find("features");
    features.labels = content.find("labels");
    features.indices = content.find("indices");
    if (key == content.metadata.end() || key->second != key_ || bad == content.metadata.end() ||
        !features.values.defined() || !features.labels.defined() || !features.indices.defined()) {
      return std::nullopt;
    }
    features.bad = bad_images(Json::parse(bad->second));
    fs::last_write_time(file_, fs::file_time_type::clock::now(), ignored);
    return features;
  } catch (const Error&) {
    return std::nullopt;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

void FeatureCache::keep(const Features& features) const {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) {
    throw Error(ErrorKind::output,
                folder_.string() + ": expected a folder to keep features in: " + error.message());
  }
  SafeTensors content;
  content.tensors = {
      {"features", features.values}, {"labels", features.labels}, {"indices", features.indices}};
  content.metadata = {{"clr.key", key_}, {"clr.bad", dump_text(bad_json(features.bad))}};
  write_safetensors(file_, content);
  std::vector<std::pair<fs::file_time_type, fs::path>> files;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    if (entry.path().extension() == ".safetensors" && entry.path() != file_)
      files.emplace_back(entry.last_write_time(error), entry.path());
  }
  std::sort(files.rbegin(), files.rend());
  for (std::size_t i = kMostFiles - 1; i < files.size(); ++i) fs::remove(files[i].second, error);
}

}  // namespace clr
