// SPDX-License-Identifier: Apache-2.0
// Images in tars: what they hold, how labels are found, and what damage is called.
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
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
using Names = std::vector<std::string>;
using Labels = std::vector<std::int64_t>;

std::string text_of(const Bytes& bytes) { return {bytes.begin(), bytes.end()}; }
std::string jpeg(int number) { return text_of(test::numbered_jpeg(number)); }

void put_octal(std::string& block, std::size_t offset, std::size_t digits, std::uint64_t value) {
  for (std::size_t i = digits; i-- > 0; value /= 8) {
    block[offset + i] = static_cast<char>('0' + value % 8);
  }
}

/// A header and its content, filled to whole blocks.
std::string member(const std::string& name, const std::string& content, char type = '0',
                   const std::string& prefix = "") {
  std::string block(512, '\0');
  std::copy(name.begin(), name.end(), block.begin());
  put_octal(block, 100, 7, 0644);
  put_octal(block, 124, 11, content.size());
  block[156] = type;
  const std::string magic("ustar\00000", 8);
  std::copy(magic.begin(), magic.end(), block.begin() + 257);
  std::copy(prefix.begin(), prefix.end(), block.begin() + 345);
  std::fill_n(block.begin() + 148, 8, ' ');
  std::uint64_t sum = 0;
  for (const char c : block) sum += static_cast<std::uint8_t>(c);
  put_octal(block, 148, 6, sum);
  block[154] = '\0';
  block += content;
  block.resize((block.size() + 511) / 512 * 512, '\0');
  return block;
}

const std::string kEnd(1024, '\0');

void check(const Dataset& dataset, const Names& names, const Labels& labels, const Names& classes) {
  CATCH_REQUIRE(dataset.size() == static_cast<std::int64_t>(names.size()));
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    CATCH_CHECK(dataset.name(i) == names[static_cast<std::size_t>(i)]);
    CATCH_CHECK(dataset.label(i) == labels[static_cast<std::size_t>(i)]);
  }
  CATCH_CHECK(dataset.classes() == classes);
}

CATCH_TEST_CASE("a shard's labels are beside its images", "[data]") {
  const TempFolder folder;
  const std::string tar = folder.write(
      "a.tar", member("x/", "", '5') + member("x/1.jpg", jpeg(1)) + member("x/1.cls", "BMW\n") +
                   member("x/2.json", R"({"label": "Audi"})") + member("x/2.jpeg", jpeg(2)) +
                   member("x/2.mask.jpg", jpeg(9)) + member("x/3.cls", "BMW") +
                   member("x/3.img", jpeg(3)) + member("x/README", "no image") + kEnd);
  const auto dataset = open_dataset(tar, {});
  check(*dataset, {"x/1.jpg", "x/2.jpeg", "x/3.img"}, {1, 0, 1}, {"Audi", "BMW"});
  for (std::int64_t i = 0; i < 3; ++i) {
    const Record record = dataset->get(i);
    CATCH_CHECK(text_of(std::get<Bytes>(record)) == jpeg(static_cast<int>(i) + 1));
  }
  CATCH_CHECK(dataset->location(1) == tar + ": x/2.jpeg");

  DataConfig unlabelled;
  unlabelled.labels = LabelMode::none;
  check(*open_dataset(tar, unlabelled), {"x/1.jpg", "x/2.jpeg", "x/3.img"}, {-1, -1, -1}, {});
}

CATCH_TEST_CASE("without labels a tar's folders are classes", "[data]") {
  const TempFolder folder;
  const std::string images = member("set/dog/a.b.jpg", jpeg(1)) +
                             member("set/dog/a.c.jpg", jpeg(2)) + member("set/cat/d.jpg", jpeg(3));
  const std::string tar = folder.write("a.tar", images + kEnd);
  const Names names{"set/dog/a.b.jpg", "set/dog/a.c.jpg", "set/cat/d.jpg"};
  check(*open_dataset(tar, {}), names, {1, 1, 0}, {"cat", "dog"});
  DataConfig none;
  none.labels = LabelMode::none;
  check(*open_dataset(tar, none), names, {-1, -1, -1}, {});

  const std::string flat =
      folder.write("b.tar", member("set/1.jpg", jpeg(1)) + member("set/2.jpg", jpeg(2)) + kEnd);
  check(*open_dataset(flat, {}), {"set/1.jpg", "set/2.jpg"}, {-1, -1}, {});
  DataConfig wanted;
  wanted.labels = LabelMode::folder;
  CATCH_CHECK(contains(error_of([&] { open_dataset(flat, wanted); }), "class folders"));
}

CATCH_TEST_CASE("long names and sizes of pax and GNU tars", "[data]") {
  const TempFolder folder;
  std::string name(150, 'n');
  name += ".jpg";
  const std::string record = " path=" + name + "\n";
  const std::string pax = std::to_string(record.size() + 3) + record;
  const std::string tar = folder.write(
      "a.tar", member("pax", pax, 'x') + member("short", jpeg(1)) +
                   member("././@LongLink", name + std::string(1, '\0'), 'L') +
                   member("short", jpeg(2)) + member("c.jpg", jpeg(3), '0', "some/folder") + kEnd);
  check(*open_dataset(tar, {}), {name, name, "some/folder/c.jpg"}, {-1, -1, -1}, {});
}

CATCH_TEST_CASE("a pattern names many shards", "[data]") {
  const TempFolder folder;
  for (int i = 8; i <= 11; ++i) {
    folder.write(fmt::format("set-{:02}.tar", i),
                 member("1.jpg", jpeg(i)) + member("1.cls", std::to_string(i % 2)) + kEnd);
  }
  const std::string pattern = folder / "set-{08..11}.tar";
  const auto dataset = open_dataset(pattern, {});
  check(*dataset, {"set-08.tar/1.jpg", "set-09.tar/1.jpg", "set-10.tar/1.jpg", "set-11.tar/1.jpg"},
        {0, 1, 0, 1}, {"0", "1"});
  const Record record = dataset->get(3);
  CATCH_CHECK(text_of(std::get<Bytes>(record)) == jpeg(11));
  CATCH_CHECK(open_dataset(folder / "set-{08..10}.tar", {})->fingerprint() !=
              dataset->fingerprint());

  CATCH_CHECK(contains(error_of([&] { open_dataset(folder / "set-{08..12}.tar", {}); }),
                       "set-12.tar: cannot be read"));
  CATCH_CHECK(
      contains(error_of([&] { open_dataset(folder / "set-{11..08}.tar", {}); }), "{FIRST..LAST}"));
}

CATCH_TEST_CASE("damaged shards are named with the byte", "[data]") {
  const TempFolder folder;
  const std::string first = member("1.jpg", jpeg(1));
  const std::string second = member("2.jpg", jpeg(2));
  const auto opening = [&](const std::string& content) {
    return error_of([&] { open_dataset(folder.write("a.tar", content), {}); });
  };
  std::string flipped = first + second + kEnd;
  flipped[first.size() + 3] ^= 1;
  CATCH_CHECK(contains(opening(flipped),
                       "byte " + std::to_string(first.size()) + ": expected a tar header"));
  CATCH_CHECK(contains(opening(first + second.substr(0, 600)), "2.jpg: expected"));
  CATCH_CHECK(contains(opening(first + second.substr(0, 600)), "cut off"));
  CATCH_CHECK(contains(opening(first + second.substr(0, 100)), "cut off"));
  CATCH_CHECK(contains(opening(first), "cut off"));
  CATCH_CHECK(contains(opening(member("1.txt", "text") + kEnd), "expected images"));
  CATCH_CHECK(contains(opening(first + member("2.jpg", jpeg(2)) + member("2.cls", "x") + kEnd),
                       "1.jpg: expected a label"));
  CATCH_CHECK(contains(opening(first + member("1.json", "{") + kEnd), "1.json: expected a JSON"));
  CATCH_CHECK(contains(opening(first + member("1.cls", "") + kEnd), "1.cls: expected a label"));
  CATCH_CHECK(contains(opening(first + member("p", "3 x", 'x') + kEnd), "pax"));

  // Damage that headers do not show is found when the image is read.
  const std::string tar = folder.write("b.tar", first + second + kEnd);
  const auto dataset = open_dataset(tar, {});
  folder.write("b.tar", first);
  CATCH_CHECK(contains(error_of([&] { dataset->get(1); }), "shorter"));
}

std::string gzipped(const std::string& text) {
  const TempFolder folder;
  const std::string path = folder / "a.gz";
  const gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  return text_of(test::read_all(path));
}

CATCH_TEST_CASE("compressed shards are read as others are", "[data]") {
  const TempFolder folder;
  const std::string content = member("1.jpg", jpeg(1)) + member("1.cls", "x") +
                              member("2.jpg", jpeg(2)) + member("2.cls", "y") + kEnd;
  folder.write("a-0.tar", content);
  folder.write("b-0.tar.gz", gzipped(content));
  folder.write("b-1.tar.gz", gzipped(member("3.jpg", jpeg(3)) + member("3.cls", "x") + kEnd));
  const auto plain = open_dataset(folder / "a-0.tar", {});
  const auto packed = open_dataset(folder / "b-0.tar.gz", {});
  CATCH_CHECK(packed->fingerprint() == plain->fingerprint());
  CATCH_CHECK(packed->location(1) == folder / "b-0.tar.gz" + ": 2.jpg");
  const auto both = open_dataset(folder / "b-{0..1}.tar.gz", {});
  check(*both, {"b-0.tar.gz/1.jpg", "b-0.tar.gz/2.jpg", "b-1.tar.gz/3.jpg"}, {0, 1, 0}, {"x", "y"});
  CATCH_CHECK(text_of(std::get<Bytes>(both->get(2))) == jpeg(3));
  CATCH_CHECK(text_of(std::get<Bytes>(both->get(0))) == jpeg(1));

  const std::string cut = gzipped(content);
  folder.write("c.tar.gz", cut.substr(0, cut.size() / 2));
  CATCH_CHECK(contains(error_of([&] { open_dataset(folder / "c.tar.gz", {}); }),
                       "c.tar.gz: expected a whole"));
  folder.write("d.tar.gz", gzipped(content.substr(0, 700)));
  CATCH_CHECK(contains(error_of([&] { open_dataset(folder / "d.tar.gz", {}); }),
                       "d.tar.gz: byte 0: 1.jpg: expected"));
  folder.write("e.gz", gzipped("no tar"));
  CATCH_CHECK(
      contains(error_of([&] { open_dataset(folder / "e.gz", {}); }), "another kind of file"));
}

}  // namespace
}  // namespace clr
