// SPDX-License-Identifier: Apache-2.0
// BERT as an encoder of sentences, with Hugging Face's structure and names (BertModel, the pooler left
// out but for `cls_head`). Source: arXiv:1810.04805; arXiv:1908.10084 for mean pooling, arXiv:2104.08821 for
// the head that only training has.
//
// Differs: tokens of a batch lie one after the other, without padding, in all that works on single tokens;
// dropout is drawn by row keys (model/keyed_dropout.h). Without row keys nothing is dropped. Of two
// segments a sentence is the first.
#include <ATen/ops/embedding.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <cmath>
#include <limits>
#include <memory>

#include "clr/core/error.h"
#include "clr/model/embedding_augment.h"
#include "clr/model/embedding_table.h"
#include "clr/model/keyed_dropout.h"
#include "clr/model/text_encoder.h"

namespace clr {
namespace {

enum class Pooling { cls, mean, mean_last2, mean_first_last, max };
constexpr auto enum_names(Pooling) {
  return std::array{"cls", "mean", "mean_last2", "mean_first_last", "max"};
}

struct Options {
  std::int64_t vocabulary = 0;
  std::int64_t layers = 6;
  std::int64_t width = 384;
  std::int64_t heads = 12;
  std::int64_t intermediate = 1536;
  std::int64_t positions = 512;
  double dropout = 0.1;
  double attention_dropout = 0.1;
  EmbeddingAugment embedding_augment;
  bool causal = false;
  Pooling pooling = Pooling::mean;
  bool cls_head = false;
  double norm_epsilon = 1e-12;

  static void fields(auto&& f) {
    f("vocabulary", &Options::vocabulary, In{0, 1 << 24},
      "pieces that have an embedding; 0: those of text.vocabulary");
    f("layers", &Options::layers, In{1, 128}, "transformer layers");
    f("width", &Options::width, In{1, 16384}, "width of a token's embedding, and of the features");
    f("heads", &Options::heads, In{1, 1024}, "attention heads; they divide the width");
    f("intermediate", &Options::intermediate, In{1, 1 << 20},
      "width between a layer's two products");
    f("positions", &Options::positions, In{2, 1 << 16},
      "positions that have an embedding: the longest text");
    f("dropout", &Options::dropout, In{0, 0.9}, "share of hidden values that training leaves out");
    f("attention_dropout", &Options::attention_dropout, In{0, 0.9},
      "share of attention weights that training leaves out");
    f("embedding_augment", &Options::embedding_augment,
      "what training does at random to the embeddings of tokens");
    f("causal", &Options::causal, "a token sees itself and those before it, as GPT's do");
    f("pooling", &Options::pooling,
      "features: of [CLS]; the mean (or maximum) over all tokens of the last layer; the mean of "
      "the last "
      "two layers, or of the first and last, over all tokens");
    f("cls_head", &Options::cls_head,
      "pooling cls: a dense layer and tanh on top in training alone, as SimCSE has it");
    f("norm_epsilon", &Options::norm_epsilon, In{0, 1}, "epsilon of the layer norms");
  }

  void validate(const Place& place) const {
    if (width % heads != 0) {
      (place / "heads").fail(fmt::format("expected a divisor of width = {}, got {}", width, heads));
    }
    if (causal && pooling == Pooling::cls) {
      (place / "pooling")
          .fail(
              "expected another than cls with causal, as the first token sees itself alone, got "
              "cls");
    }
    if (cls_head && pooling != Pooling::cls) {
      (place / "cls_head")
          .fail("expected pooling cls with it, got " + std::string(to_string(pooling)));
    }
  }
};

torch::nn::Linear linear(std::int64_t input, std::int64_t output) {
  torch::nn::Linear layer(input, output);
  torch::nn::init::normal_(layer->weight, 0, 0.02);
  torch::nn::init::zeros_(layer->bias);
  return layer;
}

torch::nn::LayerNorm norm(const Options& options) {
  return torch::nn::LayerNorm(
      torch::nn::LayerNormOptions({options.width}).eps(options.norm_epsilon));
}

/// What a forward pass of a layer needs beside its input.
struct Pass {
  const PackedTokens& packed;
  bool drop = false;  ///< in training, with keys

  torch::Tensor dropout(const torch::Tensor& x, double p, std::uint32_t slot) const {
    if (!drop || p == 0) return x;
    std::vector<std::int64_t> elements = packed.lengths;
    for (std::int64_t& count : elements) count *= x.size(1);
    return keyed_dropout(x, p, slot, packed.keys, elements);
  }
};

/// Slots of keyed draws: the embeddings', then three a layer.
std::uint32_t slot_of(std::int64_t layer, std::uint32_t which) {
  return static_cast<std::uint32_t>(1 + 3 * layer) + which;
}

class Embeddings : public torch::nn::Module {
 public:
  explicit Embeddings(const Options& options)
      : options_(options),
        words_(register_module("word_embeddings", std::make_shared<EmbeddingTable>(
                                                      options.vocabulary, options.width))),
        positions_(register_module("position_embeddings", std::make_shared<EmbeddingTable>(
                                                              options.positions, options.width))),
        types_(register_module("token_type_embeddings",
                               std::make_shared<EmbeddingTable>(2, options.width))),
        norm_(register_module("LayerNorm", norm(options))) {}

  /// [T, D].
  torch::Tensor forward(const Pass& pass) {
    const EmbeddingAugment& augment = options_.embedding_augment;
    const torch::Tensor positions =
        pass.drop ? augment.positions(pass.packed) : pass.packed.positions;
    const torch::Tensor sum = at::embedding(words_->weight, pass.packed.ids) +
                              at::embedding(positions_->weight, positions) + types_->weight[0];
    const torch::Tensor x = pass.dropout(norm_->forward(sum), options_.dropout, 0);
    return pass.drop && augment.active() ? augment.apply(x, pass.packed) : x;
  }

  const torch::Tensor& words() const { return words_->weight; }

 private:
  Options options_;
  std::shared_ptr<EmbeddingTable> words_;
  std::shared_ptr<EmbeddingTable> positions_;
  std::shared_ptr<EmbeddingTable> types_;
  torch::nn::LayerNorm norm_;
};

/// `self`: query, key, value.
class SelfAttention : public torch::nn::Module {
 public:
  SelfAttention(const Options& options, std::int64_t layer)
      : options_(options),
        layer_(layer),
        query_(register_module("query", linear(options.width, options.width))),
        key_(register_module("key", linear(options.width, options.width))),
        value_(register_module("value", linear(options.width, options.width))) {}

  torch::Tensor forward(const torch::Tensor& x, const Pass& pass) {
    const torch::Tensor query = query_->forward(x);
    const torch::Tensor key = key_->forward(x);
    const torch::Tensor value = value_->forward(x);
    std::vector<torch::Tensor> parts;
    for (const PackedTokens::Group& group : pass.packed.groups) {
      const auto heads_first = [&](const torch::Tensor& all) {
        return PackedTokens::side_by_side(all, group)
            .unflatten(2, {options_.heads, -1})
            .transpose(1, 2);
      };
      const torch::Tensor seen =
          attend(heads_first(query), heads_first(key), heads_first(value), group, pass);
      parts.push_back(PackedTokens::one_after_the_other(seen.transpose(1, 2).flatten(2), group));
    }
    return parts.size() == 1 ? parts[0] : torch::cat(parts);
  }

 private:
  /// bool [rows or 1, 1, width or 1, width]: the places that a token sees; nothing: all.
  std::optional<torch::Tensor> seen_of(const PackedTokens::Group& group,
                                       const torch::Device& device) const {
    std::optional<torch::Tensor> seen;
    if (group.present.defined()) seen = group.present;
    if (!options_.causal) return seen;
    const torch::Tensor earlier =
        at::ones({1, 1, group.width, group.width}, torch::dtype(torch::kBool).device(device))
            .tril();
    return seen ? seen->logical_and(earlier) : earlier;
  }

  /// [rows, heads, width, d] each.
  torch::Tensor attend(const torch::Tensor& query, const torch::Tensor& key,
                       const torch::Tensor& value, const PackedTokens::Group& group,
                       const Pass& pass) const {
    const bool drop = pass.drop && options_.attention_dropout > 0;
    const std::optional<torch::Tensor> seen = seen_of(group, query.device());
    if (!drop) return at::scaled_dot_product_attention(query, key, value, seen);
    // LibTorch's fused kernels know no dropout of ours.
    torch::Tensor scores =
        at::matmul(query, key.transpose(2, 3)) / std::sqrt(static_cast<double>(query.size(3)));
    if (seen) {
      scores = scores.masked_fill(seen->logical_not(), -std::numeric_limits<double>::infinity());
    }
    const auto first = static_cast<std::ptrdiff_t>(group.first_row);
    const std::vector<std::int64_t> keys(pass.packed.keys.begin() + first,
                                         pass.packed.keys.begin() + first + group.rows);
    const torch::Tensor weights =
        keyed_attention_dropout(scores.softmax(3), options_.attention_dropout, slot_of(layer_, 0),
                                keys, options_.positions);
    return at::matmul(weights.to(value.scalar_type()), value);
  }

  Options options_;
  std::int64_t layer_;
  torch::nn::Linear query_;
  torch::nn::Linear key_;
  torch::nn::Linear value_;
};

/// `output`: dense and LayerNorm, after attention and after the wide product.
class Output : public torch::nn::Module {
 public:
  Output(const Options& options, std::int64_t input, std::uint32_t slot)
      : options_(options),
        slot_(slot),
        dense_(register_module("dense", linear(input, options.width))),
        norm_(register_module("LayerNorm", norm(options))) {}

  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& before, const Pass& pass) {
    return norm_->forward(pass.dropout(dense_->forward(x), options_.dropout, slot_) + before);
  }

 private:
  Options options_;
  std::uint32_t slot_;
  torch::nn::Linear dense_;
  torch::nn::LayerNorm norm_;
};

/// `attention`: self and output.
class Attention : public torch::nn::Module {
 public:
  Attention(const Options& options, std::int64_t layer)
      : self_(register_module("self", std::make_shared<SelfAttention>(options, layer))),
        output_(register_module(
            "output", std::make_shared<Output>(options, options.width, slot_of(layer, 1)))) {}

  torch::Tensor forward(const torch::Tensor& x, const Pass& pass) {
    return output_->forward(self_->forward(x, pass), x, pass);
  }

 private:
  std::shared_ptr<SelfAttention> self_;
  std::shared_ptr<Output> output_;
};

/// A module that holds one linear layer named `dense`.
class Dense : public torch::nn::Module {
 public:
  Dense(std::int64_t input, std::int64_t output)
      : dense_(register_module("dense", linear(input, output))) {}
  torch::Tensor forward(const torch::Tensor& x) { return dense_->forward(x); }

 private:
  torch::nn::Linear dense_;
};

class Layer : public torch::nn::Module {
 public:
  Layer(const Options& options, std::int64_t layer)
      : attention_(register_module("attention", std::make_shared<Attention>(options, layer))),
        intermediate_(register_module(
            "intermediate", std::make_shared<Dense>(options.width, options.intermediate))),
        output_(register_module(
            "output", std::make_shared<Output>(options, options.intermediate, slot_of(layer, 2)))) {
  }

  torch::Tensor forward(const torch::Tensor& x, const Pass& pass) {
    const torch::Tensor seen = attention_->forward(x, pass);
    return output_->forward(at::gelu(intermediate_->forward(seen)), seen, pass);
  }

 private:
  std::shared_ptr<Attention> attention_;
  std::shared_ptr<Dense> intermediate_;
  std::shared_ptr<Output> output_;
};

/// `layer`: 0, 1, ...
class Layers : public torch::nn::Module {
 public:
  void add(std::shared_ptr<Layer> layer) {
    all.push_back(register_module(std::to_string(all.size()), std::move(layer)));
  }
  std::vector<std::shared_ptr<Layer>> all;
};

/// `encoder`: layer.
class LayerStack : public torch::nn::Module {
 public:
  explicit LayerStack(const Options& options)
      : layers(register_module("layer", std::make_shared<Layers>())) {
    for (std::int64_t i = 0; i < options.layers; ++i)
      layers->add(std::make_shared<Layer>(options, i));
  }
  std::shared_ptr<Layers> layers;
};

class Bert : public TextEncoder {
 public:
  explicit Bert(const Options& options)
      : options_(options),
        embeddings_(register_module("embeddings", std::make_shared<Embeddings>(options))),
        stack_(register_module("encoder", std::make_shared<LayerStack>(options))) {
    if (options.cls_head) {
      pooler_ = register_module("pooler", std::make_shared<Dense>(options.width, options.width));
    }
  }

  const torch::Tensor& piece_embeddings() const override { return embeddings_->words(); }

  torch::Tensor embed_tokens(const PackedTokens& packed) override {
    require_known(packed);
    return embeddings_->forward(pass_of(packed));
  }

  torch::Tensor states(const PackedTokens& packed, const torch::Tensor& embedded) override {
    torch::Tensor x = embedded;
    for (const auto& layer : stack_->layers->all) x = layer->forward(x, pass_of(packed));
    return x;
  }

  bool augments_embeddings() const override {
    return options_.embedding_augment.active() || options_.embedding_augment.position_shuffle;
  }

  Sight sight() const override { return options_.causal ? Sight::earlier : Sight::all; }

  torch::Tensor features(const PackedTokens& packed, const torch::Tensor& embedded) override {
    const Pass pass = pass_of(packed);
    torch::Tensor x = embedded;
    torch::Tensor other;  // The layer that is pooled beside the last.
    const auto layers = static_cast<std::int64_t>(stack_->layers->all.size());
    const std::int64_t beside = options_.pooling == Pooling::mean_last2        ? layers - 1
                                : options_.pooling == Pooling::mean_first_last ? 0
                                                                               : -1;
    for (std::int64_t i = 0; i < layers; ++i) {
      // Hidden states are counted from the embeddings, as Hugging Face does: layer i makes state i + 1.
      if (i == beside && options_.pooling == Pooling::mean_last2) other = x;
      x = stack_->layers->all[static_cast<std::size_t>(i)]->forward(x, pass);
      if (i == beside && options_.pooling == Pooling::mean_first_last) other = x;
    }
    return pool(other.defined() ? (x + other) / 2 : x, packed).index_select(0, packed.order);
  }

  std::int64_t feature_dim() const override { return options_.width; }

  std::int64_t layers() const override { return options_.layers; }

  std::int64_t layer_of(const std::string& parameter) const override {
    constexpr std::string_view kLayers = "encoder.layer.";
    if (parameter.starts_with(kLayers)) return 1 + std::stoll(parameter.substr(kLayers.size()));
    return parameter.starts_with("pooler.") ? layers() + 1 : 0;
  }

 private:
  Pass pass_of(const PackedTokens& packed) const {
    return {packed, is_training() && !packed.keys.empty()};
  }

  void require_known(const PackedTokens& packed) const {
    const auto longest = packed.lengths.back();
    if (longest > options_.positions) {
      throw Error(
          ErrorKind::config,
          fmt::format(
              "/text/max_tokens: expected at most the encoder's {} positions, got a text of {} "
              "tokens; lower it",
              options_.positions, longest));
    }
  }

  /// [T, D] -> [N, D], rows as they are packed.
  torch::Tensor pool(const torch::Tensor& x, const PackedTokens& packed) {
    if (options_.pooling == Pooling::cls) {
      const torch::Tensor first = x.index_select(0, packed.positions.eq(0).nonzero().flatten());
      return pooler_ && is_training() ? pooler_->forward(first).tanh() : first;
    }
    if (options_.pooling == Pooling::max) {
      std::vector<torch::Tensor> parts;
      for (const PackedTokens::Group& group : packed.groups) {
        // Places without a token hold the row's last, which changes no maximum.
        parts.push_back(PackedTokens::side_by_side(x, group).amax(1));
      }
      return torch::cat(parts);
    }
    // Sums in float32 at least, whatever autocast makes of the layers.
    const torch::Tensor wide = x.to(c10::promoteTypes(x.scalar_type(), torch::kFloat32));
    const torch::Tensor sums =
        at::zeros({packed.size(), x.size(1)}, wide.options()).index_add(0, packed.rows, wide);
    const torch::Tensor counts =
        torch::tensor(packed.lengths, torch::kInt64).to(x.device(), wide.scalar_type());
    return sums / counts.unsqueeze(1);
  }

  Options options_;
  std::shared_ptr<Embeddings> embeddings_;
  std::shared_ptr<LayerStack> stack_;
  std::shared_ptr<Dense> pooler_;
};

}  // namespace

EncoderEntry bert_encoder() {
  return make_entry<std::shared_ptr<Encoder>, Options>(
      "bert", "BERT for texts; 6 layers of 384 as MiniLM's where nothing else is said",
      [](const Options& options) -> std::shared_ptr<Encoder> {
        return std::make_shared<Bert>(options);
      });
}

}  // namespace clr
