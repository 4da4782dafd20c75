// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "clr/config/fields.h"
#include "clr/model/packed_tokens.h"

namespace clr {

/// `encoder.embedding_augment`: what training does at random to the embeddings of a text's tokens, so that
/// views of the same words differ. [CLS] and [SEP] keep their place and are never cut off.
///
/// Draws:   by each row's key, as dropout's: not of the batch.
/// Source:  arXiv:2105.11741 (ConSERT), whose code cuts off int(share * D) features of each text; here
///          each feature, and each token, is drawn for itself. What stays is not scaled up, as there.
struct EmbeddingAugment {
  double token_cutoff = 0.0;
  double feature_cutoff = 0.0;
  bool position_shuffle = false;
  double noise = 0.0;

  static void fields(auto&& f) {
    f("token_cutoff", &EmbeddingAugment::token_cutoff, In{0, 1},
      "probability that a token's embedding becomes 0");
    f("feature_cutoff", &EmbeddingAugment::feature_cutoff, In{0, 1},
      "probability that a feature becomes 0 in all tokens of a text");
    f("position_shuffle", &EmbeddingAugment::position_shuffle,
      "tokens get each other's positions, those of [CLS] and [SEP] excepted");
    f("noise", &EmbeddingAugment::noise, In{0, 100},
      "deviation of normal noise that is added to every embedding");
  }

  /// Whether apply() does anything.
  bool active() const { return token_cutoff > 0 || feature_cutoff > 0 || noise > 0; }

  /// Embeddings x [T, D] of `packed`, which has keys.
  torch::Tensor apply(const torch::Tensor& x, const PackedTokens& packed) const;

  /// The positions of the tokens of `packed`, which has keys; shuffled if that is wanted.
  torch::Tensor positions(const PackedTokens& packed) const;
};

}  // namespace clr
