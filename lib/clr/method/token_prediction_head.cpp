// SPDX-License-Identifier: Apache-2.0
#include "clr/method/token_prediction_head.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <torch/nn/init.h>

#include <vector>

#include "clr/core/error.h"
#include "clr/core/rng.h"

namespace clr {
namespace {

void require_sight(TextEncoder::Sight sight, PredictedTokens predicted) {
  const bool masked = predicted == PredictedTokens::masked;
  if (sight == (masked ? TextEncoder::Sight::all : TextEncoder::Sight::earlier)) return;
  throw Error(ErrorKind::config,
              masked
                  ? "/encoder: expected one whose tokens see all others (bert, causal = false) to "
                    "predict masked tokens, got one whose tokens do not"
                  : "/encoder: expected one whose tokens see those before them alone (bert, causal "
                    "= true) to predict next tokens, got another");
}

}  // namespace

TokenPredictionHead::TokenPredictionHead(const TextEncoder& encoder,
                                         std::shared_ptr<const WordPiece> pieces,
                                         PredictedTokens predicted, double mask_rate)
    : pieces_(std::move(pieces)),
      predicted_(predicted),
      mask_rate_(mask_rate),
      dense_(register_module("dense", torch::nn::Linear(encoder.piece_embeddings().size(1),
                                                        encoder.piece_embeddings().size(1)))),
      norm_(register_module(
          "LayerNorm",
          torch::nn::LayerNorm(
              torch::nn::LayerNormOptions({encoder.piece_embeddings().size(1)}).eps(1e-12)))),
      bias_(register_parameter("bias", at::zeros({encoder.piece_embeddings().size(0)}))) {
  require_sight(encoder.sight(), predicted);
  if (predicted == PredictedTokens::masked && pieces_->special().mask < 0) {
    throw Error(ErrorKind::config,
                "/text/vocabulary: expected a piece [MASK] to predict masked tokens, got none");
  }
  torch::nn::init::normal_(dense_->weight, 0, 0.02);
  torch::nn::init::zeros_(dense_->bias);
}

torch::Tensor TokenPredictionHead::forward(TextEncoder& encoder, const ViewGroup& group) {
  PackedTokens packed = pack_tokens(View{group.input.flatten(0, 1), group.flat_keys()});
  const Targets targets =
      predicted_ == PredictedTokens::masked ? hide(packed) : next_tokens(packed);
  const torch::Tensor states = encoder.states(packed, encoder.embed_tokens(packed));
  const torch::Tensor chosen = states.index_select(0, targets.places);
  const torch::Tensor logits = at::linear(norm_->forward(at::gelu(dense_->forward(chosen))),
                                          encoder.piece_embeddings(), bias_);
  // In float32 at least: a sum of exponentials over all pieces.
  const torch::Tensor wide = logits.to(c10::promoteTypes(logits.scalar_type(), torch::kFloat32));
  const torch::Tensor likelihoods =
      at::cross_entropy_loss(wide, targets.ids, {}, at::Reduction::None);
  const torch::Tensor right = wide.detach().argmax(1).eq(targets.ids).to(wide.scalar_type());
  const torch::Tensor tokens = at::stack({likelihoods, torch::ones_like(right), right}, 1);
  const torch::Tensor rows = packed.rows.index_select(0, targets.places);
  return at::zeros({packed.size(), 3}, tokens.options())
      .index_add(0, rows, tokens)
      .index_select(0, packed.order)
      .unflatten(0, {group.input.size(0), group.input.size(1)});
}

TokenPredictionHead::Targets TokenPredictionHead::hide(PackedTokens& packed) const {
  TORCH_CHECK(packed.keys.size() == packed.lengths.size(),
              "masked tokens are drawn by row keys: expected a batch that has them");
  const torch::Device device = packed.ids.device();
  torch::Tensor ids = packed.ids.cpu().clone();
  auto* id = ids.data_ptr<std::int64_t>();
  std::vector<std::int64_t> places;
  std::vector<std::int64_t> hidden;
  std::int64_t first = 0;
  for (std::size_t row = 0; row < packed.lengths.size(); ++row) {
    const std::int64_t length = packed.lengths[row];
    for (std::int64_t i = 1; i < length - 1; ++i) {
      // Draw 0: whether; 1: what becomes of it; 2: the other piece.
      const Rng rng(static_cast<std::uint64_t>(packed.keys[row]),
                    {static_cast<std::uint64_t>(i), 0, 0}, OpId::token_prediction);
      if (rng.uniform(0) >= mask_rate_) continue;
      std::int64_t& token = id[first + i];
      places.push_back(first + i);
      hidden.push_back(token);
      const float what = rng.uniform(1);
      if (what < 0.8F) {
        token = pieces_->special().mask;
      } else if (what < 0.9F) {
        token = rng.integer(2, static_cast<std::uint32_t>(pieces_->size()));
      }
    }
    first += length;
  }
  packed.ids = ids.to(device);
  return {to_tensor(places, device), to_tensor(hidden, device)};
}

TokenPredictionHead::Targets TokenPredictionHead::next_tokens(const PackedTokens& packed) {
  std::vector<std::int64_t> places;
  std::int64_t first = 0;
  for (const std::int64_t length : packed.lengths) {
    for (std::int64_t i = 0; i + 1 < length; ++i) places.push_back(first + i);
    first += length;
  }
  const torch::Tensor tokens = to_tensor(places, packed.ids.device());
  return {tokens, packed.ids.index_select(0, tokens + 1)};
}

TokenTotals token_totals(const torch::Tensor& rows, const torch::Tensor& everyones) {
  // A batch may be without a hidden token.
  const torch::Tensor count = everyones[1].clamp_min(1);
  return {rows.select(2, 0).sum() / count, rows.detach().select(2, 2).sum() / count};
}

}  // namespace clr
