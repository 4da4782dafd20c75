// SPDX-License-Identifier: Apache-2.0
// Mistakes that must show here: operations that tear words apart, [CLS] or [SEP] that an operation takes, a
// crop of another length than asked for, a neighbour that is the text itself or of another document, views that
// share their draws.
#include "clr/text/text_views.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "clr/core/error.h"

namespace {

using Ids = std::vector<std::int32_t>;

/// Words w0 ... w29 of one piece, and x of two: "x", "##y".
std::shared_ptr<const clr::WordPiece> vocabulary() {
  std::vector<std::string> pieces{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "x", "##y", "."};
  for (int i = 0; i < 30; ++i) pieces.push_back("w" + std::to_string(i));
  return std::make_shared<const clr::WordPiece>(pieces, true, "test");
}
constexpr std::int32_t kFirstWord = 8;

/// A document of items with tokens of their own.
class Document : public clr::ItemTokens {
 public:
  Document(std::vector<Ids> items, std::int64_t at, std::vector<Ids> columns = {})
      : items_(std::move(items)), at_(at), columns_(std::move(columns)) {
    if (columns_.empty()) columns_.push_back(items_[static_cast<std::size_t>(at)]);
  }
  std::int64_t columns() const override { return static_cast<std::int64_t>(columns_.size()); }
  std::span<const std::int32_t> own(std::int64_t column) const override {
    return columns_.at(static_cast<std::size_t>(column));
  }
  std::pair<std::int64_t, std::int64_t> room() const override {
    return {at_, static_cast<std::int64_t>(items_.size()) - 1 - at_};
  }
  std::span<const std::int32_t> neighbor(std::int64_t distance) const override {
    return items_.at(static_cast<std::size_t>(at_ + distance));
  }

 private:
  std::vector<Ids> items_;
  std::int64_t at_;
  std::vector<Ids> columns_;
};

Ids numbered(std::int32_t count) {
  Ids ids;
  for (std::int32_t i = 0; i < count; ++i) ids.push_back(kFirstWord + i);
  return ids;
}

clr::TextConfig config(const std::string& views, std::int64_t max_tokens = 64) {
  clr::TextConfig result;
  clr::read_value(clr::Json::parse(R"({"vocabulary": "v", "max_tokens": )" +
                                   std::to_string(max_tokens) + R"(, "views": )" + views + "}"),
                  clr::Place("text"), result);
  result.pieces = vocabulary();
  return result;
}

/// Tokens of a view between [CLS] and [SEP].
Ids view(const clr::TextViews& views, const clr::ItemTokens& item, int number,
         std::uint64_t index = 0, std::uint32_t epoch = 0) {
  Ids out(static_cast<std::size_t>(views.max_tokens()));
  views.make(7, {index, 0, epoch}, number, item, out.data());
  const auto end = std::find(out.begin(), out.end(), -1);
  CHECK(std::all_of(end, out.end(), [](std::int32_t id) { return id == -1; }));
  REQUIRE(end - out.begin() >= 2);
  CHECK(out.front() == 2);
  CHECK(*(end - 1) == 3);
  return {out.begin() + 1, end - 1};
}

Ids with(const std::string& operation, const Ids& text, std::uint64_t index = 0) {
  const clr::TextViews views(config(R"([{"count": 1, "chain": [)" + operation + "]}]"));
  return view(views, Document({text}, 0), 0, index);
}

}  // namespace

TEST_CASE("a view is its text between [CLS] and [SEP], cut to its length", "[text]") {
  const clr::TextViews views(config(R"([{"count": 2}])", 12));
  CHECK(views.view_count() == 2);
  CHECK(views.all_the_same());
  CHECK(view(views, Document({numbered(5)}, 0), 1) == numbered(5));
  CHECK(view(views, Document({numbered(30)}, 0), 0) == numbered(10));
}

TEST_CASE("crops are parts of the text, of lengths as asked for", "[text]") {
  const clr::TextViews views(config(
      R"([{"count": 2, "source": {"type": "crop", "length": [0.3, 0.5], "minimum_tokens": 4}}])"));
  CHECK_FALSE(views.all_the_same());
  std::set<std::size_t> lengths;
  std::set<std::int32_t> firsts;
  int alike = 0;
  for (std::uint64_t index = 0; index < 400; ++index) {
    const Document item({numbered(30)}, 0);
    const Ids crop = view(views, item, 0, index);
    alike += crop == view(views, item, 1, index) ? 1 : 0;
    REQUIRE(crop.size() >= 9);
    REQUIRE(crop.size() <= 15);
    for (std::size_t i = 1; i < crop.size(); ++i) REQUIRE(crop[i] == crop[i - 1] + 1);
    lengths.insert(crop.size());
    firsts.insert(crop.front());
    CHECK(crop == view(views, item, 0, index));
  }
  CHECK(lengths.size() == 7);
  CHECK(firsts.size() > 18);
  CHECK(alike < 40);
  // Of fewer than two smallest parts the whole.
  CHECK(view(views, Document({numbered(7)}, 0), 0) == numbered(7));
}

TEST_CASE("neighbours are others of the document, within reach", "[text]") {
  const clr::TextViews views(
      config(R"([{"count": 2, "source": {"type": "neighbor", "reach": 2}}])"));
  std::vector<Ids> items;
  for (std::int32_t i = 0; i < 5; ++i) items.push_back({kFirstWord + i});
  std::map<std::int32_t, int> seen;
  for (std::uint64_t index = 0; index < 900; ++index) {
    const Document item(items, 3);
    CHECK(view(views, item, 0, index) == items[3]);
    ++seen[view(views, item, 1, index).at(0) - kFirstWord];
  }
  // Two before, one after.
  CHECK(seen.size() == 3);
  for (const std::int32_t other : {1, 2, 4}) CHECK(std::abs(seen[other] - 300) < 60);
  CHECK(view(views, Document({items[0]}, 0), 1) == items[0]);
}

TEST_CASE("columns are taken view by view", "[text]") {
  const clr::TextViews views(config(R"([{"count": 2, "source": {"type": "columns"}}])"));
  CHECK(views.columns() == 2);
  const Document item({numbered(3)}, 0, {numbered(3), numbered(4)});
  CHECK(view(views, item, 0) == numbered(3));
  CHECK(view(views, item, 1) == numbered(4));
}

TEST_CASE("operations work on whole words and leave two", "[text]") {
  Ids text;  // 20 words of two pieces.
  for (int i = 0; i < 20; ++i) text.insert(text.end(), {5, 6});
  const auto whole_words = [](const Ids& ids) {
    REQUIRE(ids.size() % 2 == 0);
    for (std::size_t i = 0; i < ids.size(); i += 2) {
      REQUIRE(ids[i] == 5);
      REQUIRE(ids[i + 1] == 6);
    }
    return ids.size() / 2;
  };
  double deleted = 0;
  double repeated = 0;
  double masked = 0;
  for (std::uint64_t index = 0; index < 300; ++index) {
    deleted += 20.0 - static_cast<double>(
                          whole_words(with(R"({"type": "token_delete", "p": 0.3})", text, index)));
    repeated += static_cast<double>(
                    whole_words(with(R"({"type": "token_repeat", "p": 0.3})", text, index))) -
                20;
    const Ids mask = with(R"({"type": "token_mask", "p": 0.3})", text, index);
    REQUIRE(mask.size() == text.size());
    for (std::size_t i = 0; i < mask.size(); i += 2) {
      CHECK((mask[i] == 4) == (mask[i + 1] == 4));
      masked += mask[i] == 4 ? 1 : 0;
    }
    const auto left =
        whole_words(with(R"({"type": "span_delete", "length": [0.2, 0.4]})", text, index));
    CHECK(left >= 12);
    CHECK(left <= 16);
  }
  for (const double count : {deleted, repeated, masked})
    CHECK(count / 6000 == Approx(0.3).margin(0.02));
  CHECK(with(R"({"type": "token_delete", "p": 1})", text) == Ids{5, 6, 5, 6});
  CHECK(with(R"({"type": "span_delete", "length": [1, 1]})", text) == Ids{5, 6, 5, 6});
  CHECK(with(R"({"type": "token_delete", "p": 1})", {kFirstWord}) == Ids{kFirstWord});
}

TEST_CASE("swaps and shuffled sentences keep what is there", "[text]") {
  const Ids text = numbered(20);
  const Ids swapped = with(R"({"type": "token_swap", "p": 0.1})", text);
  CHECK(swapped != text);
  CHECK(std::is_permutation(swapped.begin(), swapped.end(), text.begin(), text.end()));
  int moved = 0;
  for (std::size_t i = 0; i < text.size(); ++i) moved += swapped[i] != text[i] ? 1 : 0;
  CHECK(moved <= 4);

  // Three sentences: 8 9 . / 10 . / 11 12 13
  const Ids sentences{8, 9, 7, 10, 7, 11, 12, 13};
  std::set<Ids> orders;
  for (std::uint64_t index = 0; index < 100; ++index) {
    const Ids shuffled = with(R"({"type": "sentence_shuffle"})", sentences, index);
    REQUIRE(
        std::is_permutation(shuffled.begin(), shuffled.end(), sentences.begin(), sentences.end()));
    const auto ten = std::find(shuffled.begin(), shuffled.end(), 10);
    CHECK(*(ten + 1) == 7);
    orders.insert(shuffled);
  }
  CHECK(orders.size() == 6);
}

TEST_CASE("an operation twice in a chain draws twice", "[text]") {
  Ids once;
  Ids twice;
  const Ids text = numbered(30);
  once = with(R"({"type": "token_delete", "p": 0.5})", text);
  twice = with(R"({"type": "token_delete", "p": 0.5}, {"type": "token_delete", "p": 0.5})", text);
  CHECK(twice.size() < once.size());
}

TEST_CASE("text views that cannot be are refused", "[text]") {
  const auto message = [](const std::string& views) {
    try {
      const clr::TextViews made(config(views));
    } catch (const clr::Error& error) {
      CHECK(error.kind() == clr::ErrorKind::config);
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(message("[]") == "text: /views: expected at least one entry, got none");
  CHECK(message(R"([{"source": {"type": "crop", "length": [0.5, 0.2]}}])") ==
        "text: /views/0/source/length: expected the smaller share first");
  CHECK(message(R"([{"chain": [{"type": "token_delte"}]}])").find("did you mean") !=
        std::string::npos);
}
