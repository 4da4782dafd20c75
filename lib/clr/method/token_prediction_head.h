// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>

#include "clr/core/batch.h"
#include "clr/model/text_encoder.h"
#include "clr/text/wordpiece.h"

namespace clr {

/// Which tokens an encoder foretells.
enum class PredictedTokens {
  masked,  ///< some, hidden from it (BERT)
  next,    ///< each one from those before it (GPT)
};
constexpr auto enum_names(PredictedTokens) { return std::array{"masked", "next"}; }

/// Foretells tokens from an encoder's states: a dense layer, GELU and layer norm, then products with the
/// encoder's own piece embeddings and a bias, as Hugging Face's BertLMPredictionHead. Only training has it.
///
/// Masked: each token but [CLS] and [SEP] is chosen with probability mask_rate; of the chosen 80 % become
/// [MASK], 10 % any piece, 10 % stay. Draws are by each row's key, so that they belong to a text and not to
/// its batch.
/// Memory:  pieces * foretold tokens, four times in training.
/// Source:  arXiv:1810.04805, section 3.1.
class TokenPredictionHead : public torch::nn::Module {
 public:
  /// Throws:  Error{config}: a vocabulary without [MASK], an encoder whose tokens see too little or, for
  ///          `next`, what they have to foretell.
  TokenPredictionHead(const TextEncoder& encoder, std::shared_ptr<const WordPiece> pieces,
                      PredictedTokens predicted, double mask_rate);

  /// Of each text: the sum of its foretold tokens' negative log-likelihoods in nats, how many these are,
  /// and how many had the largest probability. Only the first has a gradient.
  ///
  /// Shapes:  group [V, N, L] with keys -> [V, N, 3].
  torch::Tensor forward(TextEncoder& encoder, const ViewGroup& group);

 private:
  struct Targets {
    torch::Tensor places;  ///< int64 [M]: the token whose state foretells
    torch::Tensor ids;     ///< int64 [M]: what it should foretell
  };

  /// Hides tokens of `packed`.
  Targets hide(PackedTokens& packed) const;
  static Targets next_tokens(const PackedTokens& packed);

  std::shared_ptr<const WordPiece> pieces_;
  PredictedTokens predicted_;
  double mask_rate_;
  torch::nn::Linear dense_;
  torch::nn::LayerNorm norm_;
  torch::Tensor bias_;
};

/// What rows of forward() come to.
struct TokenTotals {
  torch::Tensor loss;      ///< the mean negative log-likelihood of a foretold token, in nats
  torch::Tensor accuracy;  ///< how many of them were right, without a gradient
};

/// This process's share of both. `everyones` [3]: the sum of all processes' rows.
TokenTotals token_totals(const torch::Tensor& rows, const torch::Tensor& everyones);

}  // namespace clr
