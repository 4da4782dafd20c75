// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "clr/text/token_operation.h"

namespace clr {
namespace {

constexpr std::size_t kFewestWords = 2;

struct Options {
  double p = 0.1;

  static void fields(auto&& f) {
    f("p", &Options::p, In{0, 1}, "pairs that change places, as a share of the words");
  }
};

/// Lets words change places: as many pairs as the probability's share of the words, rounded.
///
/// Draws:   of pair k: 0, 1: which words.
/// Source:  arXiv:1901.11196 (EDA), random swap.
class TokenSwap : public TokenOperation {
 public:
  explicit TokenSwap(const Options& options) : options_(options) {}

  OpId id() const override { return OpId::token_swap; }

  void apply(const WordRng& rng, const WordPiece& pieces,
             std::vector<std::int32_t>& ids) const override {
    const auto bounds = word_bounds(ids, pieces);
    const std::size_t words = bounds.size() - 1;
    if (words < kFewestWords) return;
    std::vector<std::size_t> order(words);
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto pairs = static_cast<std::size_t>(options_.p * static_cast<double>(words) + 0.5);
    for (std::size_t k = 0; k < pairs; ++k) {
      std::swap(order[rng.integer(k, words, 0)], order[rng.integer(k, words, 1)]);
    }
    std::vector<std::int32_t> swapped;
    for (const std::size_t word : order) {
      swapped.insert(swapped.end(), ids.begin() + static_cast<std::ptrdiff_t>(bounds[word]),
                     ids.begin() + static_cast<std::ptrdiff_t>(bounds[word + 1]));
    }
    ids = std::move(swapped);
  }

 private:
  Options options_;
};

}  // namespace

TokenOperationEntry token_swap_entry() {
  return make_entry<std::unique_ptr<TokenOperation>, Options>(
      "token_swap", "lets words change places with others",
      [](const Options& options) { return std::make_unique<TokenSwap>(options); });
}

}  // namespace clr
