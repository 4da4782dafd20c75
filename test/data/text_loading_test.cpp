// SPDX-License-Identifier: Apache-2.0
// Mistakes that must show here: rows that depend on threads or batches, views of another item, a neighbour
// that a part of a set does not reach, columns or labels that shift, quotes of a table with tabs.
#include <catch2/catch.hpp>

#include <array>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "clr/core/error.h"
#include "clr/data/loader.h"
#include "clr/data/scored_pairs.h"
#include "clr/data/sources.h"
#include "clr/data/text_dataset.h"
#include "clr/data/view_plan.h"
#include "data/files.h"

namespace {

using clr::Json;

clr::TextConfig config(const std::string& views, std::int64_t max_tokens = 8) {
  clr::TextConfig result;
  read_value(Json{{"max_tokens", max_tokens}, {"views", Json::parse(views)}}, clr::Place("text"),
             result);
  std::vector<std::string> pieces{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  for (int i = 0; i < 40; ++i) pieces.push_back("w" + std::to_string(i));
  result.pieces = std::make_shared<const clr::WordPiece>(pieces, true, "test");
  return result;
}

/// Documents of three texts; text i is "w<i> w<i+1> ...".
std::string corpus(int texts) {
  std::string content;
  for (int i = 0; i < texts; ++i) {
    if (i > 0 && i % 3 == 0) content += "\n";
    for (int k = 0; k < 4; ++k) content += "w" + std::to_string((i + k) % 40) + " ";
    content += "\n";
  }
  return content;
}

std::shared_ptr<const clr::Dataset> lines(const std::string& content) {
  return clr::open_text_file("notes.txt", content);
}

clr::LoaderOptions options(std::int64_t batch, int threads) {
  clr::LoaderOptions result;
  result.batch_size = batch;
  result.threads = threads;
  result.shuffle = true;
  result.epochs = 2;
  result.seed = 3;
  return result;
}

/// All rows of a stream by (epoch, dataset index).
std::map<std::pair<std::int64_t, std::int64_t>, std::vector<std::int32_t>> stream(
    const std::shared_ptr<const clr::Dataset>& set, const clr::TextConfig& text,
    const clr::LoaderOptions& wanted) {
  const auto loader = clr::make_loader(set, {{}, text}, wanted);
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<std::int32_t>> rows;
  loader->start(0, 0);
  for (clr::Batch batch = loader->next(); !batch.groups.empty(); batch = loader->next()) {
    REQUIRE(batch.groups.size() == 1);
    CHECK(batch.groups[0].scalar_type() == torch::kInt);
    const torch::Tensor by_row = batch.groups[0].transpose(0, 1).contiguous();
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      const auto* data = by_row[i].const_data_ptr<std::int32_t>();
      rows[{batch.epoch, batch.indices[i].item<std::int64_t>()}] = {data, data + by_row[i].numel()};
    }
  }
  return rows;
}

std::string message(clr::ErrorKind kind, const std::function<void()>& work) {
  try {
    work();
  } catch (const clr::Error& error) {
    CHECK(error.kind() == kind);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a text's views depend on seed, epoch and index alone", "[data]") {
  const auto set = lines(corpus(30));
  const auto text = config(
      R"([{"count": 2, "source": {"type": "neighbor"}, "chain": [{"type": "token_delete", "p": 0.4}]}])");
  const auto rows = stream(set, text, options(7, 1));
  CHECK(rows.size() == 60);
  CHECK(stream(set, text, options(4, 3)) == rows);
  int changed = 0;
  for (std::int64_t i = 0; i < 30; ++i) changed += rows.at({0, i}) != rows.at({1, i}) ? 1 : 0;
  CHECK(changed > 15);
}

TEST_CASE("views are cut to their length, with what BERT puts around them", "[data]") {
  const auto rows =
      stream(lines("w0 w1\nw2 w3 w4 w5 w6 w7 w8\n"), config(R"([{"count": 1}])", 6), options(2, 1));
  CHECK(rows.at({0, 0}) == std::vector<std::int32_t>{2, 5, 6, 3, -1, -1});
  CHECK(rows.at({0, 1}) == std::vector<std::int32_t>{2, 7, 8, 9, 10, 3});
}

TEST_CASE("a part of a set knows the neighbours that it lacks", "[data]") {
  const auto whole = lines(corpus(30));
  const auto text = config(R"([{"count": 2, "source": {"type": "neighbor"}}])");
  const std::shared_ptr<const clr::Dataset> part = clr::make_subset(whole, {1, 10});
  for (const auto& [address, row] : stream(part, text, options(2, 1))) {
    const std::int32_t own = address.second == 0 ? 1 : 10;
    CHECK(row[1] == 5 + own);
    CHECK(std::abs(row[8 + 1] - (5 + own)) == 1);
  }
}

TEST_CASE("bad texts fail before the first batch, or are left out", "[data]") {
  const auto set = lines("w1 w2\nw3 \xff\nw4\n");
  const auto text = config(R"([{"count": 1}])");
  CHECK(message(clr::ErrorKind::data, [&] {
          clr::make_loader(set, {{}, text}, options(2, 1));
        }).find("notes.txt:2: expected UTF-8, got byte FF") == 0);
  auto skipping = options(3, 1);
  skipping.data.on_error = clr::OnError::skip;
  CHECK(stream(set, text, skipping).size() == 4);
  CHECK(message(clr::ErrorKind::data, [&] {
          clr::make_loader(set, {{}, config(R"([{"count": 2, "source": {"type": "columns"}}])")},
                           skipping);
        }).find("expected 2 columns of text, as text.views asks for, got 1") != std::string::npos);
}

TEST_CASE("a table of texts has columns and classes", "[data]") {
  const clr::test::TempFolder folder;
  const auto open = [&](const std::string& name, const std::string& content) {
    return clr::open_dataset(folder.write(name, content), {});
  };
  const auto pairs =
      open("pairs.csv", "label,text_b,text_a,other\nno,\"b, \"\"1\"\"\",a1,x\nyes,b2,a2,y\n");
  const auto& texts = *clr::as_texts(*pairs);
  CHECK(texts.columns() == 2);
  CHECK(texts.text(0, 0) == "a1");
  CHECK(texts.text(0, 1) == "b, \"1\"");
  CHECK(pairs->classes() == std::vector<std::string>{"no", "yes"});
  CHECK(pairs->label(1) == 1);
  CHECK(pairs->name(1) == "pairs.csv:3");

  const auto tabs = open("one.tsv", "text\n\"Quoted\" and not closed\"\n");
  CHECK(clr::as_texts(*tabs)->text(0, 0) == "\"Quoted\" and not closed\"");
  CHECK_FALSE(tabs->labelled());
  const auto json =
      open("one.jsonl", "{\"text\": \"a\", \"label\": 3}\n{\"label\": 1, \"text\": \"b\"}\n");
  CHECK(json->classes() == std::vector<std::string>{"1", "3"});
  CHECK(json->label(0) == 1);

  const auto refused = [&](const std::string& name, const std::string& content) {
    const std::string text =
        message(clr::ErrorKind::data, [&] { static_cast<void>(open(name, content)); });
    return text.substr(text.find(name));
  };
  CHECK(refused("a.csv", "text,label\na,b\nc\n") ==
        "a.csv:3: expected 2 fields as in the first line, got 1");
  CHECK(refused("b.csv", "text_a,label\na,b\n") ==
        "b.csv:1: expected a column text_b beside text_a, got none");
  CHECK(refused("c.csv", "text,label\na,\n") == "c.csv:2: expected a label, got none");
  CHECK(refused("d.csv", "text\n") == "d.csv: expected texts, got a first line only");
  CHECK(refused("e.jsonl", "{\"text\": \"a\"}\n{\"txt\": \"a\"}\n") ==
        "e.jsonl:2: expected a key \"text\" as in the first object");
}

TEST_CASE("a folder of text files is texts, with classes", "[data]") {
  const clr::test::TempFolder folder;
  folder.write("posts/b/1.txt", "one\ntwo");
  folder.write("posts/a/2.txt", "three");
  folder.write("posts/a/1.txt", "four");
  const auto set = clr::open_dataset(folder / "posts", {});
  CHECK(set->size() == 3);
  CHECK(set->classes() == std::vector<std::string>{"a", "b"});
  CHECK(set->name(0) == "a/1.txt");
  CHECK(set->label(2) == 1);
  CHECK(clr::as_texts(*set)->text(2, 0) == "one\ntwo");
}

TEST_CASE("scored pairs are read by names or numbers", "[data]") {
  const clr::test::TempFolder folder;
  const auto read = [&](const std::string& name, const std::string& content,
                        const std::array<std::string, 3>& columns) {
    return clr::read_scored_pairs(folder.write(name, content), columns);
  };
  const auto named = read("a.csv", "score,text_a,text_b\n1,a,b\n,c,d\n2.5,e,f\n", {});
  CHECK(named.scores == std::vector<double>{1.0, 2.5});
  CHECK(named.unscored == 1);
  CHECK(clr::as_texts(*named.items)->text(3, 0) == "f");
  const auto numbered = read("b.tsv", "4.5\ta\t\"b\n0\tc\td\n", {"2", "3", "1"});
  CHECK(numbered.scores == std::vector<double>{4.5, 0.0});
  CHECK(clr::as_texts(*numbered.items)->text(1, 0) == "\"b");
  const auto refused = [&](const std::string& content, const std::array<std::string, 3>& columns) {
    const std::string text =
        message(clr::ErrorKind::data, [&] { static_cast<void>(read("c.tsv", content, columns)); });
    return text.substr(text.find("c.tsv"));
  };
  CHECK(refused("1\ta\tb\n2\tc\td\n", {})
            .find("c.tsv:1: expected columns text_a, text_b and score") == 0);
  CHECK(refused("1\ta\tb\nx\tc\td\n", {"2", "3", "1"}) ==
        "c.tsv:2: expected a number as score, got \"x\"");
  CHECK(refused("1\ta\tb\n", {"2", "3", "1"}) ==
        "c.tsv: expected at least two scored pairs, got 1");
  CHECK(
      refused("1\ta\tb\n2\tc\td\n", {"2", "3", "4"}).find("c.tsv:1: expected columns 2, 3 and 4") ==
      0);
}
