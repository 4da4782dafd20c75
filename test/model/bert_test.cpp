// SPDX-License-Identifier: Apache-2.0
// Mistakes that must show here: padding that is attended to, rows given back in another order, positions
// counted through the batch, tanh's GELU, an epsilon of another size, dropout that depends on the batch.
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <optional>

#include "clr/core/error.h"
#include "clr/model/encoder.h"
#include "clr/model/keyed_dropout.h"
#include "clr/model/packed_tokens.h"
#include "clr/model/text_encoder.h"
#include "model/bert_golden.h"
#include "model/encoder_fixtures.h"
#include "support/catch.h"

namespace {

using clr::Json;
using clr::View;
using clr::test::fill;
using clr::test::make;
using torch::Tensor;
using Rows = std::vector<std::vector<std::int32_t>>;

Json tiny(const Json& more = Json::object()) {
  Json json = {{"vocabulary", 50}, {"layers", 3},        {"width", 32},
               {"heads", 4},       {"intermediate", 64}, {"positions", 16}};
  json.update(more);
  return json;
}

Tensor padded(const Rows& rows, std::int64_t width = 16) {
  Tensor tokens = torch::full({static_cast<std::int64_t>(rows.size()), width}, -1, torch::kInt32);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    tokens[static_cast<std::int64_t>(i)]
        .narrow(0, 0, static_cast<std::int64_t>(rows[i].size()))
        .copy_(torch::tensor(rows[i]));
  }
  return tokens;
}

/// Rows of many lengths.
Rows many(std::int64_t count) {
  Rows rows;
  for (std::int64_t i = 0; i < count; ++i) {
    rows.emplace_back();
    for (std::int64_t k = 0; k < 2 + (i * 7) % 14; ++k)
      rows.back().push_back(static_cast<std::int32_t>((i * 5 + k * 11) % 50));
  }
  return rows;
}

Tensor keys(std::int64_t count) { return torch::arange(count).mul(7919).add(13); }

double away(const Tensor& a, const Tensor& b) { return ((a - b).norm() / b.norm()).item<double>(); }

}  // namespace

CATCH_TEST_CASE("BERT is Hugging Face's", "[model]") {
  const torch::NoGradGuard no_grad;
  std::vector<std::string> names;
  for (const auto& [name, shape] : clr::test::shapes_of(*make("bert", tiny()))) {
    std::string line = name + " [";
    for (std::size_t k = 0; k < shape.size(); ++k)
      line += (k ? ", " : "") + std::to_string(shape[k]);
    names.push_back(line + "]\n");
  }
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    return a.substr(0, a.find(' ')) < b.substr(0, b.find(' '));
  });
  std::string listing;
  for (const std::string& name : names) listing += name;
  CATCH_CHECK(clr::test::fnv1a(listing) == clr::test::kBertNamesHash);

  for (const auto& golden : clr::test::kBertGolden) {
    CATCH_INFO(golden.pooling);
    const auto encoder = make("bert", tiny({{"pooling", golden.pooling}}));
    fill(*encoder);
    encoder->eval();
    CATCH_CHECK(encoder->input_kind() == clr::InputKind::tokens);
    const Tensor h = encoder->forward(View{padded(clr::test::kBertRows)});
    CATCH_REQUIRE(h.sizes() == torch::IntArrayRef({3, 32}));
    CATCH_CHECK(away(h.slice(1, 0, std::nullopt, 4).flatten(), torch::tensor(golden.features)) <
                1e-5);
  }
}

CATCH_TEST_CASE("a text's features do not depend on its batch", "[model]") {
  const torch::NoGradGuard no_grad;
  const auto encoder = make("bert", tiny());
  encoder->eval();
  const Rows rows = many(40);
  const Tensor whole = encoder->forward(View{padded(rows)});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Tensor alone =
        encoder->forward(View{padded({rows[i]}, static_cast<std::int64_t>(rows[i].size()))});
    CATCH_CHECK(away(alone[0], whole[static_cast<std::int64_t>(i)]) < 1e-6);
  }
}

CATCH_TEST_CASE("dropout belongs to a row, not to its batch", "[model]") {
  const auto encoder = make("bert", tiny({{"dropout", 0.2}, {"attention_dropout", 0.2}}));
  encoder->to(torch::kFloat64);
  encoder->train();
  const Tensor tokens = padded(many(12));
  const Tensor all = keys(12);
  const auto forward = [&](std::int64_t first, std::int64_t count) {
    return encoder->forward(View{tokens.narrow(0, first, count), all.narrow(0, first, count)});
  };
  const Tensor whole = forward(0, 12);
  CATCH_CHECK(torch::equal(whole, forward(0, 12)));
  CATCH_CHECK(away(torch::cat({forward(0, 1), forward(1, 7), forward(8, 4)}), whole) < 1e-12);
  CATCH_CHECK(away(encoder->forward(View{tokens, all + 1}), whole) > 1e-2);
  const Tensor without = encoder->forward(View{tokens});
  CATCH_CHECK(away(without, whole) > 1e-2);
  encoder->eval();
  CATCH_CHECK(torch::equal(without, encoder->forward(View{tokens, all})));

  // A gradient in parts is that of the whole: what the gradient cache relies on.
  encoder->train();
  const auto gradient = [&](const std::vector<std::pair<std::int64_t, std::int64_t>>& parts) {
    encoder->zero_grad();
    for (const auto& [first, count] : parts) forward(first, count).pow(3).sum().backward();
    std::vector<Tensor> flat;
    for (const auto& p : encoder->parameters()) {
      if (p.grad().defined()) flat.push_back(p.grad().flatten().clone());
    }
    return torch::cat(flat);
  };
  const Tensor expected = gradient({{0, 12}});
  CATCH_CHECK(away(gradient({{0, 5}, {5, 7}}), expected) < 1e-12);
}

CATCH_TEST_CASE("keyed dropout: shares, scale and gradient", "[model]") {
  const std::vector<std::int64_t> rows{3, 1, 5};
  const std::vector<std::int64_t> elements{3 * 1000, 1000, 5 * 1000};
  const Tensor x = torch::ones({9, 1000}, torch::kFloat64).set_requires_grad(true);
  const Tensor y = clr::keyed_dropout(x, 0.25, 4, {5, 6, 7}, elements);
  const Tensor kept = y.ne(0);
  CATCH_CHECK(std::abs(kept.to(torch::kFloat64).mean().item<double>() - 0.75) < 0.015);
  CATCH_CHECK(torch::allclose(y.masked_select(kept), torch::full({1}, 4.0 / 3, torch::kFloat64)));
  y.sum().backward();
  CATCH_CHECK(torch::equal(x.grad(), y.detach()));
  // Another layer, another row, another place: other draws.
  const Tensor other = clr::keyed_dropout(x, 0.25, 5, {5, 6, 7}, elements);
  CATCH_CHECK_FALSE(torch::equal(other, y));
  CATCH_CHECK_FALSE(torch::equal(y[0], y[1]));
  CATCH_CHECK_FALSE(torch::equal(y[0], y[3]));
  // A longer row begins as a shorter one of its key.
  const Tensor longer = clr::keyed_dropout(x, 0.25, 4, {5}, {9000});
  CATCH_CHECK(torch::equal(longer.narrow(0, 0, 3), y.narrow(0, 0, 3)));

  const Tensor weights = torch::ones({2, 3, 8, 8}, torch::kFloat64);
  const Tensor wide = clr::keyed_attention_dropout(weights, 0.25, 4, {1, 2}, 16);
  const Tensor narrow =
      clr::keyed_attention_dropout(weights.narrow(2, 0, 5).narrow(3, 0, 5), 0.25, 4, {1, 2}, 16);
  CATCH_CHECK(torch::equal(narrow, wide.narrow(2, 0, 5).narrow(3, 0, 5)));
}

CATCH_TEST_CASE("an encoder of text refuses images, and what is too long for it", "[model]") {
  const auto encoder = make("bert", tiny());
  const auto message = [&](const Tensor& input) {
    try {
      encoder->forward(View{input});
    } catch (const clr::Error& error) {
      CATCH_CHECK(error.kind() == clr::ErrorKind::config);
      return std::string(error.what());
    }
    return std::string();
  };
  CATCH_CHECK(message(torch::rand({2, 3, 32, 32}))
                  .starts_with("/encoder/type: expected an encoder of images"));
  CATCH_CHECK(
      message(padded({std::vector<std::int32_t>(17, 4)}, 20)) ==
      "/text/max_tokens: expected at most the encoder's 16 positions, got a text of 17 tokens; "
      "lower it");
}

CATCH_TEST_CASE("BERT is inferred from its tensors", "[model]") {
  const auto encoder =
      make("bert", tiny({{"width", 128}, {"heads", 2}, {"positions", 40}, {"intermediate", 96}}));
  auto shapes = clr::test::shapes_of(*encoder);
  const auto check = [&] {
    const Json found = clr::infer_encoder(shapes, "x").dump();
    CATCH_CHECK(found["type"] == "bert");
    CATCH_CHECK(found["vocabulary"] == 50);
    CATCH_CHECK(found["layers"] == 3);
    CATCH_CHECK(found["width"] == 128);
    CATCH_CHECK(found["heads"] == 2);
    CATCH_CHECK(found["intermediate"] == 96);
    CATCH_CHECK(found["positions"] == 40);
  };
  check();
  for (auto& [name, shape] : shapes) name = "encoder." + name;
  check();
}

CATCH_TEST_CASE("the static encoder is the mean of what is between [CLS] and [SEP]", "[model]") {
  const auto encoder = make("static", {{"vocabulary", 50}, {"width", 8}});
  fill(*encoder);
  const Rows rows = {{2, 7, 9, 3}, {2, 5, 3}, {2, 3}, {2, 9, 9, 9, 11, 3}};
  const Tensor got = encoder->forward(View{padded(rows, 7)});
  const Tensor table = encoder->parameters().at(0).detach();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Tensor expected = torch::zeros({8});
    for (std::size_t k = 1; k + 1 < rows[i].size(); ++k)
      expected += table[rows[i][k]] / static_cast<double>(rows[i].size() - 2);
    CATCH_CHECK((got[static_cast<std::int64_t>(i)] - expected).abs().max().item<double>() < 1e-6);
  }
  CATCH_CHECK_THROWS_AS(encoder->forward(View{torch::zeros({2, 3, 8, 8})}), clr::Error);
}

CATCH_TEST_CASE("a causal token sees none after it, in training too", "[model]") {
  // Mistakes: the mask of one branch alone; features from places without a token.
  const auto encoder =
      make("bert", tiny({{"causal", true}, {"dropout", 0.1}, {"attention_dropout", 0.1}}));
  auto& text = dynamic_cast<clr::TextEncoder&>(*encoder);
  CATCH_CHECK(text.sight() == clr::TextEncoder::Sight::earlier);
  encoder->to(torch::kFloat64);
  for (const bool training : {true, false}) {
    encoder->train(training);
    Rows rows = many(9);
    const auto states = [&] {
      const clr::PackedTokens packed = clr::pack_tokens(View{padded(rows), keys(9)});
      return std::pair{text.states(packed, text.embed_tokens(packed)), packed};
    };
    const auto [before, packed] = states();
    for (auto& row : rows) row.back() = (row.back() + 1) % 50;
    const auto [after, same] = states();
    const Tensor changed = (before - after).abs().amax(1).gt(0);
    std::int64_t first = 0;
    for (const std::int64_t length : packed.lengths) {
      CATCH_CHECK_FALSE(changed.narrow(0, first, length - 1).any().item<bool>());
      CATCH_CHECK(changed[first + length - 1].item<bool>());
      first += length;
    }
  }
  CATCH_CHECK_THROWS_AS(make("bert", tiny({{"causal", true}, {"pooling", "cls"}})), clr::Error);
}

CATCH_TEST_CASE("embeddings are augmented by a text's key, as much as is said", "[model]") {
  // Mistakes: axes swapped; [CLS] or [SEP] cut off; noise of another size; positions of another text; draws
  // by the place in the batch.
  const auto augmented = [](const Json& augment) {
    torch::manual_seed(5);
    const auto encoder = make("bert", tiny({{"dropout", 0},
                                            {"attention_dropout", 0},
                                            {"width", 400},
                                            {"embedding_augment", augment}}));
    encoder->train();
    return encoder;
  };
  const Rows rows = many(200);
  const auto embed = [&](clr::Encoder& encoder, std::int64_t first, std::int64_t count) {
    const clr::PackedTokens packed = clr::pack_tokens(
        View{padded(rows).narrow(0, first, count), keys(200).narrow(0, first, count)});
    return std::pair{dynamic_cast<clr::TextEncoder&>(encoder).embed_tokens(packed), packed};
  };
  const auto share = [](const Tensor& x) { return x.to(torch::kFloat64).mean().item<double>(); };
  const torch::NoGradGuard no_grad;
  {
    const auto encoder = augmented({{"token_cutoff", 0.3}});
    const auto [x, packed] = embed(*encoder, 0, 200);
    const Tensor gone = x.eq(0).all(1);
    const Tensor inner = packed.inner();
    CATCH_CHECK(gone.sum().item<double>() == gone.index_select(0, inner).sum().item<double>());
    CATCH_CHECK(share(gone.index_select(0, inner)) ==
                Approx(0.3).margin(4 * std::sqrt(0.21 / static_cast<double>(inner.size(0)))));
  }
  {
    const auto encoder = augmented({{"feature_cutoff", 0.2}});
    const auto [x, packed] = embed(*encoder, 0, 200);
    CATCH_CHECK(share(x.eq(0)) == Approx(0.2).margin(0.01));
    // The same features in all tokens of a text, others in another.
    CATCH_CHECK(torch::equal(x[0].eq(0), x[1].eq(0)) == (packed.lengths[0] > 1));
    CATCH_CHECK_FALSE(torch::equal(x[0].eq(0), x[-1].eq(0)));
  }
  const auto plain = augmented(Json::object());
  const auto [still, all] = embed(*plain, 0, 200);
  {
    const auto encoder = augmented({{"noise", 0.5}});
    const auto [x, packed] = embed(*encoder, 0, 200);
    const Tensor noise = (x - still).to(torch::kFloat64);
    CATCH_CHECK(noise.mean().item<double>() == Approx(0).margin(0.005));
    CATCH_CHECK(noise.std().item<double>() == Approx(0.5).epsilon(0.01));
    CATCH_CHECK(share(noise.abs().gt(1.0)) == Approx(0.0455).margin(0.003));
  }
  {
    const auto encoder = augmented({{"position_shuffle", true}});
    const auto [x, packed] = embed(*encoder, 0, 200);
    const Tensor moved = (x - still).abs().amax(1).gt(0);
    const Tensor inner = packed.inner();
    CATCH_CHECK(moved.sum().item<double>() == moved.index_select(0, inner).sum().item<double>());
    CATCH_CHECK(share(moved.index_select(0, inner)) > 0.5);
  }
  for (const Json& augment : {Json{{"token_cutoff", 0.3}}, Json{{"feature_cutoff", 0.2}},
                              Json{{"noise", 0.5}}, Json{{"position_shuffle", true}}}) {
    CATCH_INFO(augment.dump());
    const auto encoder = augmented(augment);
    const Tensor whole = encoder->forward(View{padded(rows), keys(200)});
    const Tensor part =
        encoder->forward(View{padded(rows).narrow(0, 60, 50), keys(200).narrow(0, 60, 50)});
    CATCH_CHECK(away(part, whole.narrow(0, 60, 50)) < 1e-5);
    CATCH_CHECK(away(encoder->forward(View{padded(rows), keys(200) + 1}), whole) > 1e-3);
    encoder->eval();
    plain->eval();
    CATCH_CHECK(torch::equal(encoder->forward(View{padded(rows), keys(200)}),
                             plain->forward(View{padded(rows), keys(200)})));
  }
}

CATCH_TEST_CASE("the mean of embeddings is the same token by token", "[model]") {
  const torch::NoGradGuard no_grad;
  const auto encoder = make("static", {{"vocabulary", 50}, {"width", 24}});
  auto& text = dynamic_cast<clr::TextEncoder&>(*encoder);
  Rows rows = many(30);
  rows.push_back({2, 3});  // Nothing between [CLS] and [SEP].
  const View view{padded(rows)};
  const clr::PackedTokens packed = clr::pack_tokens(view);
  const Tensor h = encoder->forward(view);
  CATCH_CHECK(away(text.features(packed, text.embed_tokens(packed)), h) < 1e-6);
  CATCH_CHECK(h[-1].abs().max().item<double>() == 0);
}
