// SPDX-License-Identifier: Apache-2.0
#include <zlib.h>

#include <cstdio>
#include <filesystem>
#include <string>
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
using Names = std::vector<std::string>;

/// A record whose pixel at (x, y) of channel c is c * 50 + x + y + first.
void add_record(Bytes& bytes, const Bytes& labels, int first) {
  bytes.insert(bytes.end(), labels.begin(), labels.end());
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < 32; ++y) {
      for (int x = 0; x < 32; ++x)
        bytes.push_back(static_cast<std::uint8_t>(c * 50 + x + y + first));
    }
  }
}

Bytes cifar10_file(const Bytes& labels) {
  Bytes bytes;
  for (const std::uint8_t label : labels) add_record(bytes, {label}, label);
  return bytes;
}

const std::string kNames = "plane\ncar\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

void write_cifar10(const TempFolder& folder) {
  for (int i = 1; i <= 5; ++i) {
    folder.write("data_batch_" + std::to_string(i) + ".bin",
                 cifar10_file({static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(9 - i)}));
  }
  folder.write("test_batch.bin", cifar10_file({0, 9, 3}));
  folder.write("batches.meta.txt", kNames);
}

/// A POSIX tar of regular files.
Bytes make_tar(const std::vector<std::pair<std::string, Bytes>>& files) {
  Bytes tar;
  for (const auto& [name, content] : files) {
    Bytes header(512, 0);
    std::snprintf(reinterpret_cast<char*>(header.data()), 100, "%s", name.c_str());
    std::snprintf(reinterpret_cast<char*>(&header[100]), 8, "0000644");
    std::snprintf(reinterpret_cast<char*>(&header[124]), 12, "%011o",
                  static_cast<unsigned>(content.size()));
    header[156] = '0';
    std::snprintf(reinterpret_cast<char*>(&header[257]), 8, "ustar");
    unsigned sum = 8 * ' ';
    for (const std::uint8_t byte : header) sum += byte;
    std::snprintf(reinterpret_cast<char*>(&header[148]), 8, "%06o", sum);
    tar.insert(tar.end(), header.begin(), header.end());
    tar.insert(tar.end(), content.begin(), content.end());
    tar.resize((tar.size() + 511) / 512 * 512);
  }
  tar.resize(tar.size() + 1024);
  return tar;
}

void check_cifar10_training_set(const Dataset& dataset) {
  CATCH_REQUIRE(dataset.size() == 10);
  CATCH_CHECK(dataset.classes().size() == 10);
  CATCH_CHECK(dataset.classes()[3] == "cat");
  CATCH_CHECK(dataset.name(3) == "data_batch_2.bin/1");
  for (int i = 0; i < 10; ++i) {
    const int label = i % 2 == 0 ? i / 2 + 1 : 9 - (i / 2 + 1);
    CATCH_CHECK(dataset.label(i) == label);
    const Record record = dataset.get(i);
    const Image& image = std::get<Image>(record);
    CATCH_REQUIRE(image.size() == Size{32, 32});
    CATCH_REQUIRE(image.pixels.size() == 3072);
    for (const auto& [x, y, c] : {std::array{0, 0, 0}, {31, 0, 1}, {5, 20, 2}, {31, 31, 2}}) {
      CATCH_CHECK(image.pixels[static_cast<std::size_t>(3 * (32 * y + x) + c)] ==
                  c * 50 + x + y + label);
    }
  }
}

CATCH_TEST_CASE("CIFAR-10 opens as a folder, a file or a tar", "[data]") {
  const TempFolder folder;
  write_cifar10(folder);
  check_cifar10_training_set(*open_dataset(folder.path(), {}));
  CATCH_CHECK(open_dataset(folder.path(), {})->location(0) == folder / "data_batch_1.bin/0");

  const auto test_set = open_dataset(folder.path() + "#test", {});
  CATCH_CHECK(test_set->size() == 3);
  CATCH_CHECK(test_set->label(1) == 9);
  CATCH_CHECK(test_set->fingerprint() ==
              open_dataset(folder / "test_batch.bin", {})->fingerprint());
  CATCH_CHECK(test_set->fingerprint() != open_dataset(folder.path(), {})->fingerprint());
  CATCH_CHECK(open_dataset(folder / "data_batch_2.bin", {})->label(0) == 2);

  std::vector<std::pair<std::string, Bytes>> files = {{"cifar/readme.html", Bytes(700, 'x')}};
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    files.emplace_back("cifar/" + entry.path().filename().string(),
                       test::read_all(entry.path().string()));
  }
  const Bytes tar = make_tar(files);
  const TempFolder archives;
  check_cifar10_training_set(*open_dataset(archives.write("a.tar", tar), {}));
  const std::string zipped = archives / "a.tar.gz";
  const gzFile file = gzopen(zipped.c_str(), "wb");
  gzwrite(file, tar.data(), static_cast<unsigned>(tar.size()));
  gzclose(file);
  check_cifar10_training_set(*open_dataset(zipped, {}));
  CATCH_CHECK(open_dataset(zipped + "#test", {})->size() == 3);
  CATCH_CHECK(open_dataset(zipped + "#test", {})->classes()[9] == "truck");

  Bytes cut = test::read_all(zipped);
  cut.resize(cut.size() / 2);
  CATCH_CHECK(
      contains(error_of([&] { open_dataset(archives.write("cut.tar.gz", cut), {}); }), "cut-off"));
  Bytes half = tar;
  half.resize(half.size() / 2 + 7);
  CATCH_CHECK(
      contains(error_of([&] { open_dataset(archives.write("half.tar", half), {}); }), "half.tar"));
  const auto python = archives.write("python.tar", make_tar({{"data_batch_1", Bytes(9)}}));
  CATCH_CHECK(contains(error_of([&] { open_dataset(python, {}); }), "Python version"));
  const auto other = archives.write("other.tar", make_tar({{"a.jpg", Bytes(9)}}));
  CATCH_CHECK(contains(error_of([&] { open_dataset(other, {}); }),
                       "expected images or CIFAR's binary files, got a tar without any"));
}

CATCH_TEST_CASE("CIFAR-100 has fine labels", "[data]") {
  const TempFolder folder;
  Bytes train;
  add_record(train, {7, 99}, 0);
  add_record(train, {0, 42}, 1);
  folder.write("train.bin", train);
  folder.write("test.bin", Bytes(train.begin(), train.begin() + 3074));
  const auto dataset = open_dataset(folder.path(), {});
  CATCH_CHECK(dataset->size() == 2);
  CATCH_CHECK(dataset->label(0) == 99);
  CATCH_CHECK(dataset->classes().size() == 100);
  CATCH_CHECK(dataset->classes()[42] == "42");
  CATCH_CHECK(std::get<Image>(dataset->get(1)).pixels[0] == 1);
  CATCH_CHECK(open_dataset(folder.path() + "#test", {})->size() == 1);
  DataConfig none;
  none.labels = LabelMode::none;
  CATCH_CHECK(open_dataset(folder.path(), none)->label(0) == -1);
  CATCH_CHECK_FALSE(open_dataset(folder.path(), none)->labelled());
}

CATCH_TEST_CASE("damaged CIFAR files are named", "[data]") {
  const TempFolder folder;
  write_cifar10(folder);
  const auto failure = [&] { return error_of([&] { open_dataset(folder.path(), {}); }); };
  Bytes bytes = cifar10_file({1, 2});
  bytes.pop_back();
  folder.write("data_batch_4.bin", bytes);
  CATCH_CHECK(contains(failure(), folder / "data_batch_4.bin: expected whole records"));
  folder.write("data_batch_4.bin", cifar10_file({1, 10}));
  CATCH_CHECK(contains(failure(), "data_batch_4.bin: record 1: expected a label below 10, got 10"));
  folder.write("data_batch_4.bin", cifar10_file({1}));
  folder.write("batches.meta.txt", std::string("one\ntwo\n"));
  CATCH_CHECK(contains(failure(), "expected 10 class names, got 2"));
  std::filesystem::remove(folder / "data_batch_3.bin");
  std::filesystem::remove(folder / "batches.meta.txt");
  CATCH_CHECK(contains(failure(), "expected data_batch_3.bin, which is missing"));
  folder.write("other.bin", bytes);
  CATCH_CHECK(
      contains(error_of([&] { open_dataset(folder / "other.bin", {}); }), "expected a CIFAR file"));
}

}  // namespace
}  // namespace clr
