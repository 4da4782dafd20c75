// SPDX-License-Identifier: Apache-2.0
// Mistakes that must show here: documents that run into each other, an empty line as a text, bytes that are no
// UTF-8 passed on, tokens of a neighbour.
#include "clr/data/stored_texts.h"

#include <catch2/catch.hpp>

#include <string>

#include "clr/core/error.h"
#include "clr/data/sources.h"
#include "clr/data/token_store.h"

namespace {

std::unique_ptr<clr::Dataset> lines(const std::string& content) {
  return clr::open_text_file("somewhere/notes.txt", content);
}

const clr::TextDataset& texts(const clr::Dataset& dataset) {
  const auto* found = clr::as_texts(dataset);
  REQUIRE(found != nullptr);
  return *found;
}

std::string message(const std::function<void()>& work) {
  try {
    work();
  } catch (const clr::Error& error) {
    CHECK(error.kind() == clr::ErrorKind::data);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a text file is a text a line, and documents between empty lines", "[data]") {
  const auto set = lines("\xef\xbb\xbfone\r\ntwo\n\n \t\nthree\nfour\nfive");
  const auto& found = texts(*set);
  CHECK(found.size() == 5);
  CHECK(found.columns() == 1);
  CHECK(found.text(0, 0) == "one");
  CHECK(found.text(4, 0) == "five");
  CHECK(found.name(2) == "notes.txt:5");
  CHECK(found.location(2) == "somewhere/notes.txt:5");
  CHECK(found.document(1) == std::pair<std::int64_t, std::int64_t>{0, 2});
  CHECK(found.document(2) == std::pair<std::int64_t, std::int64_t>{2, 5});
  CHECK_FALSE(found.labelled());
  CHECK(std::get<std::vector<std::uint8_t>>(found.get(1)) ==
        std::vector<std::uint8_t>{'t', 'w', 'o'});
}

TEST_CASE("without an empty line there are no documents", "[data]") {
  const auto set = lines("one\ntwo\nthree\n");
  CHECK(texts(*set).document(1) == std::pair<std::int64_t, std::int64_t>{1, 2});
}

TEST_CASE("another text is another set", "[data]") {
  const std::string first = lines("one\ntwo\n")->fingerprint();
  CHECK(lines("one\r\ntwo")->fingerprint() == first);
  CHECK(lines("one\ntwi\n")->fingerprint() != first);
  CHECK(lines("onet\nwo\n")->fingerprint() != first);
  CHECK(lines("one\n\ntwo\n")->fingerprint() != first);
}

TEST_CASE("texts that cannot be read are named with their line", "[data]") {
  const auto set = lines("fine\ncaf\xE9 au lait\n");
  CHECK(message([&] { static_cast<void>(texts(*set).text(1, 0)); }) ==
        "somewhere/notes.txt:2: expected UTF-8, got byte E9 at 4; convert the file (iconv -f "
        "LATIN1 -t UTF-8)");
  CHECK(message([] { lines("\n\n"); }) ==
        "somewhere/notes.txt: expected texts, a line each, got none");
  CHECK(message([&] { clr::require_images(*set, "notes.txt", "clr data pack"); }) ==
        "notes.txt: expected images for clr data pack, got texts");
}

TEST_CASE("tokens of a set are those of its texts, whatever the threads", "[data]") {
  const clr::WordPiece pieces({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c"}, true, "test");
  std::string content;
  for (int i = 0; i < 10000; ++i)
    content += std::string(i % 3 == 0 ? "a" : i % 3 == 1 ? "b b" : "C a b") + "\n";
  content += "\xFF\n";
  const auto set = lines(content);
  for (const int threads : {1, 3}) {
    const clr::TokenStore store(texts(*set), pieces, threads);
    CHECK(store.columns() == 1);
    for (std::int64_t i = 0; i < 10000; ++i) {
      const auto tokens = store.tokens(i, 0);
      const std::vector<std::int32_t> expected = i % 3 == 0   ? std::vector<std::int32_t>{4}
                                                 : i % 3 == 1 ? std::vector<std::int32_t>{5, 5}
                                                              : std::vector<std::int32_t>{6, 4, 5};
      if (!std::equal(tokens.begin(), tokens.end(), expected.begin(), expected.end())) FAIL(i);
      store.require_good(i);
    }
    CHECK(store.tokens(10000, 0).empty());
    CHECK(message([&] {
            store.require_good(10000);
          }).starts_with("somewhere/notes.txt:10001: expected UTF-8"));
  }
}
