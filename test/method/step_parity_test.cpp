// SPDX-License-Identifier: Apache-2.0
// Training steps of SimCLR as PyTorch took them: test/golden/step_parity holds the weights it began
// with, its views, its losses and its features after three steps; CLR_STEP_PARITY may name a folder
// with a longer run, which test/cli/step_parity.sh makes where PyTorch can be had.
#include <fmt/format.h>
#include <torch/types.h>

#include <cmath>
#include <cstdlib>
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

const fs::path kCommitted = fs::path(CLR_TEST_DATA_DIR) / "step_parity";

template <class Seam>
clr::Component<Seam> describe(const Json& json) {
  clr::Component<Seam> component;
  component.read(json, clr::Place("test"));
  return component;
}

/// uint8 stands for value / 255.
Tensor unit_range(const Tensor& values, torch::ScalarType type) {
  return values.scalar_type() == torch::kUInt8 ? values.to(type) / 255 : values.to(type);
}

Tensor images(const fs::path& path, torch::ScalarType type) {
  return unit_range(clr::read_npy(path), type);
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

Tensor features(clr::Method& method, const Tensor& probe) {
  const torch::NoGradGuard no_grad;
  method.eval();
  const Tensor h = method.encoder().forward(clr::View{probe});
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

Run train(const fs::path& folder, const Json& parity, torch::ScalarType type) {
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
  load(method, clr::read_safetensors(folder / "initial.safetensors"));
  method.to(type);
  const Tensor probe = images(folder / "probe.npy", type);
  run.initial_features = features(method, probe);

  std::vector<clr::OptimizerGroup> groups;
  for (const auto& group : method.parameter_groups()) groups.push_back({group.parameters});
  const auto component = describe<clr::Optimizer>({{"type", "sgd"},
                                                   {"learning_rate", recipe["learning_rate"]},
                                                   {"momentum", recipe["momentum"]},
                                                   {"weight_decay", recipe["weight_decay"]}});
  const auto optimizer = clr::optimizers().make(component, groups);
  const double base = clr::effective_learning_rate(clr::shared_options(component),
                                                   recipe["batch_size"].get<std::int64_t>());

  const Tensor views = clr::read_npy(folder / "views.npy");
  CATCH_REQUIRE(views.size(0) == parity["steps"].get<std::int64_t>());
  for (std::int64_t step = 0; step < views.size(0); ++step) {
    clr::Batch batch;
    batch.groups = {unit_range(views[step], type)};
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
  run.features = features(method, probe);
  return run;
}

void check(const std::vector<double>& got, const Json& expected, double bound) {
  CATCH_REQUIRE(got.size() == expected.size());
  for (std::size_t k = 0; k < got.size(); ++k) {
    CATCH_INFO("step " << k);
    CATCH_CHECK(got[k] == Approx(expected[k].get<double>()).epsilon(bound));
  }
}

Json read_parity(const fs::path& folder) {
  const std::string text = clr::read_file(folder / "parity.json", clr::ErrorKind::data);
  return clr::parse_json(text, "parity.json");
}

/// Everything that a float64 run leaves: each loss, the features and each tensor of the model.
void check_exact(const fs::path& folder, const Json& parity, const Run& run, double loss_bound,
                 double bound) {
  check(run.losses, parity["losses_float64"], loss_bound);
  CATCH_CHECK(away(run.features, images(folder / "features_float64.npy", torch::kFloat64)) < bound);
  const Json& tensors = parity["final_tensors_float64"];
  std::size_t compared = 0;
  const auto compare = [&](const std::string& name, const Tensor& tensor) {
    CATCH_INFO(name);
    const Tensor exact = tensor.detach().to(torch::kFloat64);
    const double norm = tensors.at(name).at("norm").get<double>();
    CATCH_CHECK(exact.norm().item<double>() == Approx(norm).epsilon(bound));
    CATCH_CHECK(exact.sum().item<double>() ==
                Approx(tensors.at(name).at("sum").get<double>()).margin(bound * norm));
    ++compared;
  };
  for (const auto& item : run.method->named_parameters()) compare(item.key(), item.value());
  for (const auto& item : run.method->named_buffers()) compare(item.key(), item.value());
  CATCH_CHECK(compared == tensors.size());
}

}  // namespace

CATCH_TEST_CASE("three steps are PyTorch's", "[method]") {
  const Json parity = read_parity(kCommitted);
  const Run run = train(kCommitted, parity, torch::kFloat32);
  check(run.losses, parity["losses"], 1e-4);
  // Two threads alone move PyTorch's own third norm by 1e-3: rounding switches ReLUs.
  check(run.gradient_norms, parity["gradient_norms"], 1e-2);
  const auto golden = [](const char* name) { return images(kCommitted / name, torch::kFloat64); };
  CATCH_CHECK(away(run.initial_features, golden("initial_features.npy")) < 1e-4);
  CATCH_CHECK(away(run.features, golden("features.npy")) < 1e-3);
  CATCH_CHECK(away(run.features, run.initial_features) > 0.1);
}

// Where rounding hides nothing, weight decay (9e-9 of the third loss) and each tensor's last update
// can be seen too.
CATCH_TEST_CASE("three steps in float64 are PyTorch's", "[method]") {
  const Json parity = read_parity(kCommitted);
  check_exact(kCommitted, parity, train(kCommitted, parity, torch::kFloat64), 1e-11, 1e-9);
}

// Hidden: only test/cli/step_parity.sh makes the folder.
CATCH_TEST_CASE("a longer run is PyTorch's", "[.step_parity]") {
  const char* named = std::getenv("CLR_STEP_PARITY");
  CATCH_REQUIRE(named != nullptr);
  const fs::path folder = named;
  const Json parity = read_parity(folder);

  const Run exact = train(folder, parity, torch::kFloat64);
  const Run run = train(folder, parity, torch::kFloat32);
  const auto off = [](double got, const Json& expected) {
    return std::abs(got / expected.get<double>() - 1);
  };
  // Relative distances of each loss. Rounding switches ReLUs and training at this rate multiplies
  // the change: where PyTorch leaves its own float64 run, clr cannot follow it either.
  fmt::print("step  float64 clr/PyTorch  float32 clr/PyTorch  PyTorch float32/float64\n");
  double own_drift = 0.0;
  for (std::size_t k = 0; k < run.losses.size(); ++k) {
    const double exact_loss = parity["losses_float64"][k].get<double>();
    const double away_from_pytorch = off(run.losses[k], parity["losses"][k]);
    own_drift = std::max(own_drift, off(exact_loss, parity["losses"][k]));
    fmt::print("{:4}  {:19.1e}  {:19.1e}  {:23.1e}\n", k + 1,
               off(exact.losses[k], parity["losses_float64"][k]), away_from_pytorch,
               off(exact_loss, parity["losses"][k]));
    CATCH_INFO("step " << k + 1);
    CATCH_CHECK(away_from_pytorch < std::max(1e-4, 5 * own_drift));
  }
  check_exact(folder, parity, exact, 1e-10, 1e-8);
}
