// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "clr/text/token_operation.h"

namespace clr {
namespace {

constexpr std::size_t kFewestWords = 2;

struct Options {
  double p = 0.1;

  static void fields(auto&& f) { f("p", &Options::p, In{0, 1}, "probability that a word goes"); }
};

/// Leaves words out.
///
/// Draws:   of word k: 0: whether.
/// Source:  arXiv:1502.03520 (word dropout); arXiv:2104.08821, section 3, compares it.
class TokenDelete : public TokenOperation {
 public:
  explicit TokenDelete(const Options& options) : options_(options) {}

  OpId id() const override { return OpId::token_delete; }

  void apply(const WordRng& rng, const WordPiece& pieces,
             std::vector<std::int32_t>& ids) const override {
    const auto bounds = word_bounds(ids, pieces);
    const std::size_t words = bounds.size() - 1;
    if (words <= kFewestWords) return;
    std::size_t left = words;
    std::vector<std::int32_t> kept;
    for (std::size_t k = 0; k < words; ++k) {
      if (left > kFewestWords && rng.uniform(k) < options_.p) {
        --left;
        continue;
      }
      kept.insert(kept.end(), ids.begin() + static_cast<std::ptrdiff_t>(bounds[k]),
                  ids.begin() + static_cast<std::ptrdiff_t>(bounds[k + 1]));
    }
    ids = std::move(kept);
  }

 private:
  Options options_;
};

}  // namespace

TokenOperationEntry token_delete_entry() {
  return make_entry<std::unique_ptr<TokenOperation>, Options>(
      "token_delete", "leaves words out, each with a probability",
      [](const Options& options) { return std::make_unique<TokenDelete>(options); });
}

}  // namespace clr
