// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "clr/text/token_operation.h"

namespace clr {
namespace {

struct Options {
  double p = 1.0;

  static void fields(auto&& f) {
    f("p", &Options::p, In{0, 1}, "probability that they are shuffled");
  }
};

/// Puts the sentences of a text into a drawn order; one ends with the piece ".", "!" or "?".
///
/// Draws:   0: whether; of sentence k: 1: its rank.
/// Source:  arXiv:1910.13461 (BART), sentence permutation.
class SentenceShuffle : public TokenOperation {
 public:
  explicit SentenceShuffle(const Options& options) : options_(options) {}

  OpId id() const override { return OpId::sentence_shuffle; }

  void apply(const WordRng& rng, const WordPiece& pieces,
             std::vector<std::int32_t>& ids) const override {
    if (rng.uniform(0, 0) >= options_.p) return;
    std::vector<std::pair<std::size_t, std::size_t>> sentences;
    std::size_t first = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::string& piece = pieces.piece(ids[i]);
      if (i + 1 < ids.size() && piece != "." && piece != "!" && piece != "?") continue;
      sentences.emplace_back(first, i + 1);
      first = i + 1;
    }
    std::vector<std::size_t> order(sentences.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return rng.uniform(a, 1) < rng.uniform(b, 1);
    });
    std::vector<std::int32_t> shuffled;
    for (const std::size_t k : order) {
      shuffled.insert(shuffled.end(), ids.begin() + static_cast<std::ptrdiff_t>(sentences[k].first),
                      ids.begin() + static_cast<std::ptrdiff_t>(sentences[k].second));
    }
    ids = std::move(shuffled);
  }

 private:
  Options options_;
};

}  // namespace

TokenOperationEntry sentence_shuffle_entry() {
  return make_entry<std::unique_ptr<TokenOperation>, Options>(
      "sentence_shuffle", "puts the sentences of a text into a drawn order",
      [](const Options& options) { return std::make_unique<SentenceShuffle>(options); });
}

}  // namespace clr
