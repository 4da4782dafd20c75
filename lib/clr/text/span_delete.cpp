// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "clr/text/token_operation.h"

namespace clr {
namespace {

constexpr std::size_t kFewestWords = 2;

struct Options {
  std::array<double, 2> length{0.1, 0.3};

  static void fields(auto&& f) {
    f("length", &Options::length, In{0, 1}, "the run, as a share of the words: least and most");
  }

  void validate(const Place& place) const {
    if (length[0] > length[1]) (place / "length").fail("expected the smaller share first");
  }
};

/// Leaves out one run of words, of a drawn length at a drawn place.
///
/// Draws:   0: length; 1: where.
/// Source:  arXiv:2012.15466 (CLEAR), span deletion.
class SpanDelete : public TokenOperation {
 public:
  explicit SpanDelete(const Options& options) : options_(options) {}

  OpId id() const override { return OpId::span_delete; }

  void apply(const WordRng& rng, const WordPiece& pieces,
             std::vector<std::int32_t>& ids) const override {
    const auto bounds = word_bounds(ids, pieces);
    const std::size_t words = bounds.size() - 1;
    if (words <= kFewestWords) return;
    const double share =
        options_.length[0] + (options_.length[1] - options_.length[0]) * rng.uniform(0, 0);
    const auto drawn = static_cast<std::size_t>(share * static_cast<double>(words) + 0.5);
    const std::size_t count = std::min(drawn, words - kFewestWords);
    const std::size_t first = rng.integer(0, words - count + 1, 1);
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(bounds[first]),
              ids.begin() + static_cast<std::ptrdiff_t>(bounds[first + count]));
  }

 private:
  Options options_;
};

}  // namespace

TokenOperationEntry span_delete_entry() {
  return make_entry<std::unique_ptr<TokenOperation>, Options>(
      "span_delete", "leaves out a run of words",
      [](const Options& options) { return std::make_unique<SpanDelete>(options); });
}

}  // namespace clr
