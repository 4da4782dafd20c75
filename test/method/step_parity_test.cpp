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
Tensor images(const std::string& name, torch::ScalarType type) {
  const Tensor values = clr::read_npy(kFolder / name);
  return values.scalar_type() == torch::kUInt8 ? values.to(type) / 255 : values.to(type);
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

Tensor features(clr::Method& method, torch::ScalarType type) {
  const torch::NoGradGuard no_grad;
  method.eval();
  const Tensor h = method.encoder().forward(clr::View{images("probe.npy", type)});
  method.train();
  return h.to(torch::kFloat64);
}

struct Run {
  std::vector<double> losses;
  std::vector<double> gradient_norms;
  Tensor initial_features;
  Tensor features;
  std::shared_ptr<clr::Method> method;
};

Run train(const Json& parity, torch::ScalarType type) {
  const Json& recipe = parity["recipe"];
  const auto total_steps = parity["total_steps"].get<std::int64_t>();
  clr::MethodContext context;
  context.make_encoder = [&] {
    return clr::encoders().make(describe<clr::Encoder>(
        {{"type", "resnet18"}, {"stem", "cifar"}, {"width", recipe["width"]}}));
  };
  context.projector = {2, recipe["hidden"].get<std::int64_t>(),
                       recipe["output"].get<std::int64_t>(), clr::HeadBatchNorm::none, false};
  Run run;
  run.method = clr::methods().make(
      describe<clr::Method>({{"type", "simclr"}, {"temperature", recipe["temperature"]}}), context);
  clr::Method& method = *run.method;
  load(method, clr::read_safetensors(kFolder / "initial.safetensors"));
  method.to(type);
  run.initial_features = features(method, type);

  std::vector<clr::OptimizerGroup> groups;
  for (const auto& group : method.parameter_groups()) groups.push_back({group.parameters});
  const auto component = describe<clr::Optimizer>({{"type", "sgd"},
                                                   {"learning_rate", recipe["learning_rate"]},
                                                   {"momentum", recipe["momentum"]},
                                                   {"weight_decay", recipe["weight_decay"]}});
  const auto optimizer = clr::optimizers().make(component, groups);
  const double base = clr::effective_learning_rate(clr::shared_options(component), 32);

  const Tensor views = images("views.npy", type);
  CATCH_REQUIRE(views.size(0) == parity["steps"].get<std::int64_t>());
  for (std::int64_t step = 0; step < views.size(0); ++step) {
    clr::Batch batch;
    batch.groups = {views[step]};
    const double rate = base * clr::schedule_factor({}, step, total_steps, total_steps);
    CATCH_CHECK(rate ==
                Approx(parity["learning_rates"].at(static_cast<std::size_t>(step)).get<double>())
                    .epsilon(1e-12));
    const clr::StepOutput output = method.loss(method.embed(batch), batch, {});
    optimizer->zero_grad();
    output.loss.backward();
    run.losses.push_back(output.loss.item<double>());
    double squares = 0;
    for (const auto& parameter : method.parameters()) {
      squares += parameter.grad().to(torch::kFloat64).square().sum().item<double>();
    }
    run.gradient_norms.push_back(std::sqrt(squares));
    optimizer->step(rate, base);
  }
  run.features = features(method, type);
  return run;
}

void check(const std::vector<double>& got, const Json& expected, double bound) {
  CATCH_REQUIRE(got.size() == expected.size());
  for (std::size_t k = 0; k < got.size(); ++k) {
    CATCH_INFO("step " << k);
    CATCH_CHECK(got[k] == Approx(expected[k].get<double>()).epsilon(bound));
  }
}

Json read_parity() {
  const std::string text = clr::read_file(kFolder / "parity.json", clr::ErrorKind::data);
  return clr::parse_json(text, "parity.json");
}

}  // namespace

CATCH_TEST_CASE("three steps are PyTorch's", "[method]") {
  const Json parity = read_parity();
  const Run run = train(parity, torch::kFloat32);
  check(run.losses, parity["losses"], 1e-4);
  // Two threads alone move PyTorch's own third norm by 1e-3: rounding switches ReLUs.
  check(run.gradient_norms, parity["gradient_norms"], 1e-2);
  CATCH_CHECK(away(run.initial_features, images("initial_features.npy", torch::kFloat64)) < 1e-4);
  CATCH_CHECK(away(run.features, images("features.npy", torch::kFloat64)) < 1e-3);
  CATCH_CHECK(away(run.features, run.initial_features) > 0.1);
}

// Where rounding hides nothing, weight decay (9e-9 of the third loss) and each tensor's last update
// can be seen too.
CATCH_TEST_CASE("three steps in float64 are PyTorch's", "[method]") {
  const Json parity = read_parity();
  const Run run = train(parity, torch::kFloat64);
  check(run.losses, parity["losses_float64"], 1e-11);
  CATCH_CHECK(away(run.features, images("features_float64.npy", torch::kFloat64)) < 1e-9);
  const Json& tensors = parity["final_tensors_float64"];
  std::size_t compared = 0;
  const auto compare = [&](const std::string& name, const Tensor& tensor) {
    CATCH_INFO(name);
    const Tensor exact = tensor.detach().to(torch::kFloat64);
    const double norm = tensors.at(name).at("norm").get<double>();
    CATCH_CHECK(exact.norm().item<double>() == Approx(norm).epsilon(1e-10));
    CATCH_CHECK(exact.sum().item<double>() ==
                Approx(tensors.at(name).at("sum").get<double>()).margin(1e-9 * norm));
    ++compared;
  };
  for (const auto& item : run.method->named_parameters()) compare(item.key(), item.value());
  for (const auto& item : run.method->named_buffers()) compare(item.key(), item.value());
  CATCH_CHECK(compared == tensors.size());
}
