// SPDX-License-Identifier: Apache-2.0
// The mean of a text's token embeddings, and nothing else: no order, no context, thousands of texts a
// second on one core. Source: arXiv:1803.02893 (averaged vectors as a baseline of sentence encoders);
// sentence-transformers' StaticEmbedding.
//
// Differs: [CLS] and [SEP], which every text has, are left out; a text without any other token is 0.
#include <ATen/ops/arange.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/embedding_bag.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <memory>

#include "clr/model/embedding_augment.h"
#include "clr/model/embedding_table.h"
#include "clr/model/text_encoder.h"

namespace clr {
namespace {

struct Options {
  std::int64_t vocabulary = 0;
  std::int64_t width = 256;
  EmbeddingAugment embedding_augment;

  static void fields(auto&& f) {
    f("vocabulary", &Options::vocabulary, In{0, 1 << 24},
      "pieces that have an embedding; 0: those of text.vocabulary");
    f("width", &Options::width, In{1, 16384}, "width of an embedding, and of the features");
    f("embedding_augment", &Options::embedding_augment,
      "what training does at random to the embeddings of tokens");
  }

  void validate(const Place& place) const {
    if (!embedding_augment.position_shuffle) return;
    (place / "embedding_augment" / "position_shuffle")
        .fail("expected false for encoder static, which knows no positions, got true");
  }
};

/// `embeddings`: word_embeddings.
class Embeddings : public torch::nn::Module {
 public:
  explicit Embeddings(const Options& options)
      : words(register_module("word_embeddings", std::make_shared<EmbeddingTable>(
                                                     options.vocabulary, options.width))) {}
  std::shared_ptr<EmbeddingTable> words;
};

class StaticEmbedding : public TextEncoder {
 public:
  explicit StaticEmbedding(const Options& options)
      : options_(options),
        embeddings_(register_module("embeddings", std::make_shared<Embeddings>(options))) {}

  /// Without the embedding of each token for itself, unless something is done to it.
  torch::Tensor forward(const View& view) override {
    require_tokens(view);
    if (is_training() && view.keys.defined() && options_.embedding_augment.active())
      return TextEncoder::forward(view);
    const torch::Tensor& tokens = view.input;
    const torch::Tensor last = tokens.ge(0).sum(1, /*keepdim=*/true) - 1;
    const torch::Tensor place = at::arange(tokens.size(1), last.options()).unsqueeze(0);
    const torch::Tensor inside = place.ge(1).logical_and(place.lt(last));
    const torch::Tensor counts = inside.sum(1);
    const torch::Tensor ids = tokens.masked_select(inside).to(torch::kInt64);
    const torch::Tensor offsets = counts.cumsum(0) - counts;
    constexpr std::int64_t kMean = 1;
    return std::get<0>(
        at::embedding_bag(embeddings_->words->weight, ids, offsets, false, kMean, false));
  }

  const torch::Tensor& piece_embeddings() const override { return embeddings_->words->weight; }

  torch::Tensor embed_tokens(const PackedTokens& packed) override {
    const torch::Tensor x = at::embedding(embeddings_->words->weight, packed.ids);
    const EmbeddingAugment& augment = options_.embedding_augment;
    const bool draws = is_training() && !packed.keys.empty();
    return draws && augment.active() ? augment.apply(x, packed) : x;
  }

  torch::Tensor features(const PackedTokens& packed, const torch::Tensor& embedded) override {
    const torch::Tensor inner = packed.inner();
    const torch::Tensor rows = packed.rows.index_select(0, inner);
    const torch::Tensor sums = at::zeros({packed.size(), embedded.size(1)}, embedded.options())
                                   .index_add(0, rows, embedded.index_select(0, inner));
    const torch::Tensor counts = (torch::tensor(packed.lengths, torch::kInt64) - 2).clamp_min(1);
    return (sums / counts.to(embedded.device(), embedded.scalar_type()).unsqueeze(1))
        .index_select(0, packed.order);
  }

  torch::Tensor states(const PackedTokens&, const torch::Tensor& embedded) override {
    return embedded;
  }

  bool augments_embeddings() const override { return options_.embedding_augment.active(); }

  Sight sight() const override { return Sight::itself; }

  std::int64_t feature_dim() const override { return options_.width; }

  std::int64_t layers() const override { return 0; }
  std::int64_t layer_of(const std::string&) const override { return 0; }

 private:
  Options options_;
  std::shared_ptr<Embeddings> embeddings_;
};

}  // namespace

EncoderEntry static_encoder() {
  return make_entry<std::shared_ptr<Encoder>, Options>(
      "static", "mean of token embeddings, for texts; quick, and knows no order",
      [](const Options& options) -> std::shared_ptr<Encoder> {
        return std::make_shared<StaticEmbedding>(options);
      });
}

}  // namespace clr
