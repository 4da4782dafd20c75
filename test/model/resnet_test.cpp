// SPDX-License-Identifier: Apache-2.0
// Mistakes that must show here: a bottleneck's stride in its first convolution, fan in, a bias
// before batch norm, frozen statistics that move or that evaluation does not use.
#include <fmt/format.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <map>

#include "clr/model/batch_norm.h"
#include "clr/model/encoder.h"
#include "clr/model/mlp_head.h"
#include "model/encoder_fixtures.h"
#include "model/resnet_golden.h"
#include "support/catch.h"

namespace {

using clr::Encoder;
using clr::Json;
using clr::View;
using clr::test::describe;
using clr::test::fnv1a;
using clr::test::listing;
using clr::test::make;
using clr::test::NamesAndShapes;
using clr::test::shapes_of;
using clr::test::state_of;
using clr::test::uniform;
using torch::Tensor;

void fill(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (auto& [name, tensor] : state_of(module)) {
    const Tensor u = uniform(name, tensor.sizes());
    if (tensor.dim() == 4) {
      tensor.copy_(u * std::sqrt(3.0 / static_cast<double>(tensor[0].numel())));
    } else if (name.ends_with("weight") || name.ends_with("running_var")) {
      tensor.copy_(1 + 0.5 * u);
    } else if (!name.ends_with("num_batches_tracked")) {
      tensor.copy_(0.2 * u);
    }
  }
}

double away(const Tensor& got, const std::vector<float>& golden) {
  const Tensor expected = torch::tensor(golden);
  const Tensor some = got.slice(1, 0, torch::indexing::None, 16).flatten();
  CATCH_REQUIRE(some.sizes() == expected.sizes());
  return (some - expected).norm().item<double>() / expected.norm().item<double>();
}

Tensor pixels(std::int64_t n, std::int64_t size) {
  return uniform("pixels", {n, 3, size, size}).to(torch::kFloat32);
}

}  // namespace

CATCH_TEST_CASE("names, shapes and counts are torchvision's", "[model]") {
  CATCH_REQUIRE(clr::encoders().names() ==
                std::vector<std::string>{"resnet18", "resnet34", "resnet50", "resnet101",
                                         "resnet152", "resnext50_32x4d", "wide_resnet50_2",
                                         "vit_tiny", "vit_small", "vit_base", "bert", "static"});
  const std::map<std::string, std::int64_t> known{
      {"resnet18", 11'176'512},       {"resnet34", 21'284'672},  {"resnet50", 23'508'032},
      {"resnet101", 42'500'160},      {"resnet152", 58'143'808}, {"resnext50_32x4d", 22'979'904},
      {"wide_resnet50_2", 66'834'240}};
  for (const auto& golden : clr::test::kResnetGolden) {
    CATCH_INFO(golden.type);
    const auto encoder = make(golden.type);
    std::int64_t count = 0;
    for (const auto& parameter : encoder->parameters()) count += parameter.numel();
    CATCH_CHECK(count == known.at(golden.type));
    CATCH_CHECK(count == golden.parameters);
    CATCH_CHECK(static_cast<std::int64_t>(state_of(*encoder).size()) == golden.tensors);
    CATCH_CHECK(fnv1a(listing(*encoder)) == golden.names_hash);
    const bool basic = golden.type == "resnet18" || golden.type == "resnet34";
    CATCH_CHECK(encoder->feature_dim() == (basic ? 512 : 2048));
  }
}

CATCH_TEST_CASE("features are torchvision's", "[model]") {
  for (const auto& golden : clr::test::kResnetGolden) {
    if (golden.evaluated.empty()) continue;
    CATCH_INFO(golden.type);
    const torch::NoGradGuard no_grad;
    const auto encoder = make(golden.type);
    const Tensor image = uniform("image", {2, 3, 64, 64}).to(torch::kFloat32);
    fill(*encoder);
    encoder->eval();
    CATCH_CHECK(away(encoder->forward(View{image}), golden.evaluated) < 1e-4);
    encoder->train();
    const Tensor features = encoder->forward(View{image});
    CATCH_CHECK(features.sizes() == torch::IntArrayRef({2, encoder->feature_dim()}));
    CATCH_CHECK(away(features, golden.trained) < 1e-3);
  }
}

CATCH_TEST_CASE("stem and width", "[model]") {
  const torch::NoGradGuard no_grad;
  for (const std::string stem : {"imagenet", "cifar"}) {
    for (const double width : {0.0625, 0.25, 1.5}) {
      CATCH_INFO(stem << ", width " << width);
      const auto base = std::lround(64 * width);
      const auto basic = make("resnet18", {{"stem", stem}, {"width", width}});
      CATCH_CHECK(basic->feature_dim() == 8 * base);
      const auto parameters = basic->named_parameters();
      const std::int64_t kernel = stem == "cifar" ? 3 : 7;
      CATCH_CHECK(parameters["conv1.weight"].sizes() ==
                  torch::IntArrayRef({base, 3, kernel, kernel}));
      CATCH_CHECK(basic->forward(View{pixels(2, 32)}).sizes() == torch::IntArrayRef({2, 8 * base}));
    }
  }
  const auto bottleneck = make("resnet50", {{"width", 0.25}});
  CATCH_CHECK(bottleneck->feature_dim() == 512);
  CATCH_CHECK(bottleneck->named_parameters()["layer1.0.conv2.weight"].sizes() ==
              torch::IntArrayRef({16, 16, 3, 3}));
  CATCH_CHECK(bottleneck->named_parameters()["layer1.0.conv3.weight"].sizes() ==
              torch::IntArrayRef({64, 16, 1, 1}));

  for (const double width : {0.01, 9.0}) {
    CATCH_CHECK_THROWS_AS(describe("resnet18", {{"width", width}}), clr::Error);
  }
}

CATCH_TEST_CASE("initialisation", "[model]") {
  torch::manual_seed(1);
  for (const std::string name : {"torchvision", "kaiming_normal_fan_out"}) {
    const auto encoder = make("resnet50", {{"initialization", name}, {"width", 0.5}});
    for (const auto& item : encoder->named_parameters()) {
      CATCH_INFO(item.key());
      const Tensor w = item.value();
      if (w.dim() == 1) {
        CATCH_CHECK(torch::equal(w, torch::full_like(w, item.key().ends_with("weight") ? 1 : 0)));
        continue;
      }
      const double expected =
          std::sqrt(2.0 / static_cast<double>(w.size(0) * w.size(2) * w.size(3)));
      const double error = 1 / std::sqrt(2.0 * static_cast<double>(w.numel()));
      CATCH_CHECK(std::abs(w.std().item<double>() / expected - 1) < 5 * error);
      CATCH_CHECK(std::abs(w.mean().item<double>()) < 5 * expected / std::sqrt(w.numel()));
      // A uniform distribution of this deviation would end at 1.73 of it.
      if (w.numel() > 1000) CATCH_CHECK(w.abs().max().item<double>() > 2.5 * expected);
    }
  }
  for (const std::string type : {"resnet18", "resnet50"}) {
    const std::string last = type == "resnet18" ? "bn2.weight" : "bn3.weight";
    const auto encoder = make(type, {{"zero_init_residual", true}, {"width", 0.25}});
    int zeros = 0;
    for (const auto& item : encoder->named_parameters()) {
      if (item.value().dim() != 1 || !item.key().ends_with("weight")) continue;
      const bool zero = item.value().abs().max().item<double>() == 0;
      CATCH_CHECK(zero == (item.key().starts_with("layer") && item.key().ends_with(last)));
      zeros += zero;
    }
    CATCH_CHECK(zeros == (type == "resnet18" ? 8 : 16));
  }
}

CATCH_TEST_CASE("memory format does not change features", "[model]") {
  const torch::NoGradGuard no_grad;
  const auto encoder = make("resnet18", {{"stem", "cifar"}, {"width", 0.25}});
  fill(*encoder);
  const Tensor image = pixels(3, 32);
  const Tensor expected = encoder->forward(View{image});
  for (auto& parameter : encoder->parameters()) {
    if (parameter.dim() == 4) {
      parameter.set_data(parameter.detach().contiguous(torch::MemoryFormat::ChannelsLast));
    }
  }
  const Tensor got = encoder->forward(View{image.contiguous(torch::MemoryFormat::ChannelsLast)});
  CATCH_CHECK((got - expected).abs().max().item<double>() <
              1e-4 * expected.abs().max().item<double>());
}

CATCH_TEST_CASE("an encoder is inferred from its tensors", "[model]") {
  for (const std::string& type : clr::encoders().names()) {
    if (type.starts_with("vit") || type == "bert" || type == "static") continue;
    for (const std::string stem : {"imagenet", "cifar"}) {
      for (const double width : {0.0625, 0.25, 1.0}) {
        if (width == 1.0 && type != "resnet18" && type != "resnet50") continue;
        // Less than a channel a group becomes one, so that the widths do not fit any more.
        if (width < 0.25 && type == "resnext50_32x4d") continue;
        CATCH_INFO(type << " " << stem << " " << width);
        const auto component = describe(type, {{"stem", stem}, {"width", width}});
        NamesAndShapes shapes = shapes_of(*clr::encoders().make(component));
        shapes.emplace_back("fc.weight", std::vector<std::int64_t>{10, 512});
        CATCH_CHECK(clr::infer_encoder(shapes, "x").dump() == component.dump());
        for (auto& [name, shape] : shapes) name = "encoder." + name;
        shapes.emplace_back("projector.linear1.weight", std::vector<std::int64_t>{64, 512});
        CATCH_CHECK(clr::infer_encoder(shapes, "x").dump() == component.dump());
      }
    }
  }
}

CATCH_TEST_CASE("tensors of no known encoder are refused", "[model]") {
  const NamesAndShapes good = shapes_of(*make("resnet50", {{"width", 0.25}}));
  const auto message = [](const NamesAndShapes& shapes) -> std::string {
    try {
      clr::infer_encoder(shapes, "net.safetensors");
    } catch (const clr::Error& error) {
      CATCH_CHECK(error.kind() == clr::ErrorKind::checkpoint);
      CATCH_CHECK(std::string(error.what()).starts_with("net.safetensors: expected "));
      return error.what();
    }
    return "";
  };
  const auto changed = [&](const std::string& name, std::vector<std::int64_t> shape) {
    NamesAndShapes shapes = good;
    for (auto& item : shapes) {
      if (item.first == name) item.second = shape;
    }
    return message(shapes);
  };
  const auto without = [&](const std::string& prefix) {
    NamesAndShapes shapes;
    for (const auto& item : good) {
      if (!item.first.starts_with(prefix)) shapes.push_back(item);
    }
    return message(shapes);
  };
  CATCH_REQUIRE(message(good).empty());
  using Catch::Contains;
  CATCH_CHECK_THAT(message({}), Contains("conv1.weight, got none"));
  CATCH_CHECK_THAT(without("layer3."), Contains("layer3.0.conv1.weight, got none"));
  CATCH_CHECK_THAT(without("layer3.5."), Contains("3, 4, 5, 3 bottleneck"));
  CATCH_CHECK_THAT(changed("conv1.weight", {16, 3, 5, 5}), Contains("[16, 3, 5, 5]"));
  CATCH_CHECK_THAT(changed("conv1.weight", {16, 1, 7, 7}), Contains("[16, 1, 7, 7]"));
  CATCH_CHECK_THAT(changed("conv1.weight", {16}), Contains("4 dimensions"));
  CATCH_CHECK_THAT(changed("conv1.weight", {2, 3, 7, 7}), Contains("[2, 3, 7, 7]"));
  // As a wide ResNet-50-2's, in the first stage alone.
  CATCH_CHECK_THAT(changed("layer1.0.conv1.weight", {32, 16, 1, 1}),
                   Contains("layer2.0.conv1.weight with 64 output channels"));
  // Groups of a size that no encoder here has.
  CATCH_CHECK_THAT(changed("layer1.0.conv2.weight", {16, 8, 3, 3}), Contains("of 2 groups"));
}

CATCH_TEST_CASE("batch norm is PyTorch's", "[model]") {
  for (const bool image : {false, true}) {
    clr::BatchNorm ours(5);
    torch::nn::BatchNorm1d flat(5);
    torch::nn::BatchNorm2d spatial(5);
    const auto theirs = [&](const Tensor& x) { return image ? spatial(x) : flat(x); };
    const torch::nn::Module& other =
        image ? static_cast<torch::nn::Module&>(*spatial) : static_cast<torch::nn::Module&>(*flat);
    CATCH_CHECK(listing(ours) == listing(other));
    for (int step = 0; step < 5; ++step) {
      const bool training = step < 3;
      ours.train(training);
      flat->train(training);
      spatial->train(training);
      const Tensor x =
          uniform(fmt::format("x{}", step),
                  image ? std::vector<std::int64_t>{4, 5, 3, 3} : std::vector<std::int64_t>{6, 5})
              .to(torch::kFloat32);
      CATCH_CHECK(torch::equal(ours.forward(x), theirs(x)));
    }
    const auto state = state_of(ours);
    const auto expected = state_of(other);
    for (std::size_t k = 0; k < state.size(); ++k) {
      CATCH_INFO(state[k].first);
      CATCH_CHECK(torch::equal(state[k].second, expected[k].second));
    }
  }
}

CATCH_TEST_CASE("frozen batch norm counts nothing", "[model]") {
  clr::BatchNorm norm(3);
  const Tensor x = uniform("x", {8, 3}).to(torch::kFloat32) + 4;
  const Tensor expected = norm.forward(x);
  const Tensor mean = norm.running_mean.clone();
  const Tensor var = norm.running_var.clone();
  CATCH_REQUIRE(mean.abs().min().item<double>() > 0.1);
  norm.set_frozen(true);
  CATCH_CHECK(torch::equal(norm.forward(x), expected));
  CATCH_CHECK(torch::equal(norm.running_mean, mean));
  CATCH_CHECK(torch::equal(norm.running_var, var));
  CATCH_CHECK(norm.num_batches_tracked.item<std::int64_t>() == 1);
  norm.eval();
  const Tensor by_running = (x - mean) / (var + 1e-5).sqrt();
  CATCH_CHECK(torch::allclose(norm.forward(x), by_running, 1e-5, 1e-6));
  norm.train();
  norm.set_frozen(false);
  norm.forward(x);
  CATCH_CHECK(norm.num_batches_tracked.item<std::int64_t>() == 2);
  CATCH_CHECK_FALSE(torch::equal(norm.running_mean, mean));
}

CATCH_TEST_CASE("the projection head's layers", "[model]") {
  using clr::HeadBatchNorm;
  struct Case {
    std::int64_t layers;
    HeadBatchNorm norm;
    bool bias;
    std::string listing;
  };
  const auto buffers = [](const std::string& name, int width) {
    const std::string w = fmt::format(" [{}]\n", width);
    return name + ".running_mean" + w + name + ".running_var" + w + name +
           ".num_batches_tracked []\n";
  };
  const auto affine = [](const std::string& name, int width) {
    const std::string w = fmt::format(" [{}]\n", width);
    return name + ".weight" + w + name + ".bias" + w;
  };
  const std::string bn1 = affine("bn1", 6) + buffers("bn1", 6);
  const std::string bn2 = affine("bn2", 6) + buffers("bn2", 6);
  const std::vector<Case> cases{
      {0, HeadBatchNorm::all, true, ""},
      {1, HeadBatchNorm::hidden, true, "linear1.weight [3, 5]\nlinear1.bias [3]\n"},
      {1, HeadBatchNorm::all, true, "linear1.weight [3, 5]\n" + buffers("bn1", 3)},
      {2, HeadBatchNorm::none, false, "linear1.weight [6, 5]\nlinear2.weight [3, 6]\n"},
      {2, HeadBatchNorm::none, true,
       "linear1.weight [6, 5]\nlinear1.bias [6]\nlinear2.weight [3, 6]\nlinear2.bias [3]\n"},
      {2, HeadBatchNorm::hidden, true,
       "linear1.weight [6, 5]\n" + bn1 + "linear2.weight [3, 6]\nlinear2.bias [3]\n"},
      {3, HeadBatchNorm::all, true,
       "linear1.weight [6, 5]\n" + bn1 + "linear2.weight [6, 6]\n" + bn2 +
           "linear3.weight [3, 6]\n" + buffers("bn3", 3)},
  };
  for (const Case& c : cases) {
    CATCH_INFO(c.layers << " layers, " << clr::to_string(c.norm) << ", bias " << c.bias);
    const bool gelu = c.layers == 3 || (c.layers == 2 && !c.bias);
    clr::MlpHead head(5, {c.layers, 6, 3, c.norm, c.bias,
                          gelu ? clr::HeadActivation::gelu : clr::HeadActivation::relu});
    CATCH_CHECK(listing(head) == c.listing);
    CATCH_CHECK(head.output_dim() == (c.layers == 0 ? 5 : 3));

    const Tensor h = uniform("h", {7, 5}).to(torch::kFloat32);
    Tensor x = h.to(torch::kFloat64);
    CATCH_CHECK(torch::equal(head.forward_to(h, 0), h));
    for (std::int64_t k = 1; k <= c.layers; ++k) {
      const std::string number = std::to_string(k);
      auto parameters = head.named_parameters();
      const auto parameter = [&](const std::string& name) {
        const Tensor* found = parameters.find(name);
        return found ? found->to(torch::kFloat64) : Tensor();
      };
      x = x.matmul(parameter("linear" + number + ".weight").t());
      if (parameter("linear" + number + ".bias").defined())
        x = x + parameter("linear" + number + ".bias");
      if (head.named_buffers().contains("bn" + number + ".running_mean")) {
        x = (x - x.mean(0)) / (x.var(0, false) + 1e-5).sqrt();
      }
      if (k < c.layers) x = gelu ? x / 2 * (1 + (x / std::sqrt(2.0)).erf()) : x.clamp_min(0);
      CATCH_CHECK(torch::allclose(head.forward_to(h, k).to(torch::kFloat64), x, 1e-4, 1e-5));
    }
    CATCH_CHECK(torch::equal(head.forward(h), head.forward_to(h, c.layers)));
    CATCH_CHECK(head.forward(h).sizes() == torch::IntArrayRef({7, head.output_dim()}));
    CATCH_CHECK_THROWS_AS(head.forward_to(h, c.layers + 1), c10::Error);
    CATCH_CHECK_THROWS_AS(head.forward_to(h, -1), c10::Error);
  }
}
