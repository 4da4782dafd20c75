// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "clr/text/token_operation.h"

namespace clr {
namespace {

struct Options {
  double p = 0.1;

  static void fields(auto&& f) {
    f("p", &Options::p, In{0, 1}, "probability that a word is masked");
  }
};

/// Puts [MASK] in the place of every piece of a word; of vocabularies without it [UNK].
///
/// Draws:   of word k: 0: whether.
class TokenMask : public TokenOperation {
 public:
  explicit TokenMask(const Options& options) : options_(options) {}

  OpId id() const override { return OpId::token_mask; }

  void apply(const WordRng& rng, const WordPiece& pieces,
             std::vector<std::int32_t>& ids) const override {
    const auto bounds = word_bounds(ids, pieces);
    const auto& special = pieces.special();
    const std::int32_t mask = special.mask >= 0 ? special.mask : special.unknown;
    for (std::size_t k = 0; k + 1 < bounds.size(); ++k) {
      if (rng.uniform(k) >= options_.p) continue;
      std::fill(ids.begin() + static_cast<std::ptrdiff_t>(bounds[k]),
                ids.begin() + static_cast<std::ptrdiff_t>(bounds[k + 1]), mask);
    }
  }

 private:
  Options options_;
};

}  // namespace

TokenOperationEntry token_mask_entry() {
  return make_entry<std::unique_ptr<TokenOperation>, Options>(
      "token_mask", "puts [MASK] in place of words, each with a probability",
      [](const Options& options) { return std::make_unique<TokenMask>(options); });
}

}  // namespace clr
