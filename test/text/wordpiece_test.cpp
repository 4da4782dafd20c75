// SPDX-License-Identifier: Apache-2.0
#include "clr/text/wordpiece.h"

#include <catch2/catch.hpp>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "clr/core/error.h"
#include "clr/text/words.h"

namespace {

const std::string kGolden = std::string(CLR_TEST_DATA_DIR) + "/wordpiece/";

std::vector<std::string> lines_of(const std::string& name) {
  std::ifstream file(kGolden + name, std::ios::binary);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::vector<std::int32_t> numbers(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::int32_t> result;
  for (std::int32_t number = 0; stream >> number;) result.push_back(number);
  return result;
}

std::vector<std::string> words(const std::string& text, bool lowercase) {
  std::vector<std::string> result;
  clr::for_each_word(text, lowercase, [&](std::string_view word) { result.emplace_back(word); });
  return result;
}

clr::WordPiece small(const std::vector<std::string>& pieces, bool lowercase = true) {
  std::vector<std::string> all = {"[PAD]", "[UNK]", "[CLS]", "[SEP]"};
  all.insert(all.end(), pieces.begin(), pieces.end());
  return {all, lowercase, "vocab.txt"};
}

std::vector<std::int32_t> ids(const clr::WordPiece& pieces, const std::string& text,
                              std::size_t most = 1000) {
  std::vector<std::int32_t> result;
  pieces.encode(text, result, most);
  return result;
}

std::string refusal(std::vector<std::string> pieces) {
  try {
    const clr::WordPiece made(std::move(pieces), true, "vocab.txt");
  } catch (const clr::Error& error) {
    CHECK(error.kind() == clr::ErrorKind::data);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("WordPiece gives the ids of Hugging Face's tokenizers", "[text]") {
  const auto texts = lines_of("texts.txt");
  REQUIRE(texts.size() > 30);
  for (const bool lowercase : {true, false}) {
    const auto expected = lines_of(lowercase ? "ids_lower.txt" : "ids_cased.txt");
    REQUIRE(expected.size() == texts.size());
    const auto pieces = clr::WordPiece::read(kGolden + "vocabulary.txt", lowercase);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      INFO("line " << i + 1 << ": " << texts[i]);
      CHECK(ids(pieces, texts[i]) == numbers(expected[i]));
    }
  }
}

TEST_CASE("Words: what goes, what separates, what stands alone", "[text]") {
  using Words = std::vector<std::string>;
  CHECK(words("a\tb\r\nc", true) == Words{"a", "b", "c"});
  CHECK(words("A-b, C!", true) == Words{"a", "-", "b", ",", "c", "!"});
  CHECK(words("A-b", false) == Words{"A", "-", "b"});
  CHECK(words("z\xC3\xA9ro \xC3\x89t\xC3\xA9", true) == Words{"zero", "ete"});
  CHECK(words("z\xC3\xA9ro", false) == Words{"z\xC3\xA9ro"});
  // Dropped characters do not separate, no-break spaces do.
  CHECK(words("so\xC2\xAD"
              "ft\xE2\x80\x8B"
              "er",
              true) == Words{"softer"});
  CHECK(words("a\xC2\xA0"
              "b",
              true) == Words{"a", "b"});
  CHECK(words("x\xE4\xB8\xAD\xE6\x96\x87y", true) ==
        Words{"x", "\xE4\xB8\xAD", "\xE6\x96\x87", "y"});
  CHECK(words("", true).empty());
}

TEST_CASE("The longest piece comes first, and a word that cannot be made is unknown", "[text]") {
  const auto pieces = small({"un", "##aff", "##able", "unaff", "##a", "##f"});
  CHECK(ids(pieces, "unaffable") == std::vector<std::int32_t>{7, 6});
  CHECK(ids(pieces, "unaf") == std::vector<std::int32_t>{4, 8, 9});
  CHECK(ids(pieces, "unafx un") == std::vector<std::int32_t>{1, 4});
  CHECK(ids(pieces, "un un un", 2) == std::vector<std::int32_t>{4, 4});
  CHECK(ids(pieces, "unaffable", 1) == std::vector<std::int32_t>{7});
  CHECK(pieces.decode({2, 7, 6, 4, 3}) == "[CLS] unaffable un [SEP]");
  CHECK(pieces.goes_on(5));
  CHECK_FALSE(pieces.goes_on(4));
  // Special pieces are none of a text's.
  CHECK(ids(pieces, "[CLS]") == std::vector<std::int32_t>{1, 1, 1});
}

TEST_CASE("A vocabulary that cannot be one is refused with its line", "[text]") {
  CHECK(refusal({"a", "b"}) ==
        "vocab.txt: expected a WordPiece vocabulary, a piece a line, with [PAD], [UNK], [CLS] and "
        "[SEP]; "
        "[PAD] is not among its 2 lines");
  CHECK(refusal({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "a"}) ==
        "vocab.txt, line 6: expected each piece once, got \"a\" of line 5 again");
  CHECK(refusal({"[PAD]", ""}) == "vocab.txt, line 2: expected a piece, got an empty one");
  CHECK(refusal({"\xFF"}) == "vocab.txt, line 1: expected UTF-8, got other bytes");
  CHECK_THROWS_AS(clr::WordPiece::read("/nonexistent/vocab.txt", true), clr::Error);
}

TEST_CASE("Invalid UTF-8 is found where it begins", "[text]") {
  CHECK_FALSE(clr::find_invalid_utf8("plain, \xC3\xA9, \xE4\xB8\xAD, \xF0\x9F\x98\x80"));
  CHECK(clr::find_invalid_utf8("ab\xE9"
                               "c") == 2U);                    // Latin-1
  CHECK(clr::find_invalid_utf8("a\xC3") == 1U);                // ends early
  CHECK(clr::find_invalid_utf8("\xED\xA0\x80") == 0U);         // a surrogate
  CHECK(clr::find_invalid_utf8("\xC0\x80") == 0U);             // overlong
  CHECK(clr::find_invalid_utf8("abc\xF5\x80\x80\x80") == 3U);  // beyond Unicode
  CHECK(clr::find_invalid_utf8("\x80") == 0U);
}
