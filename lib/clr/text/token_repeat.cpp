// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "clr/text/token_operation.h"

namespace clr {
namespace {

struct Options {
  double p = 0.1;

  static void fields(auto&& f) {
    f("p", &Options::p, In{0, 1}, "probability that a word comes twice");
  }
};

/// Says words twice, so that length tells less of what is alike.
///
/// Draws:   of word k: 0: whether.
/// Source:  arXiv:2109.04380 (ESimCSE), which repeats single pieces.
class TokenRepeat : public TokenOperation {
 public:
  explicit TokenRepeat(const Options& options) : options_(options) {}

  OpId id() const override { return OpId::token_repeat; }

  void apply(const WordRng& rng, const WordPiece& pieces,
             std::vector<std::int32_t>& ids) const override {
    const auto bounds = word_bounds(ids, pieces);
    std::vector<std::int32_t> longer;
    for (std::size_t k = 0; k + 1 < bounds.size(); ++k) {
      const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(bounds[k]);
      const auto end = ids.begin() + static_cast<std::ptrdiff_t>(bounds[k + 1]);
      longer.insert(longer.end(), begin, end);
      if (rng.uniform(k) < options_.p) longer.insert(longer.end(), begin, end);
    }
    ids = std::move(longer);
  }

 private:
  Options options_;
};

}  // namespace

TokenOperationEntry token_repeat_entry() {
  return make_entry<std::unique_ptr<TokenOperation>, Options>(
      "token_repeat", "says words twice, each with a probability",
      [](const Options& options) { return std::make_unique<TokenRepeat>(options); });
}

}  // namespace clr
