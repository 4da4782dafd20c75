// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
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
using Labels = std::vector<std::int64_t>;

DataConfig with_labels(LabelMode mode) {
  DataConfig config;
  config.labels = mode;
  return config;
}

Names names_of(const Dataset& dataset) {
  Names names;
  for (std::int64_t i = 0; i < dataset.size(); ++i) names.push_back(dataset.name(i));
  return names;
}

Labels labels_of(const Dataset& dataset) {
  Labels labels;
  for (std::int64_t i = 0; i < dataset.size(); ++i) labels.push_back(dataset.label(i));
  return labels;
}

void add_images(const TempFolder& folder, const Names& names) {
  for (const auto& name : names)
    folder.write(name, test::numbered_jpeg(static_cast<int>(name.size())));
}

auto failure(const std::string& path, const DataConfig& config = {}) {
  return error_of([&] { open_dataset(path, config); });
}

CATCH_TEST_CASE("subfolders are classes, in byte order, images at any depth", "[data]") {
  const TempFolder folder;
  add_images(folder, {"dog/b.JPEG", "dog/a.jpg", "dog/deep/er/c.png", "dog/deep-x/d.jpg",
                      "Zebra/1.jpg", "cat/x.webp"});
  folder.write("dog/notes.txt", std::string("no image"));
  folder.write("dog/.hidden.jpg", Bytes{});
  folder.write(".thumbnails/a.jpg", Bytes{});
  folder.write("list.csv", std::string("path,label\n"));
  for (const std::string& path : {folder.path(), folder.path() + "/", folder.path() + "//"}) {
    const auto dataset = open_dataset(path, {});
    CATCH_CHECK(dataset->classes() == Names{"Zebra", "cat", "dog"});
    CATCH_CHECK(dataset->labelled());
    // By folder, then by name: "dog/deep-x" sorts before "dog/deep/er".
    CATCH_CHECK(names_of(*dataset) == Names{"Zebra/1.jpg", "cat/x.webp", "dog/a.jpg", "dog/b.JPEG",
                                            "dog/deep-x/d.jpg", "dog/deep/er/c.png"});
    CATCH_CHECK(labels_of(*dataset) == Labels{0, 1, 2, 2, 2, 2});
    CATCH_CHECK(dataset->location(2) == folder.path() + "/dog/a.jpg");
    CATCH_CHECK(std::get<Bytes>(dataset->get(2)) == test::read_all(folder / "dog/a.jpg"));
  }
}

CATCH_TEST_CASE("images are told by content where the name does not say", "[data]") {
  const TempFolder folder;
  folder.write("a", test::numbered_jpeg(1));
  folder.write("b.dat", test::golden("plain.png"));
  folder.write("c.gif", test::golden("animation.gif"));
  folder.write("d.txt", std::string("BMW and P6 engines"));
  folder.write("e.jpg", Bytes{});
  folder.write("f.bin", Bytes{});
  CATCH_CHECK(names_of(*open_dataset(folder.path(), {})) == Names{"a", "b.dat", "c.gif", "e.jpg"});
}

CATCH_TEST_CASE("a flat folder, and data.labels = none, give unlabelled images", "[data]") {
  const TempFolder flat;
  add_images(flat, {"b.jpg", "a.jpg"});
  std::filesystem::create_directory(flat / "empty");
  const auto dataset = open_dataset(flat.path(), {});
  CATCH_CHECK(names_of(*dataset) == Names{"a.jpg", "b.jpg"});
  CATCH_CHECK(labels_of(*dataset) == Labels{-1, -1});
  CATCH_CHECK_FALSE(dataset->labelled());
  CATCH_CHECK(
      contains(failure(flat.path(), with_labels(LabelMode::folder)), "expected class folders"));

  add_images(flat, {"x/y/c.jpg", "x/b.jpg", "train/q.jpg"});
  const auto nested = open_dataset(flat.path(), with_labels(LabelMode::none));
  CATCH_CHECK(names_of(*nested) == Names{"a.jpg", "b.jpg", "train/q.jpg", "x/b.jpg", "x/y/c.jpg"});
  CATCH_CHECK_FALSE(nested->labelled());
}

CATCH_TEST_CASE("folders of an unclear shape are refused with a way out", "[data]") {
  const TempFolder folder;
  CATCH_CHECK(contains(failure(folder.path()), folder.path() + ": expected images"));
  CATCH_CHECK(contains(failure(folder / "missing"), "No such file or directory"));
  CATCH_CHECK(contains(failure(folder.path(), with_labels(LabelMode::none)), "expected images"));

  add_images(folder, {"cat/a.jpg"});
  std::filesystem::create_directory(folder / "dog");
  CATCH_CHECK(
      contains(failure(folder.path()), folder / "dog: expected a class folder with images"));
  add_images(folder, {"dog/a.jpg", "stray.jpg"});
  const auto mixed = failure(folder.path());
  CATCH_CHECK(contains(mixed, "got both (stray.jpg and cat)"));
  CATCH_CHECK(contains(mixed, "--set data.labels=none"));
}

CATCH_TEST_CASE("splits given as one set are refused", "[data]") {
  const TempFolder splits;
  add_images(splits, {"test/cat/a.jpg", "train/cat/a.jpg"});
  CATCH_CHECK(contains(failure(splits.path()), "name one of them: " + splits / "test"));
  CATCH_CHECK(open_dataset(splits / "train", {})->classes() == Names{"cat"});
  CATCH_CHECK(open_dataset(splits.path(), with_labels(LabelMode::none))->size() == 2);
  add_images(splits, {"extra/a.jpg"});
  CATCH_CHECK(contains(failure(splits.path()), "name one of them"));

  const TempFolder flat;
  add_images(flat, {"val/a.jpg", "train/a.jpg"});
  CATCH_CHECK(contains(failure(flat.path()), "name one of them: " + flat / "train"));

  const TempFolder classes;  // a class may be called so
  add_images(classes, {"train/a.jpg", "car/a.jpg"});
  CATCH_CHECK(open_dataset(classes.path(), {})->classes() == Names{"car", "train"});
}

CATCH_TEST_CASE("links are followed, loops are not", "[data]") {
  const TempFolder folder;
  const TempFolder elsewhere;
  add_images(elsewhere, {"far.jpg", "sub/farther.jpg"});
  add_images(folder, {"cat/a.jpg", "dog/b.jpg"});
  std::filesystem::create_symlink(elsewhere.path(), folder / "cat/link");
  std::filesystem::create_symlink("..", folder / "cat/up");
  std::filesystem::create_symlink(".", folder / "cat/self");
  std::filesystem::create_symlink(elsewhere / "far.jpg", folder / "dog/linked.jpg");
  std::filesystem::create_symlink("nowhere", folder / "dog/dangling.jpg");
  std::filesystem::create_symlink("nowhere", folder / "dog/dangling");
  const auto dataset = open_dataset(folder.path(), {});
  CATCH_CHECK(names_of(*dataset) == Names{"cat/a.jpg", "cat/link/far.jpg",
                                          "cat/link/sub/farther.jpg", "dog/b.jpg",
                                          "dog/dangling.jpg", "dog/linked.jpg"});
  CATCH_CHECK(
      contains(error_of([&] { dataset->get(4); }), folder / "dog/dangling.jpg: cannot be read"));

  std::filesystem::create_symlink("loop", folder / "loop");
  CATCH_CHECK(open_dataset(folder.path(), with_labels(LabelMode::none))->size() == 6);
  std::filesystem::create_symlink(".", folder / "root");
  CATCH_CHECK(
      contains(failure(folder.path()), folder / "root: expected a class folder with images"));
}

CATCH_TEST_CASE("pipes and other special files are left alone", "[data]") {
  const TempFolder folder;
  add_images(folder, {"a.jpg"});
  CATCH_REQUIRE(::mkfifo((folder / "pipe.jpg").c_str(), 0600) == 0);
  CATCH_REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CATCH_CHECK(names_of(*open_dataset(folder.path(), {})) == Names{"a.jpg"});
  CATCH_CHECK(contains(failure(folder / "pipe"), "no regular file"));
}

CATCH_TEST_CASE("folders that may not be read are named", "[data]") {
  if (::geteuid() == 0) {
    CATCH_WARN("skipped: root may read everything");
    CATCH_CHECK(::geteuid() == 0);
    return;
  }
  const TempFolder folder;
  add_images(folder, {"cat/a.jpg", "dog/a.jpg"});
  ::chmod((folder / "dog").c_str(), 0);
  CATCH_CHECK(contains(failure(folder.path()), folder / "dog: cannot be read: Permission denied"));
  ::chmod((folder / "dog").c_str(), 0700);
}

CATCH_TEST_CASE("an image file is a set of one", "[data]") {
  const TempFolder folder;
  const std::string path = folder.write("photo", test::numbered_jpeg(5));
  const auto dataset = open_dataset(path, {});
  CATCH_CHECK(names_of(*dataset) == Names{"photo"});
  CATCH_CHECK(std::get<Bytes>(dataset->get(0)) == test::numbered_jpeg(5));
  folder.write("text", std::string("no image"));
  CATCH_CHECK(contains(failure(folder / "text"), "got another kind of file"));
  CATCH_CHECK(contains(failure(folder.path() + "#test"), "#test is for CIFAR"));
}

CATCH_TEST_CASE("the fingerprint follows names and labels", "[data]") {
  const TempFolder one;
  const TempFolder two;
  add_images(one, {"cat/a.jpg", "dog/b.jpg"});
  add_images(two, {"cat/a.jpg", "dog/b.jpg"});
  const std::string print = open_dataset(one.path(), {})->fingerprint();
  CATCH_CHECK(print.size() == 16);
  CATCH_CHECK(print.find_first_not_of("0123456789abcdef") == std::string::npos);
  CATCH_CHECK(print == open_dataset(two.path(), {})->fingerprint());
  CATCH_CHECK(print != open_dataset(one.path(), with_labels(LabelMode::none))->fingerprint());
  add_images(two, {"cat/c.jpg"});
  CATCH_CHECK(print != open_dataset(two.path(), {})->fingerprint());
}

CATCH_TEST_CASE("subsets keep labels and classes", "[data]") {
  const TempFolder folder;
  add_images(folder, {"cat/a.jpg", "cat/b.jpg", "dog/c.jpg"});
  const std::shared_ptr<const Dataset> base = open_dataset(folder.path(), {});
  const auto subset = make_subset(base, {2, 0});
  CATCH_CHECK(names_of(*subset) == Names{"dog/c.jpg", "cat/a.jpg"});
  CATCH_CHECK(labels_of(*subset) == Labels{1, 0});
  CATCH_CHECK(subset->classes() == base->classes());
  CATCH_CHECK(subset->location(0) == base->location(2));
  CATCH_CHECK(subset->get(0).index() == base->get(2).index());
  CATCH_CHECK(subset->fingerprint() != make_subset(base, {0, 2})->fingerprint());
  CATCH_CHECK_THROWS_AS(make_subset(base, {3}), std::out_of_range);
  CATCH_CHECK_THROWS_AS(make_subset(base, {-1}), std::out_of_range);
}

CATCH_TEST_CASE("test classes are matched to training classes by name", "[data]") {
  const TempFolder train;
  const TempFolder test;
  add_images(train, {"ant/a.jpg", "bee/a.jpg", "cat/a.jpg"});
  add_images(test, {"ant/a.jpg", "cat/a.jpg"});
  const auto train_set = open_dataset(train.path(), {});
  const auto test_set = open_dataset(test.path(), {});
  CATCH_CHECK(match_classes(*train_set, *test_set) == Labels{0, 2});
  CATCH_CHECK(contains(error_of([&] { match_classes(*test_set, *train_set); }), "\"bee\""));
  const auto bare = open_dataset(train.path(), with_labels(LabelMode::none));
  CATCH_CHECK(
      contains(error_of([&] { match_classes(*train_set, *bare); }), "test set: expected labels"));
  CATCH_CHECK(contains(error_of([&] { match_classes(*bare, *test_set); }),
                       "training set: expected labels"));
}

}  // namespace
}  // namespace clr
