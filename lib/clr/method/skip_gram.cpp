// SPDX-License-Identifier: Apache-2.0
// Word vectors of word2vec: a word foretells the words around it (skip_gram), or they together foretell
// it (cbow). Trains the table of encoder static; a text's features are the mean of its words.
//
// Objective: with v of the table, u of a second one that only training has, and noise words k,
//
//   skip_gram  of each word i and each word j around it:
//              -log s(u_j . v_i) - negatives * mean over k of log s(-u_k . v_i)
//   cbow       the same with v_i the mean of the words around i, and j = i
//
// the mean over these predictions; s is the logistic function. Source: arXiv:1310.4546, eq. 4, and
// arXiv:1301.3781. Around: at most b words away, b drawn for each word from [1, window]; words that are
// frequent are left out first, with probability 1 - sqrt(t / f) - t / f as the authors' code has it.
//
// Differs from the reference: words are pieces. Noise is drawn once a step, from counts to the power
// 0.75, and all predictions share it, so that it is one product of matrices instead of a gathered row a
// draw: the same expectation. It may hold the word itself, which the code leaves out.
#include <ATen/ops/embedding.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/softplus.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "clr/core/error.h"
#include "clr/method/method.h"
#include "clr/model/embedding_table.h"
#include "clr/model/text_encoder.h"
#include "clr/text/wordpiece.h"

namespace clr {
namespace {

enum class Mode { skip_gram, cbow };
constexpr auto enum_names(Mode) { return std::array{"skip_gram", "cbow"}; }

struct Options {
  Mode mode = Mode::skip_gram;
  std::int64_t window = 5;
  double negatives = 5.0;
  std::int64_t noise_words = 256;
  double noise_power = 0.75;
  double subsample = 1e-3;

  static void fields(auto&& f) {
    f("mode", &Options::mode,
      "a word foretells those around it, or they together foretell it (cbow)");
    f("window", &Options::window, In{1, 255}, "how many words away those around it are at most");
    f("negatives", &Options::negatives, Above{0}, "weight of the noise: words of it a prediction");
    f("noise_words", &Options::noise_words, In{1, 1 << 16},
      "noise words drawn a step, which all its predictions share");
    f("noise_power", &Options::noise_power, In{0, 1},
      "noise words are drawn by counts to this power");
    f("subsample", &Options::subsample, In{0, 1},
      "a word's share of the data above which some of it is left out (t); 0: none is");
  }
};

/// A step's predictions.
struct Predictions {
  std::vector<std::int64_t> words;   ///< [K]: pieces, row by row
  std::vector<std::int64_t> row_of;  ///< [K]: of the view
  std::vector<std::int64_t> from;    ///< [P]: a word's place in `words`,
  std::vector<std::int64_t> around;  ///< [P]: and that of one around it
};

class SkipGram : public Method {
 public:
  SkipGram(const Options& options, const MethodContext& context)
      : options_(options), encoder_(register_module("encoder", context.make_encoder())) {
    TextEncoder& text = require_text_encoder(*encoder_, "skip_gram");
    if (text.sight() != TextEncoder::Sight::itself) {
      throw Error(
          ErrorKind::config,
          "/encoder/type: expected static for skip_gram, which trains a table of words, got "
          "an encoder of more");
    }
    if (text.augments_embeddings()) {
      throw Error(
          ErrorKind::config,
          "/encoder/embedding_augment: expected none for skip_gram, which works on the table "
          "itself, got some");
    }
    table_ = text.piece_embeddings();
    context_ = register_module("context",
                               std::make_shared<EmbeddingTable>(table_.size(0), table_.size(1)));
    torch::nn::init::zeros_(context_->weight);
    const std::vector<std::int64_t> counts =
        context.piece_counts
            ? context.piece_counts()
            : std::vector<std::int64_t>(static_cast<std::size_t>(table_.size(0)), 1);
    set_shares(counts);
  }

  void before_step(const StepContext& context) override {
    std::vector<std::int64_t> noise;
    for (std::int64_t k = 0; k < options_.noise_words; ++k) {
      const Rng rng = context.rng(static_cast<std::uint32_t>(k / 256));
      const double at = static_cast<double>(rng.uniform(static_cast<std::uint32_t>(k % 256))) *
                        noise_ends_.back();
      const auto found = std::upper_bound(noise_ends_.begin(), noise_ends_.end() - 1, at);
      noise.push_back(found - noise_ends_.begin());
    }
    noise_ = to_tensor(noise, table_.device());
  }

  Embeddings embed(const Batch& batch) override {
    const ViewGroup group = batch.views(0);
    const Predictions drawn = draw(View{group.input.flatten(0, 1), group.flat_keys()});
    const torch::Device device = table_.device();
    const torch::Tensor words = to_tensor(drawn.words, device);
    const torch::Tensor row_of = to_tensor(drawn.row_of, device);
    const torch::Tensor from = to_tensor(drawn.from, device);
    const torch::Tensor around = to_tensor(drawn.around, device);
    const torch::Tensor v = at::embedding(table_, words);
    const torch::Tensor noise = at::embedding(context_->weight, noise_);
    const torch::Tensor count = torch::zeros({words.size(0)}, v.options())
                                    .index_add(0, from, torch::ones({from.size(0)}, v.options()));
    torch::Tensor likelihoods;  // [K]: negative logarithms, of each word's predictions summed
    torch::Tensor predictions;  // [K]: how many these are
    if (options_.mode == Mode::skip_gram) {
      const torch::Tensor u = at::embedding(context_->weight, words);
      const torch::Tensor scores = (v.index_select(0, from) * u.index_select(0, around)).sum(1);
      likelihoods =
          count * noise_term(v, noise) +
          torch::zeros({words.size(0)}, v.options()).index_add(0, from, at::softplus(-scores));
      predictions = count;
    } else {
      const torch::Tensor means =
          torch::zeros_like(v).index_add(0, from, v.index_select(0, around)) /
          count.clamp_min(1).unsqueeze(1);
      const torch::Tensor scores = (means * at::embedding(context_->weight, words)).sum(1);
      predictions = count.gt(0).to(v.scalar_type());
      likelihoods = predictions * (at::softplus(-scores) + noise_term(means, noise));
    }
    const torch::Tensor rows =
        torch::zeros({group.input.size(0) * group.input.size(1), 2}, v.options())
            .index_add(0, row_of, torch::stack({likelihoods, predictions}, 1));
    return {{for_loss(rows.unflatten(0, {group.input.size(0), group.input.size(1)}))}};
  }

  StepOutput loss(const Embeddings& embeddings, const Batch&, const StepContext&) override {
    const torch::Tensor& rows = embeddings.z.at(0);
    const torch::Tensor count = sum(rows.flatten(0, 1).sum(0))[1];
    StepOutput output;
    output.loss = rows.select(2, 0).sum() / count.clamp_min(1);
    output.metrics = {{"predictions", equal_share(count)}};
    return output;
  }

  Encoder& encoder() override { return *encoder_; }

 private:
  /// [K]: what the noise adds to each prediction from rows x [K, D].
  torch::Tensor noise_term(const torch::Tensor& x, const torch::Tensor& noise) const {
    return options_.negatives * at::softplus(at::mm(x, noise.t())).mean(1);
  }

  void set_shares(const std::vector<std::int64_t>& counts) {
    const auto total = static_cast<double>(
        std::max<std::int64_t>(1, std::accumulate(counts.begin(), counts.end(), std::int64_t{0})));
    double end = 0.0;
    for (const std::int64_t count : counts) {
      end += count == 0 ? 0.0 : std::pow(static_cast<double>(count), options_.noise_power);
      noise_ends_.push_back(end);
      const double share = static_cast<double>(count) / total;
      const double ratio = options_.subsample / std::max(share, 1e-300);
      kept_.push_back(options_.subsample == 0 ? 1.0 : std::sqrt(ratio) + ratio);
    }
  }

  /// Draw 0 of a word: whether it stays; 1: how far around it.
  Predictions draw(const View& view) const {
    require_tokens(view);
    TORCH_CHECK(view.keys.defined(), "skip_gram draws by row keys: expected a batch that has them");
    const torch::Tensor tokens = view.input.cpu().contiguous();
    const auto* ids = tokens.const_data_ptr<std::int32_t>();
    const auto* keys = view.keys.const_data_ptr<std::int64_t>();
    const std::int64_t most = tokens.size(1);
    Predictions result;
    std::vector<std::int64_t> reach;
    for (std::int64_t row = 0; row < tokens.size(0); ++row) {
      const auto* begin = ids + row * most;
      const std::int64_t length = std::find(begin, begin + most, -1) - begin;
      const auto first = static_cast<std::int64_t>(result.words.size());
      reach.clear();
      for (std::int64_t i = 1; i < length - 1; ++i) {  // Without [CLS] and [SEP].
        const Rng rng(static_cast<std::uint64_t>(keys[row]), {static_cast<std::uint64_t>(i), 0, 0},
                      OpId::skip_gram);
        const std::int64_t id = begin[i];
        if (static_cast<double>(rng.uniform(0)) >= kept_[static_cast<std::size_t>(id)]) continue;
        result.words.push_back(id);
        result.row_of.push_back(row);
        reach.push_back(1 + rng.integer(1, static_cast<std::uint32_t>(options_.window)));
      }
      const auto count = static_cast<std::int64_t>(reach.size());
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t b = reach[static_cast<std::size_t>(i)];
        for (std::int64_t j = std::max<std::int64_t>(0, i - b); j <= std::min(count - 1, i + b);
             ++j) {
          if (j == i) continue;
          result.from.push_back(first + i);
          result.around.push_back(first + j);
        }
      }
    }
    return result;
  }

  Options options_;
  std::shared_ptr<Encoder> encoder_;
  torch::Tensor table_;
  std::shared_ptr<EmbeddingTable> context_;
  std::vector<double> noise_ends_;  ///< of each piece: the sum of its and all before its weights
  std::vector<double> kept_;        ///< of each piece: the probability that it stays
  torch::Tensor noise_;             ///< this step's
};

}  // namespace

MethodEntry skip_gram_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "skip_gram", "texts: word vectors from the words around them (word2vec)",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<SkipGram>(options, context);
      });
}

}  // namespace clr
