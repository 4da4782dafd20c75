// SPDX-License-Identifier: Apache-2.0
#include "clr/core/error.h"
#include "clr/text/vocabulary.h"

namespace clr {

std::vector<std::string> learn_vocabulary(const std::function<std::optional<std::string_view>()>&,
                                          const VocabularyOptions&) {
  throw Error(
      ErrorKind::usage,
      "data vocab: this build has no SentencePiece, which learns vocabularies; take one that "
      "is there (BERT's vocab.txt), or build with -D CLR_SENTENCEPIECE=ON");
}

}  // namespace clr
