// SPDX-License-Identifier: Apache-2.0
// MNIST's idx files and STL-10's binary files.
#include <zlib.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "clr/data/dataset.h"
#include "data/files.h"
#include "support/catch.h"

namespace clr {
namespace {

using test::Bytes;
using test::contains;
using test::error_of;
using test::TempFolder;

Bytes idx(std::uint32_t magic, const std::vector<std::uint32_t>& sizes, const Bytes& content) {
  Bytes bytes;
  const auto number = [&](std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<std::uint8_t>(value >> shift));
    }
  };
  number(magic);
  for (const std::uint32_t size : sizes) number(size);
  bytes.insert(bytes.end(), content.begin(), content.end());
  return bytes;
}

Bytes counted(std::size_t count, int first = 0) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) {
    bytes[i] = static_cast<std::uint8_t>(static_cast<std::size_t>(first) + i);
  }
  return bytes;
}

void write_gzipped(const TempFolder& folder, const std::string& name, const Bytes& bytes) {
  const gzFile file = gzopen((folder / name).c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
}

const Bytes kDigits = idx(0x803, {3, 2, 4}, counted(24));  // 3 images of 4 x 2

CATCH_TEST_CASE("MNIST's files, compressed or not", "[data]") {
  const TempFolder folder;
  folder.write("train-images-idx3-ubyte", kDigits);
  folder.write("train-labels-idx1-ubyte", idx(0x801, {3}, {2, 0, 2}));
  write_gzipped(folder, "t10k-images-idx3-ubyte.gz", idx(0x803, {2, 2, 4}, counted(16, 100)));
  write_gzipped(folder, "t10k-labels-idx1-ubyte.gz", idx(0x801, {2}, {1, 2}));

  const auto train = open_dataset(folder.path(), {});
  CATCH_REQUIRE(train->size() == 3);
  CATCH_CHECK(train->classes() == std::vector<std::string>{"0", "1", "2"});
  CATCH_CHECK(train->label(0) == 2);
  CATCH_CHECK(train->label(1) == 0);
  CATCH_CHECK(train->name(1) == "train-images-idx3-ubyte/1");
  const auto image = std::get<Image>(train->get(1));
  CATCH_CHECK(image.size() == Size{4, 2});
  CATCH_CHECK(Bytes(image.pixels.begin(), image.pixels.begin() + 6) == Bytes{8, 8, 8, 9, 9, 9});
  CATCH_CHECK(image.pixels.size() == 24);

  const auto test_set = open_dataset(folder.path() + "#test", {});
  CATCH_REQUIRE(test_set->size() == 2);
  CATCH_CHECK(test_set->label(1) == 2);
  CATCH_CHECK(std::get<Image>(test_set->get(0)).pixels[0] == 100);
  CATCH_CHECK(test_set->fingerprint() != train->fingerprint());

  // One file, and its labels beside it.
  const auto alone = open_dataset(folder / "t10k-images-idx3-ubyte.gz", {});
  CATCH_CHECK(alone->size() == 2);
  CATCH_CHECK(alone->label(0) == 1);
  DataConfig none;
  none.labels = LabelMode::none;
  CATCH_CHECK(open_dataset(folder.path(), none)->label(0) == -1);
  CATCH_CHECK(
      contains(error_of([&] { open_dataset(folder.path() + "#unlabeled", {}); }), "STL-10"));
}

CATCH_TEST_CASE("damaged idx files are refused", "[data]") {
  const auto opening = [](const Bytes& images, const Bytes& labels) {
    const TempFolder folder;
    folder.write("train-images-idx3-ubyte", images);
    folder.write("train-labels-idx1-ubyte", labels);
    return error_of([&] { open_dataset(folder.path(), {}); });
  };
  const Bytes labels = idx(0x801, {3}, {2, 0, 2});
  CATCH_CHECK_FALSE(opening(kDigits, labels));
  Bytes cut = kDigits;
  cut.pop_back();
  CATCH_CHECK(contains(opening(cut, labels), "expected 24 bytes behind its header, got 23"));
  CATCH_CHECK(contains(opening(idx(0x803, {3, 2}, {}), labels), "cut-off"));
  CATCH_CHECK(contains(opening(idx(0xd03, {3, 2, 4}, counted(24)), labels), "idx file of images"));
  CATCH_CHECK(contains(opening(idx(0x803, {0xffffffff, 0xffffffff, 4}, {}), labels), "4 GiB"));
  CATCH_CHECK(contains(opening(idx(0x803, {3, 0, 4}, {}), labels), "sizes of 1 or more"));
  CATCH_CHECK(contains(opening(idx(0x803, {1, 1, 3'000'000'000}, {}), labels), "data.max_pixels"));
  Bytes more = kDigits;
  more.push_back(0);
  CATCH_CHECK(contains(opening(more, labels), "got more"));
  CATCH_CHECK(contains(opening(kDigits, idx(0x801, {2}, {1, 0})), "expected 3 labels"));
  CATCH_CHECK(contains(opening(kDigits, kDigits), "idx file of labels"));
}

Bytes stl_images(int count) {
  Bytes bytes;
  for (int i = 0; i < count; ++i) {
    for (int c = 0; c < 3; ++c) {
      for (int x = 0; x < 96; ++x) {
        for (int y = 0; y < 96; ++y) {
          bytes.push_back(static_cast<std::uint8_t>(50 * i + 20 * c + x + 2 * y));
        }
      }
    }
  }
  return bytes;
}

CATCH_TEST_CASE("STL-10's three parts", "[data]") {
  const TempFolder folder;
  folder.write("train_X.bin", stl_images(2));
  folder.write("train_y.bin", Bytes{10, 1});
  folder.write("unlabeled_X.bin", stl_images(3));
  const std::string names = "airplane\nbird\ncar\ncat\ndeer\ndog\nhorse\nmonkey\nship\ntruck";
  folder.write("class_names.txt", names);

  const auto train = open_dataset(folder.path(), {});
  CATCH_REQUIRE(train->size() == 2);
  CATCH_CHECK(train->classes().size() == 10);
  CATCH_CHECK(train->classes()[9] == "truck");
  CATCH_CHECK(train->label(0) == 9);
  CATCH_CHECK(train->label(1) == 0);
  const auto image = std::get<Image>(train->get(1));
  CATCH_CHECK(image.size() == Size{96, 96});
  const auto pixel = static_cast<std::size_t>(3 * (7 * 96 + 11));  // x = 11, y = 7
  CATCH_CHECK(image.pixels[pixel] == 50 + 11 + 14);
  CATCH_CHECK(image.pixels[pixel + 2] == 50 + 40 + 11 + 14);

  const auto unlabeled = open_dataset(folder.path() + "#unlabeled", {});
  CATCH_CHECK(unlabeled->size() == 3);
  CATCH_CHECK(unlabeled->label(2) == -1);
  CATCH_CHECK_FALSE(unlabeled->labelled());
  CATCH_CHECK(contains(error_of([&] { open_dataset(folder.path() + "#test", {}); }),
                       "expected test_X.bin"));

  folder.write("test_X.bin", Bytes(96 * 96 * 3 + 1));
  CATCH_CHECK(contains(error_of([&] { open_dataset(folder.path() + "#test", {}); }), "cut off"));
  folder.write("train_y.bin", Bytes{10, 0});
  CATCH_CHECK(contains(error_of([&] { open_dataset(folder.path(), {}); }),
                       "image 1: expected a label from 1 to 10, got 0"));
  folder.write("train_y.bin", Bytes{10});
  CATCH_CHECK(contains(error_of([&] { open_dataset(folder.path(), {}); }), "expected 2 labels"));
}

}  // namespace
}  // namespace clr
