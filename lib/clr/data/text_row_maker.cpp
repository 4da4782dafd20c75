// SPDX-License-Identifier: Apache-2.0
#include "clr/data/text_row_maker.h"

#include <fmt/format.h>

#include <numeric>
#include <utility>

#include "clr/core/error.h"

namespace clr {
namespace {

/// An item of a set whose tokens are at hand; its neighbours' too, unless the set is a part of another.
class StoredItem final : public ItemTokens {
 public:
  StoredItem(const TextDataset& texts, const TokenStore& store, const WordPiece& pieces,
             std::int64_t index)
      : texts_(texts), store_(store), pieces_(pieces), index_(index) {}

  std::int64_t columns() const override { return texts_.columns(); }
  std::span<const std::int32_t> own(std::int64_t column) const override {
    return store_.tokens(index_, column);
  }
  std::pair<std::int64_t, std::int64_t> room() const override {
    const std::int64_t at = texts_.at_home(index_);
    const auto [first, last] = texts_.home().document(at);
    return {at - first, last - 1 - at};
  }
  std::span<const std::int32_t> neighbor(std::int64_t distance) const override {
    if (&texts_.home() == &texts_) {
      // A bad neighbour makes the item bad: there is nothing to show beside it.
      store_.require_good(index_ + distance);
      return store_.tokens(index_ + distance, 0);
    }
    cut_.clear();
    pieces_.encode(texts_.home().text(texts_.at_home(index_) + distance, 0), cut_);
    return cut_;
  }

 private:
  const TextDataset& texts_;
  const TokenStore& store_;
  const WordPiece& pieces_;
  std::int64_t index_;
  mutable std::vector<std::int32_t> cut_;
};

}  // namespace

TextRowMaker::TextRowMaker(std::shared_ptr<const TextDataset> texts,
                           std::shared_ptr<const TextViews> views, const LoaderOptions& options)
    : RowMaker(texts, options),
      texts_(std::move(texts)),
      views_(std::move(views)),
      store_(*texts_, views_->pieces(), options.threads) {
  if (texts_->columns() < views_->columns()) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected {} columns of text, as text.views asks for, got {}",
                            texts_->location(0), views_->columns(), texts_->columns()));
  }
  if (options.data.on_error == OnError::fail) store_.require_all_good();
}

std::vector<GroupLayout> TextRowMaker::layout() const {
  std::vector<int> numbers(static_cast<std::size_t>(views_->view_count()));
  std::iota(numbers.begin(), numbers.end(), 0);
  return {{std::move(numbers), {views_->max_tokens()}, torch::kInt, false}};
}

void TextRowMaker::render(std::int64_t index, RngAddress draws, BatchBuffer& buffer,
                          std::int64_t row) const {
  LoaderClock::Lap lap(clock());
  store_.require_good(index);
  const StoredItem item(*texts_, store_, views_->pieces(), index);
  for (int view = 0; view < views_->view_count(); ++view) {
    views_->make(options().seed, draws, view, item,
                 reinterpret_cast<std::int32_t*>(buffer.memory(view, row)));
  }
  lap.augment();
  lap.image();
}

}  // namespace clr
