// SPDX-License-Identifier: Apache-2.0
// The mean of a text's token embeddings, and nothing else: no order, no context, thousands of texts a
// second on one core. Source: arXiv:1803.02893 (averaged vectors as a baseline of sentence encoders);
// sentence-transformers' StaticEmbedding.
//
// Differs: [CLS] and [SEP], which every text has, are left out; a text without any other token is 0.
#include <ATen/ops/arange.h>
#include <ATen/ops/embedding_bag.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <memory>

#include "clr/model/encoder.h"
#include "clr/model/packed_tokens.h"

namespace clr {
namespace {

struct Options {
  std::int64_t vocabulary = 0;
  std::int64_t width = 256;

  static void fields(auto&& f) {
    f("vocabulary", &Options::vocabulary, In{0, 1 << 24},
      "pieces that have an embedding; 0: those of text.vocabulary");
    f("width", &Options::width, In{1, 16384}, "width of an embedding, and of the features");
  }
};

/// `word_embeddings`: weight.
class Words : public torch::nn::Module {
 public:
  explicit Words(const Options& options) {
    weight = register_parameter("weight",
                                at::empty({options.vocabulary, options.width}).normal_(0, 0.02));
  }
  torch::Tensor weight;
};

/// `embeddings`: word_embeddings.
class Embeddings : public torch::nn::Module {
 public:
  explicit Embeddings(const Options& options)
      : words(register_module("word_embeddings", std::make_shared<Words>(options))) {}
  std::shared_ptr<Words> words;
};

class StaticEmbedding : public Encoder {
 public:
  explicit StaticEmbedding(const Options& options)
      : options_(options),
        embeddings_(register_module("embeddings", std::make_shared<Embeddings>(options))) {}

  InputKind input_kind() const override { return InputKind::tokens; }

  torch::Tensor forward(const View& view) override {
    require_tokens(view);
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
