// SPDX-License-Identifier: Apache-2.0
// Packs: what they keep, what damage is called, and that they give the bytes of what was packed.
#include "clr/data/pack_writer.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "clr/data/decode_record.h"
#include "clr/data/loader.h"
#include "clr/data/pack_format.h"
#include "data/files.h"
#include "support/catch.h"

namespace clr {
namespace {

using test::Bytes;
using test::contains;
using test::error_of;
using test::TempFolder;

constexpr int kImages = 9;

/// Two classes of JPEGs of several sizes, the largest ones 90 x 60.
void make_images(const TempFolder& folder) {
  for (int i = 0; i < kImages; ++i) {
    folder.write(
        "set/" + std::string(i % 3 == 0 ? "ant" : "bee") + "/" + std::to_string(i) + ".jpg",
        test::numbered_jpeg(i, 18 + 9 * i, 12 + 6 * i));
  }
}

PackOptions options_of(PackFormat format, std::int64_t side) { return {format, side, 90}; }

std::unique_ptr<Dataset> packed(const TempFolder& folder, const PackOptions& options,
                                int threads = 2) {
  const auto source = open_dataset(folder / "set", {});
  write_pack(*source, {}, options, folder / "a.clrpack", threads);
  return open_dataset(folder / "a.clrpack", {});
}

Image image_of(const Dataset& dataset, std::int64_t index) {
  return decode_record(dataset.get(index), {});
}

CATCH_TEST_CASE("a pack keeps order, names, labels and, raw, all pixels", "[data]") {
  const TempFolder folder;
  make_images(folder);
  const auto source = open_dataset(folder / "set", {});
  for (const PackFormat format : {PackFormat::raw, PackFormat::original, PackFormat::jpeg}) {
    CATCH_CAPTURE(to_string(format));
    const auto pack = packed(folder, options_of(format, 0));
    CATCH_REQUIRE(pack->size() == kImages);
    CATCH_CHECK(pack->classes() == source->classes());
    for (std::int64_t i = 0; i < kImages; ++i) {
      CATCH_CHECK(pack->name(i) == source->name(i));
      CATCH_CHECK(pack->label(i) == source->label(i));
      CATCH_CHECK(pack->location(i) == folder / "a.clrpack: " + pack->name(i));
      // Unreduced JPEGs stay what they are.
      CATCH_CHECK(image_of(*pack, i).pixels == image_of(*source, i).pixels);
      CATCH_CHECK(std::holds_alternative<Image>(pack->get(i)) == (format == PackFormat::raw));
    }
  }
}

CATCH_TEST_CASE("a pack's shorter sides are at most what was asked for", "[data]") {
  const TempFolder folder;
  make_images(folder);
  const auto source = open_dataset(folder / "set", {});
  const auto pack = packed(folder, options_of(PackFormat::raw, 30));
  const auto encoded_folder = packed(folder, options_of(PackFormat::jpeg, 30));
  for (std::int64_t i = 0; i < kImages; ++i) {
    const Image before = image_of(*source, i);
    const Image after = image_of(*pack, i);
    if (before.height <= 30) {
      CATCH_CHECK(after.pixels == before.pixels);
    } else {
      CATCH_CHECK(after.size() == Size{45, 30});
    }
    // Smooth pictures survive JPEG.
    const Image encoded = image_of(*encoded_folder, i);
    CATCH_REQUIRE(encoded.size() == after.size());
  }
}

CATCH_TEST_CASE("a pack has the same bytes for any number of threads", "[data]") {
  const TempFolder folder;
  make_images(folder);
  for (const PackFormat format : {PackFormat::raw, PackFormat::jpeg}) {
    packed(folder, options_of(format, 30), 1);
    const Bytes one = test::read_all(folder / "a.clrpack");
    packed(folder, options_of(format, 30), 5);
    CATCH_CHECK(test::read_all(folder / "a.clrpack") == one);
  }
}

CATCH_TEST_CASE("batches from a raw pack are those of its source", "[data]") {
  const TempFolder folder;
  make_images(folder);
  AugmentConfig views;
  read_value(Json::parse(R"({"views": [{"count": 2, "chain": [
               {"type": "random_resized_crop", "size": 16}, {"type": "color_jitter", "hue": 0.1},
               {"type": "gaussian_blur", "kernel": 5}]}]})"),
             Place("test"), views);
  const auto augmenter = std::make_shared<const Augmenter>(views);
  const auto batches = [&](std::shared_ptr<const Dataset> dataset) {
    LoaderOptions options;
    options.seed = 3;
    options.batch_size = 4;
    options.shuffle = true;
    options.epochs = 3;
    const auto loader = make_thread_loader(std::move(dataset), augmenter, options);
    loader->start(0, 0);
    std::vector<torch::Tensor> all;
    for (Batch batch = loader->next(); !batch.groups.empty(); batch = loader->next()) {
      all.push_back(batch.groups[0].clone());
      all.push_back(batch.labels);
    }
    return all;
  };
  const auto expected = batches(open_dataset(folder / "set", {}));
  const auto got = batches(packed(folder, options_of(PackFormat::raw, 0)));
  CATCH_REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) CATCH_CHECK(torch::equal(got[i], expected[i]));
}

CATCH_TEST_CASE("a damaged pack is told from a whole one", "[data]") {
  const TempFolder folder;
  make_images(folder);
  const auto whole = packed(folder, options_of(PackFormat::original, 0));
  const Bytes bytes = test::read_all(folder / "a.clrpack");
  // Any one byte, wherever it is: an error when opened or when its record is read.
  for (std::size_t at = 0; at < bytes.size(); at += 7) {
    Bytes damaged = bytes;
    damaged[at] ^= 0x10;
    folder.write("b.clrpack", damaged);
    const auto message = error_of([&] {
      const auto pack = open_dataset(folder / "b.clrpack", {});
      for (std::int64_t i = 0; i < pack->size(); ++i) pack->get(i);
    });
    CATCH_CAPTURE(at);
    CATCH_CHECK(message);
  }
  for (const std::size_t length :
       {std::size_t{16}, std::size_t{40}, bytes.size() / 2, bytes.size() - 1}) {
    folder.write("b.clrpack",
                 Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length)));
    CATCH_CHECK(contains(error_of([&] { open_dataset(folder / "b.clrpack", {}); }), "cut off"));
  }
}

/// A pack whose checksums are right and whose index says what `change` makes of it.
Bytes forged(const Bytes& bytes, const std::function<void(PackFooter&, PackEntry&)>& change) {
  Bytes result = bytes;
  PackFooter footer;
  std::uint8_t* const end = result.data() + result.size() - sizeof footer;
  std::memcpy(&footer, end, sizeof footer);
  PackEntry first;
  std::uint8_t* const index = result.data() + footer.entries_offset;
  std::memcpy(&first, index, sizeof first);
  change(footer, first);
  std::memcpy(index, &first, sizeof first);
  footer.index_checksum = XXH3_64bits(index, static_cast<std::size_t>(end - index));
  footer.footer_checksum = XXH3_64bits(&footer, offsetof(PackFooter, footer_checksum));
  std::memcpy(end, &footer, sizeof footer);
  return result;
}

CATCH_TEST_CASE("a pack with checksums that fit and an index that does not is refused", "[data]") {
  const TempFolder folder;
  make_images(folder);
  const auto whole = packed(folder, options_of(PackFormat::raw, 0));
  const Bytes bytes = test::read_all(folder / "a.clrpack");
  const auto opening = [&](const std::function<void(PackFooter&, PackEntry&)>& change) {
    folder.write("b.clrpack", forged(bytes, change));
    return error_of([&] { open_dataset(folder / "b.clrpack", {}); });
  };
  CATCH_CHECK_FALSE(opening([](PackFooter&, PackEntry&) {}));
  CATCH_CHECK(opening([](PackFooter&, PackEntry& e) { e.raw_height = 0, e.bytes = 0; }));
  CATCH_CHECK(opening([](PackFooter&, PackEntry& e) {
    e.raw_width = 4294901763U, e.raw_height = 1431677610U, e.bytes = 327674;
  }));
  CATCH_CHECK(opening([](PackFooter&, PackEntry& e) { e.raw_width += 1; }));
  CATCH_CHECK(opening([](PackFooter&, PackEntry& e) { e.offset = ~std::uint64_t{0} - 3; }));
  CATCH_CHECK(opening([](PackFooter&, PackEntry& e) { e.label = 2; }));
  CATCH_CHECK(opening([](PackFooter&, PackEntry& e) { e.label = -1; }));
  CATCH_CHECK(opening([](PackFooter&, PackEntry& e) { e.name_end = 1'000'000; }));
  CATCH_CHECK(opening([](PackFooter& f, PackEntry&) { f.images = std::uint64_t{1} << 61; }));
  CATCH_CHECK(opening([](PackFooter& f, PackEntry&) { f.json_offset = f.names_offset - 1; }));
  CATCH_CHECK(opening([](PackFooter& f, PackEntry&) { f.json_offset = f.footer_offset; }));
}

CATCH_TEST_CASE("images that cannot be read are left out of a pack, or end it", "[data]") {
  const TempFolder folder;
  make_images(folder);
  folder.write("set/bee/4.jpg", Bytes{1, 2, 3});
  const auto source = open_dataset(folder / "set", {});
  const std::string out = folder / "a.clrpack";
  CATCH_CHECK(contains(error_of([&] { write_pack(*source, {}, {}, out, 2); }), "bee/4.jpg: "));
  CATCH_CHECK_FALSE(std::filesystem::exists(out));
  CATCH_CHECK_FALSE(std::filesystem::exists(out + ".tmp"));
  DataConfig config;
  config.on_error = OnError::replace;
  CATCH_CHECK(error_of([&] { write_pack(*source, config, {}, out, 2); }, ErrorKind::config));
  config.on_error = OnError::skip;
  CATCH_CHECK(contains(error_of([&] { write_pack(*source, config, {}, out, 2); }), "data.max_bad"));
  config.max_bad = 0.5;
  const PackSummary summary = write_pack(*source, config, {}, out, 2);
  CATCH_CHECK(summary.images == kImages - 1);
  CATCH_REQUIRE(summary.left_out.size() == 1);
  CATCH_CHECK(summary.left_out[0].name == "bee/4.jpg");
  const auto pack = open_dataset(out, {});
  CATCH_CHECK(pack->size() == kImages - 1);
  for (std::int64_t i = 0; i < pack->size(); ++i) CATCH_CHECK(pack->name(i) != "bee/4.jpg");

  DataConfig none;
  none.labels = LabelMode::none;
  CATCH_CHECK(open_dataset(out, none)->label(0) == -1);
  CATCH_CHECK(error_of([&] { write_pack(*source, config, {}, "/nowhere/a.clrpack", 1); },
                       ErrorKind::output));
}

}  // namespace
}  // namespace clr
