// SPDX-License-Identifier: Apache-2.0
#include "clr/text/token_operation.h"

// Every operation, in the order of the documentation. Each is one file of this folder, NAME.cpp, that
// defines NAME_entry().
#define CLR_TOKEN_OPERATIONS(X) \
  X(token_delete)               \
  X(token_swap)                 \
  X(token_repeat)               \
  X(token_mask)                 \
  X(span_delete)                \
  X(sentence_shuffle)

namespace clr {

std::vector<std::size_t> word_bounds(const std::vector<std::int32_t>& ids,
                                     const WordPiece& pieces) {
  std::vector<std::size_t> bounds;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i == 0 || !pieces.goes_on(ids[i])) bounds.push_back(i);
  }
  bounds.push_back(ids.size());
  return bounds;
}

#define CLR_DECLARE(name) TokenOperationEntry name##_entry();
CLR_TOKEN_OPERATIONS(CLR_DECLARE)
#undef CLR_DECLARE

const TokenOperationRegistry& token_operations() {
#define CLR_ENTRY(name) name##_entry(),
  static const TokenOperationRegistry registry({CLR_TOKEN_OPERATIONS(CLR_ENTRY)});
#undef CLR_ENTRY
  return registry;
}

}  // namespace clr
