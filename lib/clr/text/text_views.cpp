// SPDX-License-Identifier: Apache-2.0
#include "clr/text/text_views.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "clr/core/error.h"

namespace clr {

void read_vocabulary(TextConfig& config) {
  if (config.pieces) return;
  if (config.vocabulary.empty()) {
    throw Error(ErrorKind::config,
                "/text/vocabulary: expected a file of WordPiece pieces (BERT's vocab.txt), got "
                "none");
  }
  config.pieces =
      std::make_shared<const WordPiece>(WordPiece::read(config.vocabulary, config.lowercase));
}

TextConfig whole_texts(TextConfig config) {
  config.views = {TextViewConfig{1, {}, {}}};
  return config;
}

void TextViews::validate(const TextConfig& config, const Place& where) {
  if (config.views.empty()) (where / "views").fail("expected at least one entry, got none");
  for (std::size_t i = 0; i < config.views.size(); ++i) {
    const TextSource& source = config.views[i].source;
    if (source.length[0] > source.length[1])
      (where / "views" / i / "source" / "length").fail("expected the smaller share first");
  }
}

TextViews::TextViews(const TextConfig& config)
    : pieces_(config.pieces), max_tokens_(config.max_tokens) {
  validate(config, Place("text"));
  std::int64_t neighbors = 0;
  std::int64_t columns = 0;
  for (const TextViewConfig& entry : config.views) {
    std::vector<std::shared_ptr<const TokenOperation>> chain;
    for (const auto& operation : entry.chain) chain.push_back(token_operations().make(operation));
    for (std::int64_t k = 0; k < entry.count; ++k) {
      std::int64_t place = 0;
      if (entry.source.type == SourceType::neighbor) place = neighbors++;
      if (entry.source.type == SourceType::columns) place = columns++;
      views_.push_back({entry.source, place, chain});
    }
  }
  columns_ = std::max<std::int64_t>(columns, 1);
}

bool TextViews::all_the_same() const {
  return std::all_of(views_.begin(), views_.end(), [](const View& view) {
    return view.source.type == SourceType::same && view.chain.empty();
  });
}

std::vector<std::int32_t> TextViews::text_of(const View& view, std::uint64_t seed,
                                             RngAddress address, const ItemTokens& item) const {
  const auto copy = [](std::span<const std::int32_t> tokens) {
    return std::vector<std::int32_t>(tokens.begin(), tokens.end());
  };
  const TextSource& source = view.source;
  const Rng rng(seed, address, OpId::text_source);
  switch (source.type) {
    case SourceType::same:
      break;
    case SourceType::columns:
      return copy(item.own(view.place));
    case SourceType::crop: {
      const auto own = item.own(0);
      const auto count = static_cast<std::int64_t>(own.size());
      if (count < 2 * source.minimum_tokens) break;
      const double share = rng.uniform(0, source.length[0], source.length[1]);
      const auto drawn = static_cast<std::int64_t>(std::lround(share * static_cast<double>(count)));
      // What [CLS] and [SEP] leave room for: a longer crop would be cut at its end anyway.
      const std::int64_t length =
          std::clamp(drawn, source.minimum_tokens,
                     std::min(count, std::max(source.minimum_tokens, max_tokens_ - 2)));
      const std::int64_t first = rng.integer(1, static_cast<std::uint32_t>(count - length + 1));
      return copy(own.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(length)));
    }
    case SourceType::neighbor: {
      if (view.place == 0) break;
      const auto [before, after] = item.room();
      const std::int64_t low = std::min(before, source.reach);
      const std::int64_t high = std::min(after, source.reach);
      if (low + high == 0) break;
      const std::int64_t k = rng.integer(0, static_cast<std::uint32_t>(low + high));
      return copy(item.neighbor(k < low ? k - low : k - low + 1));
    }
  }
  return copy(item.own(0));
}

void TextViews::make(std::uint64_t seed, RngAddress address, int view, const ItemTokens& item,
                     std::int32_t* out) const {
  address.view = static_cast<std::uint32_t>(view);
  const View& made = views_[static_cast<std::size_t>(view)];
  std::vector<std::int32_t> ids = text_of(made, seed, address, item);
  std::map<OpId, std::uint32_t> occurrences;
  for (const auto& operation : made.chain) {
    const std::uint32_t occurrence = occurrences[operation->id()]++;
    operation->apply(WordRng(Rng(seed, address, operation->id(), occurrence)), *pieces_, ids);
  }
  const auto room = static_cast<std::size_t>(max_tokens_ - 2);
  const std::size_t count = std::min(ids.size(), room);
  out[0] = pieces_->special().begin;
  std::copy_n(ids.begin(), count, out + 1);
  out[count + 1] = pieces_->special().end;
  std::fill(out + count + 2, out + max_tokens_, -1);
}

}  // namespace clr
