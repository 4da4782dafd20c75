// SPDX-License-Identifier: Apache-2.0
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

struct Expected {
  Names names;
  std::vector<std::int64_t> labels;
  Names classes;
};

void check(const std::string& path, const Expected& expected, const DataConfig& config = {}) {
  CATCH_CAPTURE(path);
  const auto dataset = open_dataset(path, config);
  CATCH_REQUIRE(dataset->size() == static_cast<std::int64_t>(expected.names.size()));
  for (std::int64_t i = 0; i < dataset->size(); ++i) {
    CATCH_CHECK(dataset->name(i) == expected.names[static_cast<std::size_t>(i)]);
    CATCH_CHECK(dataset->label(i) == expected.labels[static_cast<std::size_t>(i)]);
  }
  CATCH_CHECK(dataset->classes() == expected.classes);
}

CATCH_TEST_CASE("list files give paths and labels", "[data]") {
  const TempFolder folder;
  const Expected labelled{{"b.jpg", "sub/a, \"b\".jpg"}, {1, 0}, {"cat", "dog"}};
  const std::string rows = "b.jpg,dog\n\"sub/a, \"\"b\"\".jpg\",cat\n";
  check(folder.write("1.csv", rows), labelled);
  check(folder.write("2.csv", "path,label\n" + rows), labelled);
  check(folder.write("3.csv",
                     "\xef\xbb\xbfpath,label\r\nb.jpg,dog\r\n\r\n\"sub/a, \"\"b\"\".jpg\",cat"),
        labelled);
  check(
      folder.write("4.csv",
                   std::string("weight,label,path\n1,dog,b.jpg\n2,cat,\"sub/a, \"\"b\"\".jpg\"\n")),
      labelled);
  check(folder.write("5.tsv", std::string("b.jpg\tdog\nsub/a, \"b\".jpg\tcat\n")), labelled);
  check(folder.write("6.jsonl",
                     std::string("{\"path\": \"b.jpg\", \"label\": \"dog\", \"weight\": 2}\r\n\n"
                                 "{\"label\": \"cat\", \"path\": \"sub/a, \\\"b\\\".jpg\"}\n")),
        labelled);
  check(folder.write("7.jsonl", std::string("{\"path\": \"b.jpg\", \"label\": 7}\n")),
        {{"b.jpg"}, {0}, {"7"}});
  check(folder.write("8.csv", std::string("b.jpg\na.jpg\n")), {{"b.jpg", "a.jpg"}, {-1, -1}, {}});
  DataConfig none;
  none.labels = LabelMode::none;
  check(folder / "1.csv", {labelled.names, {-1, -1}, {}}, none);
}

CATCH_TEST_CASE("paths are relative to the list", "[data]") {
  const TempFolder folder;
  const Bytes image = test::numbered_jpeg(1);
  const std::string absolute = folder.write("other/a.jpg", image);
  const std::string list =
      folder.write("lists/all.csv", "../other/a.jpg\n" + absolute + "\nmissing.jpg\n");
  const auto dataset = open_dataset(list, {});
  CATCH_CHECK(std::get<Bytes>(dataset->get(0)) == image);
  CATCH_CHECK(std::get<Bytes>(dataset->get(1)) == image);
  CATCH_CHECK(dataset->location(1) == absolute);
  CATCH_CHECK(contains(error_of([&] { dataset->get(2); }),
                       folder / "lists/missing.jpg: cannot be read: No such file"));
}

CATCH_TEST_CASE("mistakes in list files are named by line", "[data]") {
  const TempFolder folder;
  const auto failure = [&](const std::string& name, const std::string& text,
                           const DataConfig& config = {}) {
    const std::string path = folder.write(name, text);
    return error_of([&] { open_dataset(path, config); });
  };
  CATCH_CHECK(contains(failure("a.csv", ""), "a.csv: expected image paths, got none"));
  CATCH_CHECK(contains(failure("a.csv", "path,label\n"), "got none"));
  CATCH_CHECK(contains(failure("a.csv", "a.jpg,cat\n\nb.jpg\n"), "a.csv:3: expected"));
  CATCH_CHECK(contains(failure("a.csv", "a.jpg,cat\nb.jpg,\n"), "a.csv:2: expected a label"));
  CATCH_CHECK(
      contains(failure("a.csv", "a.jpg,cat,1\n"), "a.csv:1: expected path or path and label"));
  CATCH_CHECK(
      contains(failure("a.csv", "path,label\na.jpg,cat,1\n"), "a.csv:2: expected 2 fields"));
  CATCH_CHECK(contains(failure("a.csv", "\"a\nb.jpg\",cat\n,dog\n"), "a.csv:3: expected a path"));
  CATCH_CHECK(contains(failure("a.csv", "a.jpg,\"cat\n"), "closing quote"));
  CATCH_CHECK(contains(failure("a.csv", "\"a\"b.jpg,cat\n"), "separator after a quoted field"));
  CATCH_CHECK(contains(failure("a.jsonl", "{\"path\": \"a\"}\n{\"path\": 3}\n"),
                       "a.jsonl:2: expected a string"));
  CATCH_CHECK(contains(failure("a.jsonl", "{\"path\": \"a\"}\n{\"path\": \n"),
                       "a.jsonl:2: expected a JSON object"));
  CATCH_CHECK(contains(failure("a.jsonl", "[]\n"), "a.jsonl:1: expected a JSON object"));
  CATCH_CHECK(contains(failure("a.jsonl", "{\"path\": \"a\", \"label\": 1.5}\n"),
                       "to be a string or an integer"));
  CATCH_CHECK(contains(failure("a.jsonl", "{\"path\": \"a\", \"label\": 1}\n{\"path\": \"b\"}\n"),
                       "a.jsonl:2: expected a label on every line or on none"));
  DataConfig required;
  required.labels = LabelMode::folder;
  CATCH_CHECK(contains(failure("a.csv", "a.jpg\n", required), "expected labels"));
}

}  // namespace
}  // namespace clr
