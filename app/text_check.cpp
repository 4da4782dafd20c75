// SPDX-License-Identifier: Apache-2.0
#include "text_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "clr/core/batch.h"
#include "clr/core/error.h"
#include "clr/core/log.h"
#include "clr/data/token_store.h"
#include "clr/text/words.h"
#include "command.h"

namespace clr {
namespace {

constexpr std::size_t kMostListed = 20;

/// Least, median (the lower of two), 99 of 100 and most of some lengths.
struct Lengths {
  std::int64_t least = 0;
  std::int64_t median = 0;
  std::int64_t most_of_100 = 0;
  std::int64_t most = 0;
};

Lengths lengths_of(std::vector<std::int64_t> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&](std::size_t hundredths) {
    return values[(values.size() - 1) * hundredths / 100];
  };
  return {values.front(), at(50), at(99), values.back()};
}

Json json_of(const Lengths& lengths) {
  return {{"least", lengths.least},
          {"median", lengths.median},
          {"99_of_100", lengths.most_of_100},
          {"most", lengths.most}};
}

std::string line_of(const Lengths& lengths) {
  return fmt::format("{} to {}, half up to {}, 99 of 100 up to {}", format_count(lengths.least),
                     format_count(lengths.most), format_count(lengths.median),
                     format_count(lengths.most_of_100));
}

/// What one set holds.
struct Found {
  std::vector<BadImage> unreadable;
  std::vector<std::int64_t> words;   ///< of each readable column
  std::vector<std::int64_t> tokens;  ///< likewise, with [CLS] and [SEP]
  std::int64_t pieces = 0;
  std::int64_t unknown = 0;
  std::int64_t documents = 0;
  std::vector<std::int64_t> class_counts;
  /// The first item with each text (all columns, one after the other).
  std::unordered_map<std::string, std::int64_t> first_with;
  std::vector<std::pair<std::int64_t, std::int64_t>> twice;  ///< an item, and the first like it
  std::int64_t other_label = 0;
};

/// All columns, or nothing (and the reason kept) where one cannot be read.
std::optional<std::string> whole_text(const TextDataset& texts, std::int64_t index, Found& found) {
  std::string whole;
  try {
    for (std::int64_t column = 0; column < texts.columns(); ++column) {
      if (column > 0) whole += '\n';
      whole += texts.text(index, column);
    }
  } catch (const Error& error) {
    const std::string text = error.what();
    const std::string place = texts.location(index) + ": ";
    found.unreadable.push_back(
        {index, texts.name(index), text.starts_with(place) ? text.substr(place.size()) : text});
    return std::nullopt;
  }
  return whole;
}

Found look_at(const CheckedTexts& set, const WordPiece* pieces, int threads) {
  const TextDataset& texts = *set.texts;
  Found found;
  found.class_counts.resize(texts.classes().size());
  std::optional<TokenStore> store;
  if (pieces != nullptr) store.emplace(texts, *pieces, threads);
  std::int64_t document_end = 0;
  for (std::int64_t i = 0; i < texts.size(); ++i) {
    if (i >= document_end) {
      document_end = texts.document(i).second;
      ++found.documents;
    }
    const std::int64_t label = texts.label(i);
    if (label >= 0) ++found.class_counts[static_cast<std::size_t>(label)];
    const auto whole = whole_text(texts, i, found);
    if (!whole) continue;
    for (std::int64_t column = 0; column < texts.columns(); ++column) {
      std::int64_t words = 0;
      for_each_word(texts.text(i, column), true, [&](std::string_view) { ++words; });
      found.words.push_back(words);
      if (!store) continue;
      const auto ids = store->tokens(i, column);
      found.tokens.push_back(static_cast<std::int64_t>(ids.size()) + 2);
      found.pieces += static_cast<std::int64_t>(ids.size());
      found.unknown += std::count(ids.begin(), ids.end(), pieces->special().unknown);
    }
    if (const auto [at, added] = found.first_with.emplace(*whole, i); !added) {
      found.twice.emplace_back(i, at->second);
      if (texts.label(at->second) != label) ++found.other_label;
    }
  }
  if (found.words.empty()) {
    throw Error(ErrorKind::data,
                fmt::format("{}: none of its {} texts can be read; {}: {}", set.path, texts.size(),
                            found.unreadable.front().name, found.unreadable.front().reason));
  }
  return found;
}

Json json_of(const CheckedTexts& set, const Found& found) {
  Json unreadable = Json::array();
  for (const BadImage& bad : found.unreadable)
    unreadable.push_back({{"name", bad.name}, {"reason", bad.reason}});
  Json classes = Json::array();
  for (std::size_t i = 0; i < found.class_counts.size(); ++i)
    classes.push_back({{"name", set.texts->classes()[i]}, {"texts", found.class_counts[i]}});
  Json result = {
      {"path", set.path},
      {"texts", set.texts->size()},
      {"readable", set.texts->size() - static_cast<std::int64_t>(found.unreadable.size())},
      {"columns", set.texts->columns()},
      {"documents", found.documents},
      {"unreadable", std::move(unreadable)},
      {"classes", std::move(classes)},
      {"words", json_of(lengths_of(found.words))},
      {"duplicate_texts", found.twice.size()},
      {"duplicates_of_several_classes", found.other_label},
      {"fingerprint", set.texts->fingerprint()}};
  if (!found.tokens.empty()) {
    result["tokens"] = json_of(lengths_of(found.tokens));
    result["unknown"] = static_cast<double>(found.unknown) /
                        static_cast<double>(std::max<std::int64_t>(1, found.pieces));
  }
  return result;
}

void print(const CheckedTexts& set, const Found& found) {
  log_info("{}", set.path);
  std::vector<std::pair<std::string, std::string>> facts = {
      {"texts", format_count(set.texts->size())}};
  if (set.texts->columns() > 1) facts.push_back({"columns", std::to_string(set.texts->columns())});
  if (found.documents < set.texts->size())
    facts.push_back({"documents", format_count(found.documents)});
  if (!found.class_counts.empty()) {
    const auto [least, most] =
        std::minmax_element(found.class_counts.begin(), found.class_counts.end());
    facts.push_back({"classes", fmt::format("{} of {} to {} texts", found.class_counts.size(),
                                            format_count(*least), format_count(*most))});
  }
  facts.push_back({"words", line_of(lengths_of(found.words))});
  if (!found.tokens.empty()) {
    facts.push_back({"tokens", line_of(lengths_of(found.tokens))});
    facts.push_back(
        {"[UNK]", fmt::format("{:.2f} % of the tokens",
                              100.0 * static_cast<double>(found.unknown) /
                                  static_cast<double>(std::max<std::int64_t>(1, found.pieces)))});
  }
  facts.push_back({"fingerprint", set.texts->fingerprint()});
  print_facts(facts);
  for (std::size_t i = 0; i < found.unreadable.size() && i < kMostListed; ++i)
    log_warning("{}: {}", found.unreadable[i].name, found.unreadable[i].reason);
  if (found.unreadable.size() > kMostListed)
    log_warning("and {} more cannot be read", found.unreadable.size() - kMostListed);
  if (!found.twice.empty()) {
    log_warning(
        "{} texts are there again{}", format_count(static_cast<std::int64_t>(found.twice.size())),
        found.other_label > 0 ? fmt::format(", {} of them in another class", found.other_label)
                              : "");
    for (std::size_t i = 0; i < found.twice.size() && i < kMostListed; ++i)
      log_info("  {} = {}", set.texts->name(found.twice[i].second),
               set.texts->name(found.twice[i].first));
  }
}

/// Tokens that cut one text in a hundred, in eights, at most what BERT's positions hold.
std::int64_t suggested_tokens(const Lengths& lengths) {
  return std::clamp<std::int64_t>((lengths.most_of_100 + 7) / 8 * 8, 8, 512);
}

}  // namespace

Json check_texts(const CheckedTexts& first, const std::optional<CheckedTexts>& second,
                 std::optional<TextConfig> text, int threads) {
  const WordPiece* pieces = nullptr;
  if (text && !text->vocabulary.empty()) {
    read_vocabulary(*text);
    pieces = text->pieces.get();
  }
  const Found found = look_at(first, pieces, threads);
  print(first, found);
  Json result = json_of(first, found);
  if (second) {
    const Found other = look_at(*second, pieces, threads);
    print(*second, other);
    std::int64_t across = 0;
    for (const auto& [content, index] : other.first_with)
      across += found.first_with.contains(content) ? 1 : 0;
    if (across > 0) log_warning("{} texts of {} are in {} too", across, second->path, first.path);
    result["second"] = json_of(*second, other);
    result["second_in_first"] = across;
  }
  if (pieces != nullptr) {
    const std::int64_t most = suggested_tokens(lengths_of(found.tokens));
    log_info("text.max_tokens = {} cuts at most one text in a hundred", most);
    result["max_tokens"] = most;
  } else {
    log_info("tokens and [UNK]: --set text.vocabulary=vocab.txt (clr data vocab learns one)");
  }
  return result;
}

}  // namespace clr
