// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <string>

#include "clr/model/encoder.h"
#include "clr/model/packed_tokens.h"

namespace clr {

/// An encoder of texts, in the two halves that methods on tokens work between.
class TextEncoder : public Encoder {
 public:
  InputKind input_kind() const final { return InputKind::tokens; }

  torch::Tensor forward(const View& view) override {
    const PackedTokens packed = pack_tokens(view);
    return features(packed, embed_tokens(packed));
  }

  /// The embedding of each piece of the vocabulary, [pieces, D], trained.
  virtual const torch::Tensor& piece_embeddings() const = 0;

  /// What the first layer is given of each token, [T, D], in the packed order.
  virtual torch::Tensor embed_tokens(const PackedTokens& packed) = 0;

  /// Features [N, F] of texts whose tokens are embedded so, [T, D]; rows as in the view.
  virtual torch::Tensor features(const PackedTokens& packed, const torch::Tensor& embedded) = 0;

  /// What the last layer makes of each token, [T, D], in the packed order.
  virtual torch::Tensor states(const PackedTokens& packed, const torch::Tensor& embedded) = 0;

  /// Whether training does something at random to embeddings of tokens.
  virtual bool augments_embeddings() const = 0;

  /// Which tokens have a part in a token's state.
  enum class Sight { itself, earlier, all };
  virtual Sight sight() const = 0;
};

/// `encoder` as one of texts. Throws:  Error{config} naming `method`, which works on tokens.
TextEncoder& require_text_encoder(Encoder& encoder, const std::string& method);

}  // namespace clr
