// SPDX-License-Identifier: Apache-2.0
// Methods that work on tokens. Mistakes that must show here: [CLS] hidden or foretold; a foretold token
// seen; masks by place in the batch; noise by counts alone; a window that runs into the next text; an
// adversarial step that goes down, or has another length.
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <map>

#include "clr/core/error.h"
#include "clr/method/token_prediction_head.h"
#include "method/method_fixtures.h"
#include "support/catch.h"

namespace {

using clr::Batch;
using clr::Json;
using clr::Method;
using clr::MethodContext;
using clr::PredictedTokens;
using clr::TextEncoder;
using clr::TokenPredictionHead;
using clr::View;
using clr::ViewGroup;
using clr::test::add_texts;
using clr::test::batch_for;
using clr::test::describe;
using clr::test::make;
using clr::test::make_described;
using clr::test::suited;
using clr::test::tiny_bert;
using clr::test::tiny_context;
using clr::test::tiny_pieces;
using torch::Tensor;

constexpr std::int64_t kMask = 4;
const clr::StepContext kStep{5, 0, 20, 3};

std::shared_ptr<clr::Encoder> encoder(const Json& json) {
  torch::manual_seed(5);
  auto made = clr::encoders().make(describe<clr::Encoder>(json));
  made->to(torch::kFloat64);
  made->eval();
  return made;
}

ViewGroup texts(std::int64_t views, std::int64_t count) {
  Batch batch;
  add_texts(batch, views, count);
  return batch.views(0);
}

double away(const Tensor& a, const Tensor& b) { return ((a - b).norm() / b.norm()).item<double>(); }

std::string refusal(const Json& method, const MethodContext& context) {
  try {
    make_described(method, context);
  } catch (const clr::Error& error) {
    CATCH_CHECK(error.kind() == clr::ErrorKind::config);
    return error.what();
  }
  return "";
}

/// An encoder that notes the tokens it is given.
class Noting : public TextEncoder {
 public:
  Noting() { table_ = register_parameter("table", torch::randn({40, 4})); }
  std::int64_t feature_dim() const override { return 4; }
  std::int64_t layers() const override { return 0; }
  std::int64_t layer_of(const std::string&) const override { return 0; }
  const Tensor& piece_embeddings() const override { return table_; }
  Tensor embed_tokens(const clr::PackedTokens& packed) override {
    seen = packed;
    return table_.index_select(0, packed.ids);
  }
  Tensor features(const clr::PackedTokens&, const Tensor& x) override { return x; }
  Tensor states(const clr::PackedTokens&, const Tensor& x) override { return x; }
  bool augments_embeddings() const override { return false; }
  Sight sight() const override { return Sight::all; }

  clr::PackedTokens seen;

 private:
  Tensor table_;
};

}  // namespace

CATCH_TEST_CASE("tokens are hidden as BERT has it, by a text's key", "[method]") {
  Noting noting;
  constexpr double kRate = 0.3;
  TokenPredictionHead head(noting, tiny_pieces(), PredictedTokens::masked, kRate);
  const ViewGroup group = texts(1, 2000);
  const Tensor rows = head.forward(noting, group);
  CATCH_REQUIRE(rows.sizes() == torch::IntArrayRef({1, 2000, 3}));
  const clr::PackedTokens before = clr::pack_tokens(View{group.input[0], group.keys[0]});
  const Tensor inner = before.inner();
  const auto tokens = static_cast<double>(inner.size(0));
  const double foretold = rows.select(2, 1).sum().item<double>();
  // Four deviations.
  CATCH_CHECK(std::abs(foretold / tokens - kRate) < 4 * std::sqrt(kRate * (1 - kRate) / tokens));
  const Tensor changed = noting.seen.ids.ne(before.ids);
  CATCH_CHECK_FALSE(
      changed.index_select(0, before.positions.eq(0).nonzero().flatten()).any().item<bool>());
  CATCH_CHECK(changed.sum().item<double>() == changed.index_select(0, inner).sum().item<double>());
  const Tensor masked = noting.seen.ids.eq(kMask);
  CATCH_CHECK(std::abs(masked.sum().item<double>() / foretold - 0.8) <
              4 * std::sqrt(0.16 / foretold) + 0.1 / 40);
  const Tensor other = changed.logical_and(masked.logical_not());
  CATCH_CHECK(std::abs(other.sum().item<double>() / foretold - 0.1 * 38 / 40) <
              4 * std::sqrt(0.09 / foretold));

  // A text alone is hidden as it is among others.
  for (const std::int64_t n : {0, 7, 1999}) {
    const Tensor alone =
        head.forward(noting, {group.input.narrow(1, n, 1), group.keys.narrow(1, n, 1)});
    CATCH_CHECK(torch::allclose(alone[0][0], rows[0][n]));
  }
  const Tensor others = head.forward(noting, {group.input, group.keys + 1});
  CATCH_CHECK_FALSE(torch::equal(others.select(2, 1), rows.select(2, 1)));
}

CATCH_TEST_CASE("the likelihood of tokens is that of the formula", "[method]") {
  const torch::NoGradGuard no_grad;
  const auto bert = encoder(tiny_bert({{"causal", true}}));
  TextEncoder& text = clr::require_text_encoder(*bert, "test");
  TokenPredictionHead head(text, tiny_pieces(), PredictedTokens::next, 0.15);
  head.to(torch::kFloat64);
  for (auto& parameter : head.parameters()) parameter.add_(0.1 * torch::randn_like(parameter));
  const ViewGroup group = texts(2, 5);
  const Tensor rows = head.forward(text, group);
  const auto parameters = head.named_parameters();
  for (std::int64_t v = 0; v < 2; ++v) {
    for (std::int64_t n = 0; n < 5; ++n) {
      const Tensor ids = group.input[v][n].masked_select(group.input[v][n].ge(0)).to(torch::kInt64);
      const std::int64_t last = ids.size(0) - 1;
      double sum = 0;
      double right = 0;
      for (std::int64_t i = 0; i < last; ++i) {
        // From the tokens up to i alone: none after it may count.
        const clr::PackedTokens cut =
            clr::pack_tokens(View{ids.narrow(0, 0, i + 1).to(torch::kInt32).unsqueeze(0)});
        const Tensor state = text.states(cut, text.embed_tokens(cut))[i];
        Tensor h = torch::matmul(parameters["dense.weight"], state) + parameters["dense.bias"];
        h = 0.5 * h * (1 + torch::erf(h / std::sqrt(2.0)));
        h = (h - h.mean()) / (h.var(0, false) + 1e-12).sqrt() * parameters["LayerNorm.weight"] +
            parameters["LayerNorm.bias"];
        const Tensor logits = torch::matmul(text.piece_embeddings(), h) + parameters["bias"];
        const Tensor target = ids[i + 1];
        sum += (logits.exp().sum().log() - logits[target.item<std::int64_t>()]).item<double>();
        right += static_cast<double>(logits.argmax().item<std::int64_t>() ==
                                     target.item<std::int64_t>());
      }
      CATCH_CHECK(rows[v][n][0].item<double>() == Approx(sum).epsilon(1e-9));
      CATCH_CHECK(rows[v][n][1].item<double>() == static_cast<double>(last));
      CATCH_CHECK(rows[v][n][2].item<double>() == right);
    }
  }
}

CATCH_TEST_CASE("predicting tokens wants an encoder that sees enough, and no more", "[method]") {
  MethodContext context = suited(tiny_context(), "token_prediction");
  const Json masked = {{"type", "token_prediction"}};
  const Json next = {{"type", "token_prediction"}, {"predict", "next"}};
  CATCH_CHECK(refusal(masked, context).empty());
  CATCH_CHECK_THAT(refusal(next, context), Catch::Contains("causal = true"));
  context.make_encoder = [] {
    return clr::encoders().make(describe<clr::Encoder>(tiny_bert({{"causal", true}})));
  };
  CATCH_CHECK(refusal(next, context).empty());
  CATCH_CHECK_THAT(refusal(masked, context), Catch::Contains("causal = false"));
  CATCH_CHECK_THAT(refusal(masked, suited(tiny_context(), "skip_gram")),
                   Catch::StartsWith("/encoder"));
  for (const char* type : {"token_prediction", "skip_gram", "atcl"}) {
    MethodContext images = tiny_context();
    images.view_groups = {1};
    CATCH_CHECK_THAT(refusal({{"type", type}}, images),
                     Catch::Contains("expected an encoder of texts") && Catch::Contains(type));
  }
  std::vector<std::string> pieces;
  for (std::int32_t id = 0; id < 40; ++id)
    pieces.push_back(id == kMask ? "w99" : tiny_pieces()->piece(id));
  context = suited(tiny_context(), "token_prediction");
  context.pieces = std::make_shared<const clr::WordPiece>(pieces, true, "test");
  CATCH_CHECK_THAT(refusal(masked, context),
                   Catch::StartsWith("/text/vocabulary: expected a piece [MASK]"));
}

CATCH_TEST_CASE("simclr with mlm_weight is the sum of both", "[method]") {
  const auto with = [](double weight) {
    MethodContext context = suited(tiny_context(), "atcl");
    const auto method =
        make_described({{"type", "simclr"}, {"mlm_weight", weight}, {"mask_rate", 0.5}}, context);
    method->to(torch::kFloat64);
    method->eval();
    return method;
  };
  const Batch batch = batch_for("atcl");
  const auto loss_of = [&](Method& method) {
    const clr::StepOutput output = method.loss(method.embed(batch), batch, kStep);
    std::map<std::string, double> found{{"loss", output.loss.item<double>()}};
    for (const auto& [name, value] : output.metrics) found[name] = value.item<double>();
    return found;
  };
  const auto half = with(0.5);
  const auto two = with(2.0);
  const auto a = loss_of(*half);
  const auto b = loss_of(*two);
  CATCH_CHECK(a.at("mlm_loss") == Approx(b.at("mlm_loss")));
  CATCH_CHECK(b.at("loss") - a.at("loss") == Approx(1.5 * a.at("mlm_loss")));
  CATCH_CHECK(a.at("mlm_loss") > 1.0);
  CATCH_CHECK(with(0.0)->embed(batch).z.size() == 1);
}

CATCH_TEST_CASE("skip-gram's loss is word2vec's", "[method]") {
  for (const char* mode : {"skip_gram", "cbow"}) {
    CATCH_INFO(mode);
    MethodContext context = suited(tiny_context(), "skip_gram");
    std::vector<std::int64_t> counts(40, 0);
    counts[7] = 16;
    counts[9] = 1;
    context.piece_counts = [&] { return counts; };
    // A window of 1 leaves nothing to draw, and only two words are noise.
    const auto method = make_described({{"type", "skip_gram"},
                                        {"mode", mode},
                                        {"window", 1},
                                        {"negatives", 3},
                                        {"noise_words", 20000},
                                        {"subsample", 0}},
                                       context);
    method->to(torch::kFloat64);
    const auto parameters = method->named_parameters();
    Tensor v = parameters["encoder.embeddings.word_embeddings.weight"];
    Tensor u = parameters["context.weight"];
    {
      const torch::NoGradGuard no_grad;
      torch::manual_seed(3);
      v.normal_();
      u.normal_();
    }
    method->before_step(kStep);
    const Batch batch = batch_for("skip_gram");
    const clr::Embeddings embeddings = method->embed(batch);
    method->loss(embeddings, batch, kStep).loss.backward();

    Tensor expected = torch::zeros({}, torch::kFloat64);
    double predictions = 0;
    const Tensor w = v.detach().clone().requires_grad_();
    const auto score = [&](const Tensor& x, std::int64_t word) { return x.dot(u.detach()[word]); };
    for (std::int64_t n = 0; n < 8; ++n) {
      const Tensor ids = batch.groups[0][0][n];
      std::vector<std::int64_t> words;
      const auto length = ids.ge(0).sum().item<std::int64_t>();
      for (std::int64_t i = 1; i + 1 < length; ++i) words.push_back(ids[i].item<std::int64_t>());
      const auto around = [&](std::size_t i) {
        std::vector<std::int64_t> found;
        if (i > 0) found.push_back(words[i - 1]);
        if (i + 1 < words.size()) found.push_back(words[i + 1]);
        return found;
      };
      for (std::size_t i = 0; i < words.size(); ++i) {
        const auto predict = [&](const Tensor& from, std::int64_t word) {
          // Counts to the power 0.75: 8 to 1.
          expected =
              expected - torch::log_sigmoid(score(from, word)) -
              3 * (8 * torch::log_sigmoid(-score(from, 7)) + torch::log_sigmoid(-score(from, 9))) /
                  9;
          ++predictions;
        };
        if (std::string(mode) == "skip_gram") {
          for (const std::int64_t word : around(i)) predict(w[words[i]], word);
        } else {
          Tensor mean = torch::zeros({16}, torch::kFloat64);
          for (const std::int64_t word : around(i))
            mean = mean + w[word] / static_cast<double>(around(i).size());
          predict(mean, words[i]);
        }
      }
    }
    expected = expected / predictions;
    expected.backward();
    CATCH_CHECK(embeddings.z[0].select(2, 1).sum().item<double>() == predictions);
    // The noise is drawn: its share of word 7 is known to 0.2 %.
    const Tensor loss = method->loss(embeddings, batch, kStep).loss;
    CATCH_CHECK(loss.item<double>() == Approx(expected.item<double>()).epsilon(0.01));
    CATCH_CHECK(away(v.grad(), w.grad()) < 0.02);
  }
}

CATCH_TEST_CASE("frequent words are left out of skip-gram as word2vec has it", "[method]") {
  MethodContext context = suited(tiny_context(), "skip_gram");
  std::vector<std::int64_t> counts(40, 0);
  counts[5] = 900;
  counts[6] = 100;
  context.piece_counts = [&] { return counts; };
  const auto method = make_described(
      {{"type", "skip_gram"}, {"mode", "cbow"}, {"subsample", 0.1}, {"noise_words", 4}}, context);
  method->before_step(kStep);
  // Texts of word 5 alone: of 10 words each some stay, and each that is not alone is foretold.
  Batch batch;
  Tensor tokens = torch::full({1, 4000, 12}, 5, torch::kInt32);
  tokens.select(2, 0).fill_(2);
  tokens.select(2, 11).fill_(3);
  batch.groups = {tokens};
  batch.keys = {torch::arange(4000).view({1, 4000})};
  batch.indices = torch::arange(4000);
  const double kept = std::sqrt(0.1 / 0.9) + 0.1 / 0.9;
  const double alone = 10 * kept * std::pow(1 - kept, 9);
  const double mean = method->embed(batch).z[0].select(2, 1).mean().item<double>();
  CATCH_CHECK(mean ==
              Approx(10 * kept - alone).margin(4 * std::sqrt(10 * kept * (1 - kept) / 4000)));
}

CATCH_TEST_CASE("the adversarial view is where the contrast suffers", "[method]") {
  const auto with = [](double epsilon, std::int64_t steps = 1) {
    const auto method = make_described(
        {{"type", "atcl"}, {"epsilon", epsilon}, {"steps", steps}, {"temperature", 0.2}},
        suited(tiny_context(), "atcl"));
    method->to(torch::kFloat64);
    method->eval();  // No dropout, and no batch statistics.
    return method;
  };
  const Batch batch = batch_for("atcl");
  const auto contrast = [&](Method& method, const Tensor& a, const Tensor& b) {
    return method.loss({{torch::stack({a, b})}}, batch, kStep).loss.item<double>();
  };
  // Without a step it is SimCLR.
  const auto still = with(0);
  const auto plain =
      make_described({{"type", "simclr"}, {"temperature", 0.2}}, suited(tiny_context(), "atcl"));
  plain->to(torch::kFloat64);
  plain->eval();
  const clr::Embeddings two = still->embed(batch);
  CATCH_CHECK(torch::equal(two.z[0], plain->embed(batch).z[0]));
  CATCH_CHECK(still->loss(two, batch, kStep).loss.item<double>() ==
              plain->loss(two, batch, kStep).loss.item<double>());

  const auto method = with(0.05);
  const Tensor z = method->embed(batch).z[0];
  CATCH_REQUIRE(z.size(0) == 3);
  CATCH_CHECK(torch::allclose(z.narrow(0, 0, 2), two.z[0]));
  const double before = contrast(*method, z[0], z[1]);
  const double after = contrast(*method, z[2], z[1]);
  CATCH_CHECK(after > before + 1e-4);
  // No other step of this length takes it further: as far as a gradient can tell.
  auto& text = clr::require_text_encoder(method->encoder(), "test");
  const ViewGroup group = batch.views(0);
  const clr::PackedTokens first = clr::pack_tokens(View{group.input[0], group.keys[0]});
  const Tensor e = text.embed_tokens(first).detach();
  torch::manual_seed(17);
  for (int k = 0; k < 20; ++k) {
    const Tensor way = torch::randn_like(e);
    const Tensor moved = e + 0.05 * way / way.norm(2, {1}, true);
    const Tensor there = method->projector()->forward(text.features(first, moved));
    CATCH_CHECK(contrast(*method, there, z[1]) < after);
  }
  // Several steps go further, in a ball of the same size.
  const Tensor far = with(0.05, 5)->embed(batch).z[0];
  CATCH_CHECK(contrast(*method, far[2], z[1]) > after);

  MethodContext parts = suited(tiny_context(), "atcl");
  parts.micro_batch = 4;
  CATCH_CHECK_THAT(refusal({{"type", "atcl"}}, parts),
                   Catch::StartsWith("/train/micro_batch: expected 0"));
  CATCH_CHECK(refusal({{"type", "atcl"}, {"epsilon", 0}}, parts).empty());
}

CATCH_TEST_CASE("the loss of predicted tokens is their mean, whatever text they are of",
                "[method]") {
  const auto method = make("token_prediction", tiny_context());
  const Tensor rows =
      torch::tensor({{{6.0, 3.0, 1.0}, {0.0, 0.0, 0.0}, {2.0, 1.0, 1.0}}}, torch::kFloat64);
  const clr::StepOutput output = method->loss({{rows}}, batch_for("token_prediction"), kStep);
  CATCH_CHECK(output.loss.item<double>() == Approx(2.0));
  CATCH_CHECK(output.metrics.at(0).second.item<double>() == Approx(0.5));
  // A batch without a hidden token.
  CATCH_CHECK(method->loss({{torch::zeros({1, 3, 3})}}, batch_for("token_prediction"), kStep)
                  .loss.item<double>() == 0);
}

CATCH_TEST_CASE("the adversarial view stays in its ball", "[method]") {
  // An encoder that notes what its features are made of, and knows only some of its tokens.
  class Watching : public Noting {
   public:
    Tensor features(const clr::PackedTokens& packed, const Tensor& x) override {
      made_of.push_back(x.detach());
      const Tensor known = x * packed.positions.lt(3).to(x.scalar_type()).unsqueeze(1);
      return torch::zeros({packed.size(), 4}, x.options())
          .index_add(0, packed.rows, torch::tanh(known))
          .index_select(0, packed.order);
    }
    std::vector<Tensor> made_of;
  };
  MethodContext context = suited(tiny_context(), "atcl");
  std::shared_ptr<Watching> watching;
  context.make_encoder = [&] { return watching = std::make_shared<Watching>(); };
  const auto method = make_described({{"type", "atcl"}, {"epsilon", 0.3}, {"steps", 7}}, context);
  method->embed(batch_for("atcl"));
  // The second view, the first, six more steps, the adversarial one.
  CATCH_REQUIRE(watching->made_of.size() == 9);
  const auto& first = watching->made_of[1].size(0) == watching->made_of.back().size(0)
                          ? watching->made_of[1]
                          : watching->made_of[0];
  const Tensor moved = (watching->made_of.back() - first).norm(2, {1});
  CATCH_CHECK(moved.isfinite().all().item<bool>());
  CATCH_CHECK(moved.max().item<double>() <= 0.3 + 1e-6);
  CATCH_CHECK(moved.max().item<double>() > 0.1);
  CATCH_CHECK(moved.min().item<double>() == 0);  // Tokens that the features do not know.
}
