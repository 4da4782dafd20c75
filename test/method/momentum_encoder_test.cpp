// SPDX-License-Identifier: Apache-2.0
// Target networks, of every method that has one. Each test says which mistake it is there for.
#include "clr/method/momentum_encoder.h"

#include <torch/types.h>

#include <string>
#include <vector>

#include "method/method_fixtures.h"
#include "support/catch.h"

namespace clr {
namespace {

using test::all_tensors;
using test::changed;
using test::cloned;
using test::make;
using test::make_described;
using test::make_sgd;
using test::tiny_batch;
using test::tiny_case;
using test::tiny_context;
using torch::Tensor;

/// The methods with a target.
const std::vector<std::string>& followers() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> found;
    for (const std::string& type : methods().names()) {
      const auto parameters = make(type, tiny_context())->named_parameters();
      if (parameters.contains("target.encoder.conv1.weight")) found.push_back(type);
    }
    return found;
  }();
  CATCH_REQUIRE_FALSE(names.empty());
  return names;
}

}  // namespace

CATCH_TEST_CASE("a target moves only as the moving average of what is trained", "[method]") {
  // Mistakes: the optimiser has the target; it follows before the optimiser's step; momentum and
  // its complement are swapped; batch norm's buffers are averaged; the ramp stands still.
  for (const std::string& type : followers()) {
    CATCH_INFO(type);
    const Json json = tiny_case(type).method;
    MomentumOptions momentum;
    momentum.momentum = json.at("momentum");
    momentum.final_momentum = json.value("final_momentum", 0.0);
    const auto method = make(type, tiny_context());
    method->train();
    const auto parameters = method->named_parameters();
    for (const auto& group : method->parameter_groups()) {
      for (const auto& item : group.parameters)
        CATCH_CHECK_FALSE(item.first.starts_with("target."));
    }
    // The same network to begin with.
    CATCH_CHECK(torch::equal(parameters["target.encoder.conv1.weight"],
                             parameters["encoder.conv1.weight"]));
    const auto optimizer = make_sgd(*method);
    const Batch batch = tiny_batch();
    for (int step = 0; step < 3; ++step) {
      const StepContext context{step, 0, 4, 3};
      method->before_step(context);
      const Embeddings embeddings = method->embed(batch);
      CATCH_CHECK(embeddings.z[0].requires_grad());
      CATCH_CHECK_FALSE(embeddings.z[1].requires_grad());
      optimizer->zero_grad();
      method->loss(embeddings, batch, context).loss.backward();
      const NamedTensors before = cloned(all_tensors(*method));
      optimizer->step(0.05, 0.05);
      for (const std::string& name : changed(before, all_tensors(*method))) {
        CATCH_CHECK_FALSE(name.starts_with("target."));
      }
      const NamedTensors stepped = cloned(all_tensors(*method));
      method->after_step(embeddings, batch, context);
      const double kept = momentum.momentum_at(context);
      for (const auto& [name, old] : stepped) {
        CATCH_INFO(name);
        if (!name.starts_with("target.")) continue;
        const Tensor* now = parameters.find(name);
        if (now == nullptr) {
          CATCH_CHECK(torch::equal(method->named_buffers()[name], old));
          continue;
        }
        CATCH_CHECK_FALSE(now->grad().defined());
        const Tensor trained = parameters[name.substr(std::string("target.").size())];
        CATCH_CHECK(torch::allclose(*now, kept * old + (1 - kept) * trained, 1e-5, 1e-7));
      }
    }
  }
}

CATCH_TEST_CASE("a target starts from the weights that a run starts from", "[method]") {
  // Mistake: a run from given weights whose target keeps the random ones.
  for (const std::string& type : followers()) {
    const auto method = make(type, tiny_context());
    {
      const torch::NoGradGuard no_grad;
      method->named_parameters()["encoder.conv1.weight"].fill_(0.25);
    }
    method->before_step({0, 0, 20, 3});
    CATCH_CHECK(
        method->named_parameters()["target.encoder.conv1.weight"].eq(0.25).all().item<bool>());
    {
      const torch::NoGradGuard no_grad;
      method->named_parameters()["encoder.conv1.weight"].fill_(0.5);
    }
    method->before_step({1, 0, 20, 3});
    CATCH_CHECK(
        method->named_parameters()["target.encoder.conv1.weight"].eq(0.25).all().item<bool>());
  }
}

CATCH_TEST_CASE("views go through networks with a target one by one", "[method]") {
  // Mistake: joint statistics, by which a query can tell its key.
  for (const std::string& type : followers()) {
    // Its reference has all views of one size together.
    if (type == "dino") continue;
    const auto method = make(type, tiny_context());
    method->embed(tiny_batch());
    for (const char* name : {"encoder.bn1", "target.encoder.bn1"}) {
      CATCH_CHECK(method->named_buffers()[name + std::string(".num_batches_tracked")].item<int>() ==
                  2);
    }
  }
}

CATCH_TEST_CASE("a momentum follows its cosine", "[method]") {
  MomentumOptions options;
  options.momentum = 0.99;
  CATCH_CHECK_FALSE(options.ramped());
  CATCH_CHECK(options.momentum_at({50, 0, 100, 0}) == 0.99);
  options.final_momentum = 1.0;
  CATCH_CHECK(options.momentum_at({0, 0, 100, 0}) == Approx(0.99).epsilon(1e-12));
  CATCH_CHECK(options.momentum_at({50, 0, 100, 0}) == Approx(0.995).epsilon(1e-12));
  CATCH_CHECK(options.momentum_at({25, 0, 100, 0}) ==
              Approx(1 - 0.01 * (1 + std::sqrt(0.5)) / 2).epsilon(1e-12));
  CATCH_CHECK(options.momentum_at({100, 0, 100, 0}) == Approx(1.0).epsilon(1e-12));
  const Json falling = {{"type", "moco"}, {"momentum", 0.99}, {"final_momentum", 0.9}};
  CATCH_CHECK_THROWS_AS(make_described(falling, tiny_context()), Error);
}

}  // namespace clr
