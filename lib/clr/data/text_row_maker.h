// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "clr/data/row_maker.h"
#include "clr/data/text_dataset.h"
#include "clr/data/token_store.h"
#include "clr/text/text_views.h"

namespace clr {

/// Makes views of texts, all of which it cuts into tokens at first.
///
/// Memory:  the tokens' (TokenStore).
class TextRowMaker final : public RowMaker {
 public:
  /// Throws:  Error{data} for fewer columns than the views need; with data.on_error = fail, for the
  ///          first text that cannot be read.
  TextRowMaker(std::shared_ptr<const TextDataset> texts, std::shared_ptr<const TextViews> views,
               const LoaderOptions& options);

  std::vector<GroupLayout> layout() const override;

 protected:
  void render(std::int64_t index, RngAddress draws, BatchBuffer& buffer,
              std::int64_t row) const override;

 private:
  std::shared_ptr<const TextDataset> texts_;
  std::shared_ptr<const TextViews> views_;
  TokenStore store_;
};

}  // namespace clr
