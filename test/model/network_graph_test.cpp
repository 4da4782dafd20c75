// SPDX-License-Identifier: Apache-2.0
#include "clr/model/network_graph.h"

#include <torch/csrc/jit/serialization/import.h>

#include <set>
#include <sstream>

#include "support/catch.h"

namespace {

std::shared_ptr<clr::Encoder> make_encoder(const std::string& type, const std::string& stem) {
  clr::Component<clr::Encoder> component;
  component.read({{"type", type}, {"stem", stem}, {"width", 0.125}}, clr::Place("test"));
  auto encoder = clr::encoders().make(component);
  // Statistics that are neither 0 nor 1.
  const torch::NoGradGuard no_grad;
  encoder->train();
  for (int k = 0; k < 3; ++k) encoder->forward({torch::randn({4, 3, 32, 32})});
  encoder->eval();
  return encoder;
}

}  // namespace

CATCH_TEST_CASE("a recorded vision transformer takes any batch, of another size too", "[model]") {
  torch::manual_seed(3);
  const torch::NoGradGuard no_grad;
  clr::Component<clr::Encoder> component;
  component.read({{"type", "vit_tiny"}, {"patch", 8}, {"image_size", 32}}, clr::Place("test"));
  const auto encoder = clr::encoders().make(component);
  encoder->eval();
  for (const std::int64_t side : {32, 48}) {
    torch::jit::Module network = clr::record_network(*encoder, nullptr, side);
    for (const std::int64_t batch : {1, 2, 5}) {
      const torch::Tensor pixels = torch::randn({batch, 3, side, side});
      CATCH_CHECK(at::allclose(network.forward({pixels}).toTensor(), encoder->forward({pixels}),
                               1e-5, 1e-5));
    }
  }
}

CATCH_TEST_CASE("a recorded network computes what the network does, for any batch", "[model]") {
  torch::manual_seed(3);
  const torch::NoGradGuard no_grad;
  for (const char* stem : {"imagenet", "cifar", "cifar_padded"}) {
    for (const char* type : {"resnet18", "resnet50"}) {
      for (const bool with_head : {false, true}) {
        CATCH_INFO(type << " " << stem << " " << with_head);
        const auto encoder = make_encoder(type, stem);
        clr::MlpHeadConfig config;
        config.hidden = 24;
        config.output = 8;
        config.batch_norm = clr::HeadBatchNorm::all;
        clr::MlpHead head(encoder->feature_dim(), config);
        head.forward(torch::randn({6, encoder->feature_dim()}));
        head.eval();
        torch::jit::Module network = clr::record_network(*encoder, with_head ? &head : nullptr, 32);
        // Through a file, as another program gets it.
        std::stringstream file;
        network.save(file);
        torch::jit::Module loaded = torch::jit::load(file);
        for (const std::int64_t batch : {1, 2, 5}) {
          const torch::Tensor pixels = torch::randn({batch, 3, 32, 32});
          torch::Tensor expected = encoder->forward({pixels});
          if (with_head) expected = head.forward(expected);
          CATCH_CHECK(torch::equal(loaded.forward({pixels}).toTensor(), expected));
        }
        std::set<std::string> names;
        for (const auto& item : loaded.named_parameters()) names.insert(item.name);
        for (const auto& item : loaded.named_buffers()) names.insert(item.name);
        std::set<std::string> expected;
        for (const auto& item : encoder->named_parameters()) expected.insert(item.key());
        for (const auto& item : encoder->named_buffers()) expected.insert(item.key());
        if (with_head) {
          for (const auto& item : head.named_parameters())
            expected.insert("projector." + item.key());
          for (const auto& item : head.named_buffers()) expected.insert("projector." + item.key());
        }
        CATCH_CHECK(names == expected);
      }
    }
  }
}

CATCH_TEST_CASE("a network in training mode is not recorded", "[model]") {
  const auto encoder = make_encoder("resnet18", "cifar");
  encoder->train();
  CATCH_CHECK_THROWS_AS(clr::record_network(*encoder, nullptr, 32), c10::Error);
}
