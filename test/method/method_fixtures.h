// SPDX-License-Identifier: Apache-2.0
#pragma once

// What tests of methods share: a tiny network, a tiny batch, a plain training loop.
#include <torch/types.h>
#include <torch/utils.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "clr/method/method.h"
#include "clr/optim/optimizer.h"
#include "support/catch.h"

namespace clr::test {

using torch::Tensor;

template <class Seam>
Component<Seam> describe(const Json& json) {
  Component<Seam> component;
  component.read(json, Place("test"));
  return component;
}

inline std::shared_ptr<Method> make_described(const Json& json, const MethodContext& context) {
  torch::manual_seed(7);
  return methods().make(describe<Method>(json), context);
}

inline MethodContext tiny_context() {
  MethodContext context;
  context.make_encoder = [] {
    return encoders().make(
        describe<Encoder>({{"type", "resnet18"}, {"stem", "cifar"}, {"width", 0.0625}}));
  };
  context.projector.hidden = 48;
  context.projector.output = 16;
  context.dataset_size = 64;
  context.classes = 10;
  context.steps_per_epoch = 8;
  context.total_steps = 20;
  return context;
}

/// How the tests that loop over all methods make one: what suits a network and a batch this small.
struct TinyCase {
  Json method;
  std::vector<int> view_groups = {2};
};

inline TinyCase tiny_case(const std::string& type) {
  static const std::map<std::string, TinyCase> cases = {
      {"memory_bank", {{{"type", "memory_bank"}, {"temperature", 0.5}, {"negatives", 16}}, {1}}},
      {"moco",
       {{{"type", "moco"},
         {"temperature", 0.2},
         {"momentum", 0.9},
         {"queue_size", 20},
         {"symmetric", true}}}},
      {"moco_v3",
       {{{"type", "moco_v3"},
         {"temperature", 0.2},
         {"momentum", 0.9},
         {"final_momentum", 1.0},
         {"predictor", {{"hidden", 48}}}}}},
      {"nnclr",
       {{{"type", "nnclr"},
         {"temperature", 0.2},
         {"queue_size", 20},
         {"predictor", {{"hidden", 48}}}}}},
      {"byol",
       {{{"type", "byol"},
         {"momentum", 0.9},
         {"final_momentum", 1.0},
         {"predictor", {{"hidden", 48}}}}}},
      {"simsiam", {{{"type", "simsiam"}, {"predictor", {{"hidden", 12}}}}}},
      // The paper's weights are for LARS: 25 times the gradient.
      {"vicreg",
       {{{"type", "vicreg"},
         {"invariance_weight", 1.0},
         {"variance_weight", 1.0},
         {"covariance_weight", 0.04}}}},
      {"dino",
       {{{"type", "dino"},
         {"prototypes", 12},
         {"momentum", 0.9},
         {"final_momentum", 1.0},
         {"freeze_last_layer", 0}},
        {2, 2}}},
      {"swav",
       {{{"type", "swav"},
         {"prototypes", 12},
         {"freeze_prototypes_steps", 0},
         {"queue_length", 20},
         {"queue_from_epoch", 0}},
        {2, 2}}},
  };
  const auto found = cases.find(type);
  return found == cases.end() ? TinyCase{{{"type", type}}} : found->second;
}

inline std::shared_ptr<Method> make(const std::string& type, MethodContext context) {
  const TinyCase tiny = tiny_case(type);
  context.view_groups = tiny.view_groups;
  return make_described(tiny.method, context);
}

/// Noisy views of eight patterns; each group's are half as large as those of the one before it.
inline Batch tiny_batch(const std::vector<int>& view_groups = {2}) {
  torch::manual_seed(11);
  const Tensor patterns = torch::rand({1, 8, 3, 16, 16});
  Batch batch;
  std::int64_t stride = 1;
  for (const int views : view_groups) {
    const Tensor noisy = patterns + 0.3 * torch::randn({views, 8, 3, 16, 16});
    batch.groups.push_back(
        noisy.slice(3, 0, std::nullopt, stride).slice(4, 0, std::nullopt, stride).contiguous());
    stride *= 2;
  }
  batch.labels = torch::arange(8);
  batch.indices = torch::arange(8);
  return batch;
}

inline NamedTensors all_tensors(const torch::nn::Module& module) {
  NamedTensors tensors;
  for (const auto& item : module.named_parameters()) tensors.emplace_back(item.key(), item.value());
  for (const auto& item : module.named_buffers()) tensors.emplace_back(item.key(), item.value());
  return tensors;
}

inline NamedTensors cloned(const NamedTensors& named) {
  NamedTensors result;
  for (const auto& [name, tensor] : named) result.emplace_back(name, tensor.detach().clone());
  return result;
}

inline std::set<std::string> changed(const NamedTensors& before, const NamedTensors& after) {
  CATCH_REQUIRE(before.size() == after.size());
  std::set<std::string> names;
  for (std::size_t k = 0; k < before.size(); ++k) {
    if (!torch::equal(before[k].second, after[k].second)) names.insert(before[k].first);
  }
  return names;
}

inline bool running_statistic(const std::string& name) {
  return name.ends_with(".running_mean") || name.ends_with(".running_var") ||
         name.ends_with(".num_batches_tracked");
}

inline std::unique_ptr<Optimizer> make_sgd(Method& method) {
  std::vector<OptimizerGroup> groups;
  for (const auto& group : method.parameter_groups()) {
    groups.push_back({group.parameters, false, group.lr_multiplier, group.constant_lr});
  }
  return optimizers().make(describe<Optimizer>({{"type", "sgd"}}), groups);
}

/// Losses of `steps` steps on one batch.
inline std::vector<double> train(Method& method, int steps, const Batch& batch) {
  const auto optimizer = make_sgd(method);
  std::vector<double> losses;
  method.train();
  for (int step = 0; step < steps; ++step) {
    const StepContext context{step, 0, steps, 3};
    method.before_step(context);
    const Embeddings embeddings = method.embed(batch);
    const StepOutput output = method.loss(embeddings, batch, context);
    optimizer->zero_grad();
    output.loss.backward();
    optimizer->step(0.05, 0.05);
    method.after_step(embeddings, batch, context);
    losses.push_back(output.loss.item<double>());
  }
  return losses;
}

}  // namespace clr::test
