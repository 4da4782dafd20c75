// SPDX-License-Identifier: Apache-2.0
// Predicting tokens, as BERT and GPT are trained: no pairs, no negatives. What it leaves in an encoder is a
// beginning for methods that compare texts (--init).
//
// Objective: the mean over predicted tokens of -log softmax over all pieces (arXiv:1810.04805, section 3.1;
// next tokens: GPT). method/token_prediction_head.h says how tokens are hidden.
// Differs from the reference: no prediction of next sentences, which RoBERTa dropped (arXiv:1907.11692);
// a token is chosen for itself, not a fixed number a text.
#include "clr/method/token_prediction_head.h"

#include "clr/method/method.h"

namespace clr {
namespace {

struct Options {
  PredictedTokens predict = PredictedTokens::masked;
  double mask_rate = 0.15;

  static void fields(auto&& f) {
    f("predict", &Options::predict,
      "masked: tokens that were hidden, from all others; next: each token from those before it, "
      "which wants encoder.causal");
    f("mask_rate", &Options::mask_rate, In{0.001, 0.9}, "masked: share of tokens that is hidden");
  }
};

class TokenPrediction : public Method {
 public:
  TokenPrediction(const Options& options, const MethodContext& context)
      : encoder_(register_module("encoder", context.make_encoder())),
        text_encoder_(require_text_encoder(*encoder_, "token_prediction")),
        head_(register_module(
            "prediction", std::make_shared<TokenPredictionHead>(
                              text_encoder_, context.pieces, options.predict, options.mask_rate))) {
  }

  Embeddings embed(const Batch& batch) override {
    return {{head_->forward(text_encoder_, batch.views(0))}};
  }

  StepOutput loss(const Embeddings& embeddings, const Batch&, const StepContext&) override {
    const torch::Tensor& rows = embeddings.z.at(0);
    const TokenTotals totals = token_totals(rows, sum(rows.flatten(0, 1).sum(0)));
    StepOutput output;
    output.loss = totals.loss;
    output.metrics = {{"token_accuracy", totals.accuracy}};
    return output;
  }

  Encoder& encoder() override { return *encoder_; }

 private:
  std::shared_ptr<Encoder> encoder_;
  TextEncoder& text_encoder_;
  std::shared_ptr<TokenPredictionHead> head_;
};

}  // namespace

MethodEntry token_prediction_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "token_prediction",
      "texts: hidden or next tokens are predicted (BERT, GPT); a beginning for others",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<TokenPrediction>(options, context);
      });
}

}  // namespace clr
