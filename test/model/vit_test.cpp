// SPDX-License-Identifier: Apache-2.0
// Mistakes that must show here: a norm after the pooling, tanh's GELU, an epsilon of another size, heads
// cut the wrong way, position embeddings of another order, keys that depend on the batch.
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>

#include "clr/core/row_keys.h"
#include "clr/model/encoder.h"
#include "model/encoder_fixtures.h"
#include "model/vit_golden.h"
#include "support/catch.h"

namespace {

using clr::Json;
using clr::View;
using clr::test::describe;
using clr::test::fill;
using clr::test::make;
using clr::test::shapes_of;
using clr::test::uniform;
using torch::Tensor;

Json tiny(const Json& more = Json::object()) {
  Json json = {{"patch", 4}, {"image_size", 32}};
  json.update(more);
  return json;
}

Tensor image(std::int64_t side) { return uniform("image", {2, 3, side, side}).to(torch::kFloat32); }

Tensor keys(std::int64_t count, std::int64_t first = 0) {
  clr::Batch batch;
  batch.groups = {torch::zeros({1, count, 1, 1, 1})};
  batch.indices = torch::arange(first, first + count);
  clr::set_row_keys(batch, 3);
  return batch.keys[0][0];
}

}  // namespace

CATCH_TEST_CASE("a vision transformer is timm's", "[model]") {
  const torch::NoGradGuard no_grad;
  const auto encoder = make("vit_tiny", tiny());
  std::vector<std::string> names;
  std::int64_t parameters = 0;
  for (const auto& [name, shape] : shapes_of(*encoder)) {
    std::string line = name + " [";
    std::int64_t count = 1;
    for (std::size_t k = 0; k < shape.size(); ++k) {
      line += (k ? ", " : "") + std::to_string(shape[k]);
      count *= shape[k];
    }
    names.push_back(line + "]\n");
    parameters += count;
  }
  // By name, as Python sorts (name, shape): "[" is no part of the name.
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    return a.substr(0, a.find(' ')) < b.substr(0, b.find(' '));
  });
  std::string listing;
  for (const std::string& name : names) listing += name;
  CATCH_CHECK(clr::test::fnv1a(listing) == clr::test::kVitNamesHash);
  CATCH_CHECK(parameters == clr::test::kVitParameters);

  for (const auto& golden : clr::test::kVitGolden) {
    for (const bool token : {true, false}) {
      CATCH_INFO(golden.side << (token ? " token" : " mean"));
      const auto pooled = make("vit_tiny", tiny({{"pooling", token ? "token" : "mean"}}));
      fill(*pooled);
      pooled->eval();
      const Tensor h = pooled->forward(View{image(golden.side)});
      CATCH_REQUIRE(h.sizes() == torch::IntArrayRef({2, 192}));
      const Tensor got = h.slice(1, 0, std::nullopt, 16).flatten();
      const Tensor expected = torch::tensor(token ? golden.token : golden.mean);
      CATCH_CHECK((got - expected).norm().item<double>() < 1e-5 * expected.norm().item<double>());
    }
  }
}

CATCH_TEST_CASE("sizes of vision transformers", "[model]") {
  for (const auto& [type, width, parameters] :
       {std::tuple{"vit_tiny", 192, 5'524'416}, std::tuple{"vit_small", 384, 21'665'664},
        std::tuple{"vit_base", 768, 85'798'656}}) {
    CATCH_INFO(type);
    const auto encoder = make(type);
    std::int64_t count = 0;
    for (const auto& parameter : encoder->parameters()) count += parameter.numel();
    CATCH_CHECK(count == parameters);
    CATCH_CHECK(encoder->feature_dim() == width);
    const auto component = describe(type);
    CATCH_CHECK(clr::infer_encoder(shapes_of(*encoder), "x").dump() == component.dump());
  }
}

CATCH_TEST_CASE("drop path leaves out rows by their keys alone", "[model]") {
  const torch::NoGradGuard no_grad;
  torch::manual_seed(2);
  const auto encoder = make("vit_tiny", tiny({{"drop_path", 0.5}}));
  const Tensor pixels = torch::rand({6, 3, 32, 32});
  const Tensor some = keys(6);
  encoder->train();
  const Tensor dropped = encoder->forward(View{pixels, some});
  CATCH_CHECK(torch::equal(dropped, encoder->forward(View{pixels, some})));
  // Mistakes: draws by the place in the batch; from a generator that goes on.
  const Tensor alone = encoder->forward(View{pixels.narrow(0, 4, 2), some.narrow(0, 4, 2)});
  CATCH_CHECK(at::allclose(alone, dropped.narrow(0, 4, 2), 1e-4, 1e-5));
  CATCH_CHECK_FALSE(
      at::allclose(dropped, encoder->forward(View{pixels, keys(6, 100)}), 1e-2, 1e-2));
  // Nothing without keys, as for a target, and nothing in evaluation.
  const Tensor whole = encoder->forward(View{pixels});
  encoder->eval();
  CATCH_CHECK(at::allclose(whole, encoder->forward(View{pixels, some}), 1e-5, 1e-6));
  CATCH_CHECK_FALSE(at::allclose(whole, dropped, 1e-2, 1e-2));
}

CATCH_TEST_CASE("drop path makes up for what it leaves out", "[model]") {
  // Mistakes: the same draws for both branches; one rate for all blocks; no factor; the residual goes too.
  const torch::NoGradGuard no_grad;
  torch::manual_seed(4);
  constexpr double kRate = 0.5;
  constexpr std::int64_t kRows = 400;
  const Tensor pixels = torch::rand({1, 3, 4, 4}).expand({kRows, 3, 4, 4});
  const auto encoder = make("vit_tiny", {{"patch", 4}, {"image_size", 4}, {"drop_path", kRate}});
  auto parameters = encoder->named_parameters();
  // Branches that add one to all features: block 4's attention, and its network.
  for (auto& item : parameters) {
    if (item.key().starts_with("blocks.") && item.key().find("norm") == std::string::npos)
      item.value().zero_();
  }
  for (const auto& [branch, rows] :
       {std::pair{"attn.proj.bias", 1}, std::pair{"mlp.fc2.bias", 2}}) {
    parameters[std::string("blocks.4.") + branch].slice(0, 0, 1).fill_(rows);
  }
  encoder->eval();
  parameters["norm.weight"].fill_(1);
  // The last norm hides the sum: feature 0 of the row before it, by the ratio to another one.
  encoder->train();
  const Tensor h = encoder->forward(View{pixels, keys(kRows)}).select(1, 0);
  const Tensor kinds = std::get<0>(at::_unique(at::round(h * 1000)));
  // Neither, one, the other, both.
  CATCH_CHECK(kinds.size(0) == 4);
  const double dropped = kRate * 4 / 11;
  const Tensor sorted = std::get<0>(h.sort());
  const auto share_of_most =
      static_cast<double>((at::round(h * 1000) == kinds[-1]).sum().item<std::int64_t>()) / kRows;
  CATCH_CHECK(share_of_most == Approx((1 - dropped) * (1 - dropped)).margin(0.08));
  // Made up for: with both, as evaluation of branches that are 1 / (1 - dropped) as large.
  encoder->eval();
  for (const char* branch : {"attn.proj.bias", "mlp.fc2.bias"})
    parameters[std::string("blocks.4.") + branch].mul_(1 / (1 - dropped));
  const Tensor whole = encoder->forward(View{pixels}).select(1, 0);
  CATCH_CHECK(sorted[-1].item<float>() == Approx(whole[0].item<float>()).epsilon(1e-4));
}

CATCH_TEST_CASE("keys of rows are of seed, epoch, index and view", "[model]") {
  const auto of = [](std::uint64_t seed, std::int64_t epoch, const Tensor& indices) {
    clr::Batch batch;
    batch.groups = {torch::zeros({2, indices.size(0), 1, 1, 1}),
                    torch::zeros({1, indices.size(0), 1, 1, 1})};
    batch.indices = indices;
    batch.epoch = epoch;
    clr::set_row_keys(batch, seed);
    return at::cat(batch.keys);
  };
  const Tensor some = torch::tensor({5, 9, 7}, torch::kInt64);
  const Tensor first = of(1, 0, some);
  CATCH_REQUIRE(first.sizes() == torch::IntArrayRef({3, 3}));
  CATCH_CHECK(std::get<0>(at::_unique(first)).size(0) == 9);
  CATCH_CHECK(torch::equal(of(1, 0, some.flip(0)).flip(1), first));
  CATCH_CHECK_FALSE(torch::equal(of(2, 0, some), first));
  CATCH_CHECK_FALSE(torch::equal(of(1, 1, some), first));
}

CATCH_TEST_CASE("a frozen patch projection is not trained", "[model]") {
  const auto encoder = make("vit_tiny", tiny({{"freeze_patch", true}}));
  for (const auto& item : encoder->named_parameters()) {
    CATCH_INFO(item.key());
    CATCH_CHECK(item.value().requires_grad() == !item.key().starts_with("patch_embed."));
  }
  encoder->forward(View{torch::rand({2, 3, 32, 32})}).sum().backward();
}

CATCH_TEST_CASE("layers of encoders, from the stem up", "[model]") {
  const auto vit = make("vit_tiny", tiny());
  CATCH_CHECK(vit->layers() == 12);
  CATCH_CHECK(vit->layer_of("patch_embed.proj.weight") == 0);
  CATCH_CHECK(vit->layer_of("pos_embed") == 0);
  CATCH_CHECK(vit->layer_of("blocks.0.norm1.weight") == 1);
  CATCH_CHECK(vit->layer_of("blocks.11.mlp.fc2.bias") == 12);
  CATCH_CHECK(vit->layer_of("norm.weight") == 13);
  const auto resnet = make("resnet18", {{"width", 0.0625}});
  CATCH_CHECK(resnet->layers() == 4);
  CATCH_CHECK(resnet->layer_of("conv1.weight") == 0);
  CATCH_CHECK(resnet->layer_of("layer3.1.bn2.bias") == 3);
}

CATCH_TEST_CASE("views that no patches fit are refused", "[model]") {
  const auto encoder = make("vit_tiny", tiny());
  try {
    encoder->forward(View{torch::rand({2, 3, 30, 32})});
    CATCH_CHECK(false);
  } catch (const clr::Error& error) {
    CATCH_CHECK(error.kind() == clr::ErrorKind::config);
    CATCH_CHECK_THAT(error.what(),
                     Catch::StartsWith("/encoder/patch: expected views whose sides are "
                                       "multiples of 4, got 32 x 30"));
  }
  CATCH_CHECK_THROWS_AS(describe("vit_tiny", {{"patch", 5}}), clr::Error);
}
