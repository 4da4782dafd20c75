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
#include "clr/text/wordpiece.h"
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
  Json text_encoder{};  ///< a method on texts has one of these instead of the ResNet
  double rate = 0.05;   ///< at which it learns one batch in 20 steps
};

inline std::shared_ptr<const WordPiece> tiny_pieces() {
  std::vector<std::string> pieces{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  for (int i = 0; i < 35; ++i) pieces.push_back("w" + std::to_string(i));
  return std::make_shared<const WordPiece>(pieces, true, "test");
}

inline Json tiny_bert(const Json& more = Json::object()) {
  Json json = {{"type", "bert"}, {"vocabulary", 40},   {"layers", 2},    {"width", 32},
               {"heads", 2},     {"intermediate", 48}, {"positions", 16}};
  json.update(more);
  return json;
}

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
      {"token_prediction",
       {{{"type", "token_prediction"}, {"mask_rate", 0.4}}, {1}, tiny_bert(), 0.1}},
      {"skip_gram",
       {{{"type", "skip_gram"}, {"noise_words", 32}, {"subsample", 0}},
        {1},
        {{"type", "static"}, {"vocabulary", 40}, {"width", 16}},
        1.5}},
      {"atcl", {{{"type", "atcl"}}, {2}, tiny_bert()}},
  };
  const auto found = cases.find(type);
  return found == cases.end() ? TinyCase{{{"type", type}}} : found->second;
}

/// `context` as the method's tiny case wants it.
inline MethodContext suited(MethodContext context, const std::string& type) {
  const TinyCase tiny = tiny_case(type);
  context.view_groups = tiny.view_groups;
  if (!tiny.text_encoder.is_null()) {
    context.make_encoder = [encoder = tiny.text_encoder] {
      return encoders().make(describe<Encoder>(encoder));
    };
    context.pieces = tiny_pieces();
  }
  return context;
}

inline std::shared_ptr<Method> make(const std::string& type, const MethodContext& context) {
  return make_described(tiny_case(type).method, suited(context, type));
}

/// Views of `texts` texts of many lengths, [views, texts, 12], with keys: in each view other words of a
/// text's own.
inline void add_texts(Batch& batch, std::int64_t views, std::int64_t texts) {
  Tensor tokens = torch::full({views, texts, 12}, -1, torch::kInt32);
  for (std::int64_t v = 0; v < views; ++v) {
    for (std::int64_t n = 0; n < texts; ++n) {
      const std::int64_t words = 4 + (n * 3 + v) % 7;
      tokens[v][n][0] = 2;
      for (std::int64_t i = 1; i <= words; ++i)
        tokens[v][n][i] = 5 + (4 * n + (i * (v + 2)) % 4) % 35;
      tokens[v][n][words + 1] = 3;
    }
  }
  batch.groups.push_back(tokens);
  batch.keys.push_back((torch::arange(views * texts) * 7919 + 13).view({views, texts}));
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

/// What a method's tiny case learns from: those views, or texts.
inline Batch batch_for(const std::string& type) {
  const TinyCase tiny = tiny_case(type);
  if (tiny.text_encoder.is_null()) return tiny_batch(tiny.view_groups);
  Batch batch;
  for (const int views : tiny.view_groups) add_texts(batch, views, 8);
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
inline std::vector<double> train(Method& method, int steps, const Batch& batch,
                                 double rate = 0.05) {
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
    optimizer->step(rate, rate);
    method.after_step(embeddings, batch, context);
    losses.push_back(output.loss.item<double>());
  }
  return losses;
}

}  // namespace clr::test
