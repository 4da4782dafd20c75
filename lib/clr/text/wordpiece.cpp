// SPDX-License-Identifier: Apache-2.0
#include "clr/text/wordpiece.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include "clr/core/error.h"
#include "clr/core/text_lines.h"
#include "clr/text/words.h"

namespace clr {
namespace {

constexpr std::size_t kLongestWord = 100;

bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

std::size_t count_characters(std::string_view word) {
  return static_cast<std::size_t>(std::count_if(
      word.begin(), word.end(), [](char byte) { return !continues_character(byte); }));
}

}  // namespace

WordPiece::WordPiece(std::vector<std::string> pieces, bool lowercase, const std::string& where)
    : pieces_(std::move(pieces)), lowercase_(lowercase) {
  const auto fail = [&](std::size_t line, const std::string& what) {
    throw Error(ErrorKind::data, fmt::format("{}, line {}: {}", where, line + 1, what));
  };
  std::unordered_map<std::string_view, std::int32_t> all;
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    const std::string_view piece = pieces_[i];
    const auto id = static_cast<std::int32_t>(i);
    if (piece.empty() || piece == "##") fail(i, "expected a piece, got an empty one");
    if (find_invalid_utf8(piece)) fail(i, "expected UTF-8, got other bytes");
    if (const auto [at, added] = all.try_emplace(piece, id); !added) {
      fail(i, fmt::format("expected each piece once, got \"{}\" of line {} again", piece,
                          at->second + 1));
    }
    if (piece.starts_with("##")) {
      later_.emplace(piece.substr(2), id);
    } else {
      first_.emplace(piece, id);
    }
    longest_ = std::max(longest_, piece.size());
  }
  const auto find = [&](const char* name) {
    const auto found = all.find(name);
    if (found == all.end()) {
      throw Error(
          ErrorKind::data,
          fmt::format(
              "{}: expected a WordPiece vocabulary, a piece a line, with [PAD], [UNK], [CLS] "
              "and [SEP]; {} is not among its {} lines",
              where, name, pieces_.size()));
    }
    return found->second;
  };
  special_ = {find("[PAD]"), find("[UNK]"), find("[CLS]"), find("[SEP]"),
              all.contains("[MASK]") ? all.at("[MASK]") : -1};
  // Text has none of them: its brackets are words.
  for (const char* name : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) first_.erase(name);
}

WordPiece WordPiece::read(const std::string& path, bool lowercase) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw Error(ErrorKind::data, fmt::format("{}: expected a vocabulary, cannot be read", path));
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) throw Error(ErrorKind::data, fmt::format("{}: cannot be read to its end", path));
  return parse(content, lowercase, path);
}

WordPiece WordPiece::parse(std::string_view content, bool lowercase, const std::string& where) {
  std::vector<std::string> pieces;
  while (!content.empty()) pieces.emplace_back(take_line(content));
  return {std::move(pieces), lowercase, where};
}

std::string WordPiece::text() const {
  std::string result;
  for (const std::string& piece : pieces_) result += piece + '\n';
  return result;
}

void WordPiece::add_word(std::string_view word, std::vector<std::int32_t>& ids) const {
  const std::size_t before = ids.size();
  const auto give_up = [&] {
    ids.resize(before);
    ids.push_back(special_.unknown);
  };
  if (word.size() > kLongestWord && count_characters(word) > kLongestWord) return give_up();
  for (std::size_t at = 0; at < word.size();) {
    const auto& known = at == 0 ? first_ : later_;
    std::size_t count = std::min(word.size() - at, longest_);
    while (true) {
      while (count > 0 && at + count < word.size() && continues_character(word[at + count]))
        --count;
      if (count == 0) return give_up();
      if (const auto found = known.find(word.substr(at, count)); found != known.end()) {
        ids.push_back(found->second);
        break;
      }
      --count;
    }
    at += count;
  }
}

void WordPiece::encode(std::string_view text, std::vector<std::int32_t>& ids,
                       std::size_t most) const {
  const std::size_t before = ids.size();
  for_each_word(text, lowercase_, [&](std::string_view word) {
    if (ids.size() - before < most) add_word(word, ids);
  });
  if (ids.size() - before > most) ids.resize(before + most);
}

std::string WordPiece::decode(const std::vector<std::int32_t>& ids) const {
  std::string text;
  for (const std::int32_t id : ids) {
    const std::string_view piece = pieces_[static_cast<std::size_t>(id)];
    if (piece.starts_with("##")) {
      text += piece.substr(2);
    } else {
      if (!text.empty()) text += ' ';
      text += piece;
    }
  }
  return text;
}

}  // namespace clr
