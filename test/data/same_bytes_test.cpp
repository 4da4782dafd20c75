// SPDX-License-Identifier: Apache-2.0
// The bytes of batches: the same for any threads, caches, packs, shards and places to resume at; and
// the orders that they come in.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "clr/data/decode.h"
#include "clr/data/epoch_order.h"
#include "clr/data/loader.h"
#include "clr/data/pack_writer.h"
#include "clr/io/file.h"
#include "data/files.h"
#include "data/loading.h"
#include "support/catch.h"

namespace clr {
namespace {

using test::contains;
using test::error_of;
using test::make_options;
using test::same;
using test::stream;

/// SHA-256 of `count` batches of fused views, of a stream that starts at batch `first`, behind
/// `passed` that are thrown away.
std::string digest_of(const std::shared_ptr<const Dataset>& dataset, const LoaderOptions& options,
                      std::int64_t first, std::int64_t count, std::int64_t passed = 0) {
  AugmentConfig views;
  read_value(Json::parse(R"({"views": [{"count": 2, "chain": [
               {"type": "random_resized_crop", "size": 24, "scale": [0.08, 0.5]},
               {"type": "horizontal_flip"}, {"type": "color_jitter", "brightness": 0.4,
                "contrast": 0.4, "saturation": 0.4, "hue": 0.1}, {"type": "grayscale"},
               {"type": "gaussian_blur", "kernel": 5}, {"type": "normalize",
                "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}]}]})"),
             Place("test"), views);
  const auto augmenter = std::make_shared<const Augmenter>(views);
  CATCH_REQUIRE(augmenter->fused(0));
  const auto loader = make_thread_loader(dataset, augmenter, options);
  const std::int64_t steps = loader->steps_per_epoch();
  loader->start(first / steps, first % steps);
  for (std::int64_t i = 0; i < passed; ++i) loader->next();
  Sha256 hash;
  for (std::int64_t i = 0; i < count; ++i) {
    const Batch batch = loader->next();
    CATCH_REQUIRE(batch.groups.size() == 1);
    const torch::Tensor pixels = batch.groups[0].contiguous();
    hash.update(pixels.data_ptr(), pixels.nbytes());
    hash.update(batch.indices.data_ptr(), batch.indices.nbytes());
  }
  return hash.hex();
}

CATCH_TEST_CASE("the first 50 batches are the same bytes however they are made", "[data]") {
  const test::TempFolder folder;
  for (int i = 0; i < 64; ++i) {
    folder.write("set/" + std::to_string(i) + ".jpg",
                 test::numbered_jpeg(i, 70 + i % 9, 60 + i % 7));
  }
  const std::shared_ptr<const Dataset> files = open_dataset(folder / "set", {});
  write_pack(*files, {}, {PackFormat::raw, 0, 90}, folder / "raw.clrpack", 2);
  write_pack(*files, {}, {PackFormat::original, 0, 90}, folder / "same.clrpack", 2);
  LoaderOptions options = make_options(1);  // 8 steps an epoch
  options.epochs = 7;
  const std::string expected = digest_of(files, options, 0, 50);
  for (const int threads : {2, 5}) {
    options.threads = threads;
    CATCH_CHECK(digest_of(files, options, 0, 50) == expected);
  }
  for (const CacheMode cache : {CacheMode::encoded, CacheMode::decoded}) {
    options.data.cache = cache;
    CATCH_CHECK(digest_of(files, options, 0, 50) == expected);
  }
  options.data.cache = CacheMode::none;
  for (const char* name : {"raw.clrpack", "same.clrpack"}) {
    const std::shared_ptr<const Dataset> pack = open_dataset(folder / name, {});
    CATCH_CHECK(digest_of(pack, options, 0, 50) == expected);
  }
  // Resumed at step 17 and at the end of an epoch, where nothing is known of the images before.
  for (const std::int64_t first : {17, 8}) {
    const std::string rest = digest_of(files, options, 0, 50 - first, first);
    CATCH_CHECK(digest_of(files, options, first, 50 - first) == rest);
  }
}

CATCH_TEST_CASE("images of one pixel and of one row are rendered", "[data]") {
  const test::TempFolder folder;
  const std::vector<Size> sizes = {{1, 1}, {1, 5000}, {5000, 1}, {2, 3}, {7, 900}};
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    folder.write("set/" + std::to_string(i) + ".jpg",
                 test::numbered_jpeg(static_cast<int>(i), sizes[i].width, sizes[i].height));
  }
  const std::shared_ptr<const Dataset> files = open_dataset(folder / "set", {});
  LoaderOptions options = make_options(2);
  options.batch_size = 5;
  options.epochs = 40;
  const std::string expected = digest_of(files, options, 0, 40);
  options.threads = 1;
  options.data.cache = CacheMode::decoded;
  CATCH_CHECK(digest_of(files, options, 0, 40) == expected);
  for (std::int64_t index = 0; index < files->size(); ++index) {
    const Image image = decode(std::get<test::Bytes>(files->get(index)), {});
    CATCH_CHECK(image.size() == sizes[static_cast<std::size_t>(index)]);
  }
}

CATCH_TEST_CASE("a corrupt file in the middle of a shard follows data.on_error", "[data]") {
  const test::TempFolder folder;
  for (int i = 0; i < 16; ++i) {
    test::Bytes bytes = test::numbered_jpeg(i, 40, 30);
    if (i == 7) bytes.resize(bytes.size() / 2);
    folder.write("set/" + std::to_string(10 + i) + ".jpg", bytes);
  }
  const std::string command = "tar cf '" + folder / "set.tar' -C '" + folder / "set' --sort=name .";
  CATCH_REQUIRE(std::system(command.c_str()) == 0);
  const std::shared_ptr<const Dataset> shard = open_dataset(folder / "set.tar", {});
  CATCH_REQUIRE(shard->size() == 16);
  LoaderOptions options = make_options(2);
  CATCH_CHECK(
      contains(error_of([&] { stream(shard, options); }), "set.tar: ./17.jpg: damaged JPEG"));
  options.data.on_error = OnError::replace;
  const auto batches = stream(shard, options);
  CATCH_REQUIRE(batches.size() == 6);
  int bad = 0;
  for (const Batch& batch : batches) bad += static_cast<int>(batch.bad.size());
  CATCH_CHECK(bad == 3);  // once an epoch
}

CATCH_TEST_CASE("an order by shards keeps to a window of them, and misses nothing", "[data]") {
  const std::vector<std::int64_t> ends = {5, 6, 26, 26, 40, 47, 60};  // one shard has none
  const auto shard_of = [&](std::int64_t index) {
    return std::upper_bound(ends.begin(), ends.end(), index) - ends.begin();
  };
  std::set<std::vector<std::int64_t>> orders;
  for (const std::int64_t window : {1, 2, 3, 7}) {
    for (std::uint32_t epoch = 0; epoch < 4; ++epoch) {
      const EpochOrder order(9, epoch, ends, window);
      std::vector<std::int64_t> all;
      for (std::int64_t i = 0; i < 60; ++i) all.push_back(order.at(i));
      orders.insert(all);
      // At most `window` shards are open at a time.
      std::map<std::ptrdiff_t, std::pair<std::size_t, std::size_t>> spans;
      for (std::size_t i = 0; i < all.size(); ++i) {
        auto& span = spans.try_emplace(shard_of(all[i]), i, i).first->second;
        span.second = i;
      }
      for (std::size_t i = 0; i < all.size(); ++i) {
        std::int64_t open = 0;
        for (const auto& [shard, span] : spans) open += span.first <= i && i <= span.second ? 1 : 0;
        CATCH_REQUIRE(open <= window);
      }
      std::sort(all.begin(), all.end());
      for (std::int64_t i = 0; i < 60; ++i) CATCH_REQUIRE(all[static_cast<std::size_t>(i)] == i);
    }
  }
  CATCH_CHECK(orders.size() == 16);
}

CATCH_TEST_CASE("data.shuffle_shards is the same on any thread and after a resume", "[data]") {
  const test::TempFolder folder;
  for (int shard = 0; shard < 6; ++shard) {
    const std::string name = std::to_string(shard);
    for (int i = 0; i < 7; ++i) {
      folder.write("set" + name + "/" + std::to_string(i) + ".jpg",
                   test::numbered_jpeg(10 * shard + i, 30, 24));
    }
    const std::string command = "tar cf '" + folder / "s-" + name + ".tar' -C '" + folder / "set" +
                                name + "' --sort=name .";
    CATCH_REQUIRE(std::system(command.c_str()) == 0);
  }
  const std::shared_ptr<const Dataset> shards = open_dataset(folder / "s-{0..5}.tar", {});
  CATCH_REQUIRE(shards->shard_ends() == std::vector<std::int64_t>{7, 14, 21, 28, 35, 42});
  LoaderOptions options = make_options(1);
  const auto whole = stream(shards, options);
  options.data.shuffle_shards = 2;
  const auto windowed = stream(shards, options);
  CATCH_CHECK_FALSE(same(windowed, whole));
  options.threads = 5;
  CATCH_CHECK(same(stream(shards, options), windowed));
  const auto rest = stream(shards, options, 1, 2);
  CATCH_CHECK(same(rest, {windowed.begin() + 8, windowed.end()}));
  options.data.shuffle_shards = 6;  // all of them: the order without it
  CATCH_CHECK(same(stream(shards, options), whole));
}

}  // namespace
}  // namespace clr
