// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "clr/config/fields.h"
#include "clr/core/rng.h"
#include "clr/text/token_operation.h"
#include "clr/text/wordpiece.h"

namespace clr {

/// Where a view's text comes from.
enum class SourceType { same, crop, neighbor, columns };
constexpr auto enum_names(SourceType) { return std::array{"same", "crop", "neighbor", "columns"}; }

struct TextSource {
  SourceType type = SourceType::same;
  std::array<double, 2> length{0.2, 0.5};
  std::int64_t minimum_tokens = 8;
  std::int64_t reach = 1;

  static void fields(auto&& f) {
    f("type", &TextSource::type,
      "same: the text; crop: a drawn part of it; neighbor: one view the text, the others texts "
      "near it in its document; columns: view by view the columns of the list");
    f("length", &TextSource::length, In{0.001, 1},
      "crop: the part, as a share of the tokens: least and most");
    f("minimum_tokens", &TextSource::minimum_tokens, In{1, 1 << 20},
      "crop: tokens of the smallest part; a text of fewer than two of them is taken whole");
    f("reach", &TextSource::reach, In{1, 1000}, "neighbor: how many texts away it may be");
  }
};

/// One entry of `text.views`.
struct TextViewConfig {
  std::int64_t count = 1;
  TextSource source;
  std::vector<Component<TokenOperation>> chain;

  static void fields(auto&& f) {
    f("count", &TextViewConfig::count, In{1, 255}, "views drawn so");
    f("source", &TextViewConfig::source, "where a view's text comes from");
    f("chain", &TextViewConfig::chain, "operations on its words, in order");
  }
};

/// The `text` section: it makes a run one of texts.
struct TextConfig {
  std::string vocabulary;
  bool lowercase = true;
  std::int64_t max_tokens = 128;
  std::vector<TextViewConfig> views = {TextViewConfig{2, {}, {}}};
  std::shared_ptr<const WordPiece> pieces;  ///< what `vocabulary` names, once it was read

  static void fields(auto&& f) {
    f("vocabulary", &TextConfig::vocabulary,
      "file of WordPiece pieces, one a line (BERT's vocab.txt, or clr data vocab's)");
    f("lowercase", &TextConfig::lowercase,
      "texts are lower-cased and lose their accents, as uncased models want it");
    f("max_tokens", &TextConfig::max_tokens, In{3, 1 << 16},
      "tokens that a view has at most, [CLS] and [SEP] among them; what is longer is cut off");
    f("views", &TextConfig::views, "groups of views of each text");
  }
};

/// Reads what `vocabulary` names, where it was not read yet.
/// Throws:  Error{config} "/text/vocabulary: ..." where there is none; Error{data} as
///          WordPiece::read().
void read_vocabulary(TextConfig& config);

/// One view of each text: all of it, as far as max_tokens reach.
TextConfig whole_texts(TextConfig config);

/// The tokens that views of one item are made from: what a data set gives.
class ItemTokens {
 public:
  virtual ~ItemTokens() = default;
  virtual std::int64_t columns() const = 0;
  /// Tokens of a column of the item, without [CLS] and [SEP].
  virtual std::span<const std::int32_t> own(std::int64_t column) const = 0;
  /// How many items of its document come before it, and after it.
  virtual std::pair<std::int64_t, std::int64_t> room() const = 0;
  /// Tokens of the item so many places on (negative: before).
  virtual std::span<const std::int32_t> neighbor(std::int64_t distance) const = 0;
};

/// Turns an item's tokens into views. Stateless and thread-safe.
///
/// Views are numbered over the entries of the configuration, in its order.
class TextViews {
 public:
  /// `config` has its pieces.
  /// Throws:  Error{config} naming the place below `text`: no views, a range that runs backwards.
  explicit TextViews(const TextConfig& config);

  /// Throws:  Error{config} below `where`: what the constructor refuses.
  static void validate(const TextConfig& config, const Place& where);

  int view_count() const { return static_cast<int>(views_.size()); }
  std::int64_t max_tokens() const { return max_tokens_; }
  const WordPiece& pieces() const { return *pieces_; }

  /// Columns that an item has to have.
  std::int64_t columns() const { return columns_; }

  /// Whether views differ by nothing that is drawn here: by dropout alone, then.
  bool all_the_same() const;

  /// A view with [CLS] and [SEP], written to `out` [max_tokens], -1 after the last token.
  /// address.view is not read.
  void make(std::uint64_t seed, RngAddress address, int view, const ItemTokens& item,
            std::int32_t* out) const;

 private:
  struct View {
    TextSource source;
    std::int64_t place = 0;  ///< among the views of its source
    std::vector<std::shared_ptr<const TokenOperation>> chain;
  };

  std::vector<std::int32_t> text_of(const View& view, std::uint64_t seed, RngAddress address,
                                    const ItemTokens& item) const;

  std::shared_ptr<const WordPiece> pieces_;
  std::int64_t max_tokens_;
  std::int64_t columns_ = 1;
  std::vector<View> views_;
};

}  // namespace clr
