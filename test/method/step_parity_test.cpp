// SPDX-License-Identifier: Apache-2.0
// Three training steps of SimCLR as PyTorch took them: test/golden/step_parity holds the weights it
// began with, its views, its losses and its features afterwards.
#include <torch/types.h>

#include <cmath>
#include <filesystem>

#include "clr/io/file.h"
#include "clr/io/npy.h"
#include "clr/io/safetensors.h"
#include "clr/method/method.h"
#include "clr/optim/optimizer.h"
#include "clr/optim/schedule.h"
#include "support/catch.h"

namespace {

using clr::Json;
using torch::Tensor;
namespace fs = std::filesystem;

const fs::path kFolder = fs::path(CLR_TEST_DATA_DIR) / "step_parity";

template <class Seam>
clr::Component<Seam> describe(const Json& json) {
  clr::Component<Seam> component;
  component.read(json, clr::Place("test"));
  return component;
}

/// uint8 stands for value / 255.
Tensor images(const std::string& name) {
  const Tensor values = clr::read_npy(kFolder / name);
  return values.scalar_type() == torch::kUInt8 ? values.to(torch::kFloat32) / 255 : values;
}

void load(torch::nn::Module& module, const clr::SafeTensors& content) {
  const torch::NoGradGuard no_grad;
  std::size_t used = 0;
  const auto copy = [&](const std::string& name, Tensor target) {
    CATCH_INFO(name);
    const Tensor source = content.find(name);
    CATCH_REQUIRE(source.defined());
    CATCH_REQUIRE(source.sizes() == target.sizes());
    target.copy_(source);
    ++used;
  };
  for (const auto& item : module.named_parameters()) copy(item.key(), item.value());
  for (const auto& item : module.named_buffers()) copy(item.key(), item.value());
  CATCH_REQUIRE(used == content.tensors.size());
}

double away(const Tensor& got, const Tensor& expected) {
  CATCH_REQUIRE(got.sizes() == expected.sizes());
  return (got - expected).norm().item<double>() / expected.norm().item<double>();
}

Tensor features(clr::Method& method) {
  const torch::NoGradGuard no_grad;
  method.eval();
  const Tensor h = method.encoder().forward(clr::View{images("probe.npy")});
  method.train();
  return h;
}

}  // namespace

CATCH_TEST_CASE("three steps are PyTorch's", "[method]") {
  const Json parity =
      clr::parse_json(clr::read_file(kFolder / "parity.json", clr::ErrorKind::data), "parity.json");
  const Json& recipe = parity["recipe"];
  const auto total_steps = parity["total_steps"].get<std::int64_t>();

  clr::MethodContext context;
  context.make_encoder = [&] {
    return clr::encoders().make(describe<clr::Encoder>(
        {{"type", "resnet18"}, {"stem", "cifar"}, {"width", recipe["width"]}}));
  };
  context.projector = {2, recipe["hidden"].get<std::int64_t>(),
                       recipe["output"].get<std::int64_t>(), clr::HeadBatchNorm::none, false};
  const auto method = clr::methods().make(
      describe<clr::Method>({{"type", "simclr"}, {"temperature", recipe["temperature"]}}), context);
  load(*method, clr::read_safetensors(kFolder / "initial.safetensors"));
  CATCH_CHECK(away(features(*method), images("initial_features.npy")) < 1e-4);

  std::vector<clr::OptimizerGroup> groups;
  for (const auto& group : method->parameter_groups()) groups.push_back({group.parameters});
  const auto component = describe<clr::Optimizer>({{"type", "sgd"},
                                                   {"learning_rate", recipe["learning_rate"]},
                                                   {"momentum", recipe["momentum"]},
                                                   {"weight_decay", recipe["weight_decay"]}});
  const auto optimizer = clr::optimizers().make(component, groups);
  const double base = clr::effective_learning_rate(clr::shared_options(component), 32);

  const Tensor views = images("views.npy");
  CATCH_REQUIRE(views.size(0) == parity["steps"].get<std::int64_t>());
  method->train();
  for (std::int64_t step = 0; step < views.size(0); ++step) {
    CATCH_INFO("step " << step);
    const auto index = static_cast<std::size_t>(step);
    clr::Batch batch;
    batch.groups = {views[step]};
    const double rate = base * clr::schedule_factor({}, step, total_steps, total_steps);
    CATCH_CHECK(rate == Approx(parity["learning_rates"][index].get<double>()).epsilon(1e-12));
    const clr::StepOutput output = method->loss(method->embed(batch), batch, {});
    optimizer->zero_grad();
    output.loss.backward();
    CATCH_CHECK(output.loss.item<double>() ==
                Approx(parity["losses"][index].get<double>()).epsilon(1e-4));
    double squares = 0;
    for (const auto& parameter : method->parameters()) {
      squares += parameter.grad().to(torch::kFloat64).square().sum().item<double>();
    }
    CATCH_CHECK(std::sqrt(squares) ==
                Approx(parity["gradient_norms"][index].get<double>()).epsilon(1e-3));
    optimizer->step(rate, base);
  }
  const Tensor trained = features(*method);
  CATCH_CHECK(away(trained, images("features.npy")) < 1e-3);
  CATCH_CHECK(away(trained, images("initial_features.npy")) > 1e-2);

  for (const auto& item : method->named_buffers()) {
    CATCH_INFO(item.key());
    const Json& expected = parity["final_tensors_float64"][item.key()];
    CATCH_CHECK(item.value().to(torch::kFloat64).norm().item<double>() ==
                Approx(expected["norm"].get<double>()).epsilon(1e-3).margin(1e-6));
  }
}
