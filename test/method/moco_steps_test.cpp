// SPDX-License-Identifier: Apache-2.0
// Training steps of moco and moco_v3 as PyTorch took them: test/golden/moco/README.md.
#include <torch/types.h>

#include "clr/io/file.h"
#include "clr/io/npy.h"
#include "clr/io/safetensors.h"
#include "method/method_fixtures.h"
#include "support/catch.h"

namespace clr {
namespace {

using test::all_tensors;
using test::describe;
using test::make_described;
using test::tiny_context;
using torch::Tensor;

const std::string kFolder = std::string(CLR_TEST_DATA_DIR) + "/moco/";

/// The trained networks' tensors; the target has to get its own from them.
void load(Method& method) {
  const torch::NoGradGuard no_grad;
  const SafeTensors content = read_safetensors(kFolder + "initial.safetensors");
  for (auto& [name, tensor] : all_tensors(method)) {
    CATCH_INFO(name);
    if (name == "queue") {
      tensor.copy_(read_npy(kFolder + "queue.npy"));
    } else if (name != "queue_position" && !name.starts_with("target.")) {
      CATCH_REQUIRE(content.find(name).defined());
      tensor.copy_(content.find(name));
    }
  }
}

std::vector<double> train(const Json& json) {
  const auto method = make_described(json, tiny_context());
  load(*method);
  method->to(torch::kFloat64);
  // It is a number of a row, whatever the networks compute in.
  if (Tensor* position = method->named_buffers().find("queue_position")) {
    position->set_data(position->to(torch::kInt64));
  }
  method->train();
  std::vector<OptimizerGroup> groups;
  for (const auto& group : method->parameter_groups()) groups.push_back({group.parameters});
  const auto optimizer = optimizers().make(
      describe<Optimizer>({{"type", "sgd"}, {"momentum", 0.9}, {"weight_decay", 5e-4}}), groups);
  const Tensor views = read_npy(kFolder + "views.npy");
  std::vector<double> losses;
  for (std::int64_t step = 0; step < views.size(0); ++step) {
    Batch batch;
    batch.groups = {views[step].to(torch::kFloat64) / 255};
    const StepContext context{step, 0, 10, 3};
    method->before_step(context);
    const Embeddings embeddings = method->embed(batch);
    const Tensor loss = method->loss(embeddings, batch, context).loss;
    optimizer->zero_grad();
    loss.backward();
    optimizer->step(0.02, 0.02);
    method->after_step(embeddings, batch, context);
    losses.push_back(loss.item<double>());
  }
  return losses;
}

}  // namespace

CATCH_TEST_CASE("steps of moco and moco_v3 are PyTorch's", "[method]") {
  // Mistakes, each seen in a later loss: an average of the wrong weights or at the wrong time; the
  // ramp a step off; joint statistics; a queue out of order, or one that stands still; weight decay
  // of the target; a factor of the loss. In float64, where rounding hides nothing.
  const std::string path = kFolder + "steps.json";
  const Json expected = parse_json(read_file(path, ErrorKind::data), path);
  Json moco = {{"type", "moco"}, {"temperature", 0.1}, {"queue_size", 20}, {"momentum", 0.8}};
  const Json moco_v3 = {{"type", "moco_v3"},
                        {"temperature", 0.2},
                        {"momentum", 0.8},
                        {"predictor", {{"hidden", 48}, {"batch_norm", "hidden"}}}};
  const auto check = [&](const std::string& name, const Json& json) {
    CATCH_INFO(name);
    const std::vector<double> losses = train(json);
    CATCH_REQUIRE(losses.size() == expected.at(name).size());
    for (std::size_t k = 0; k < losses.size(); ++k) {
      CATCH_INFO("step " << k);
      CATCH_CHECK(losses[k] == Approx(expected.at(name)[k].get<double>()).epsilon(1e-10));
    }
  };
  check("moco", moco);
  moco["symmetric"] = true;
  check("moco_symmetric", moco);
  check("moco_v3", moco_v3);
}

}  // namespace clr
