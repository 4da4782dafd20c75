// SPDX-License-Identifier: Apache-2.0
#pragma once

// Training steps whose losses another program took too: test/golden/moco/README.md.
#include <functional>
#include <string>
#include <vector>

#include "clr/io/npy.h"
#include "clr/io/safetensors.h"
#include "method/method_fixtures.h"

namespace clr::test {

/// What the steps of one method need beside its networks.
struct GoldenSteps {
  /// A tensor of the method's own, by name; undefined: one of the networks in initial.safetensors.
  std::function<Tensor(const std::string& name)> own = [](const std::string&) { return Tensor(); };
  std::function<double(std::int64_t step)> learning_rate = [](std::int64_t) { return 0.02; };
  std::int64_t steps_per_epoch = 1000;
  ViewForward view_forward = ViewForward::joint;
};

/// Losses of the steps in float64. Targets get their tensors from the trained networks.
inline std::vector<double> golden_losses(const Json& json, const GoldenSteps& golden) {
  const std::string folder = std::string(CLR_TEST_DATA_DIR) + "/moco/";
  MethodContext own_context = tiny_context();
  own_context.view_forward = golden.view_forward;
  const auto method = make_described(json, own_context);
  {
    const torch::NoGradGuard no_grad;
    const SafeTensors content = read_safetensors(folder + "initial.safetensors");
    for (auto& [name, tensor] : all_tensors(*method)) {
      CATCH_INFO(name);
      if (name == "queue_position" || name.starts_with("target")) continue;
      Tensor value = golden.own(name);
      if (!value.defined()) value = content.find(name);
      CATCH_REQUIRE(value.defined());
      tensor.copy_(value);
    }
  }
  method->to(torch::kFloat64);
  // It is a number of a row, whatever the networks compute in.
  if (Tensor* position = method->named_buffers().find("queue_position")) {
    position->set_data(position->to(torch::kInt64));
  }
  method->train();
  std::vector<OptimizerGroup> groups;
  for (const auto& group : method->parameter_groups())
    groups.push_back({group.parameters, false, group.lr_multiplier, group.constant_lr});
  const auto optimizer = optimizers().make(
      describe<Optimizer>({{"type", "sgd"}, {"momentum", 0.9}, {"weight_decay", 5e-4}}), groups);
  const Tensor views = read_npy(folder + "views.npy");
  std::vector<double> losses;
  for (std::int64_t step = 0; step < views.size(0); ++step) {
    Batch batch;
    batch.groups = {views[step].to(torch::kFloat64) / 255};
    const StepContext context{step, step / golden.steps_per_epoch, 10, 3};
    method->before_step(context);
    const Embeddings embeddings = method->embed(batch);
    const Tensor loss = method->loss(embeddings, batch, context).loss;
    optimizer->zero_grad();
    loss.backward();
    optimizer->step(golden.learning_rate(step), 0.02);
    method->after_step(embeddings, batch, context);
    losses.push_back(loss.item<double>());
  }
  return losses;
}

/// That they are those of `expected`, to rounding.
inline void check_golden_losses(const Json& expected, const std::string& name, const Json& json,
                                const GoldenSteps& golden) {
  CATCH_INFO(name);
  const std::vector<double> losses = golden_losses(json, golden);
  CATCH_REQUIRE(losses.size() == expected.at(name).size());
  for (std::size_t k = 0; k < losses.size(); ++k) {
    CATCH_INFO("step " << k);
    CATCH_CHECK(losses[k] == Approx(expected.at(name)[k].get<double>()).epsilon(1e-10));
  }
}

}  // namespace clr::test
