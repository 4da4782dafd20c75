// SPDX-License-Identifier: Apache-2.0
// MoCo v1 and v2. Each test says which mistake it is there for; values: test/golden/moco/README.md.
#include <torch/types.h>

#include <cmath>
#include <deque>

#include "clr/io/file.h"
#include "clr/io/npy.h"
#include "clr/loss/contrastive.h"
#include "method/method_fixtures.h"
#include "support/catch.h"

namespace clr {
namespace {

using test::make_described;
using test::tiny_batch;
using test::tiny_context;
using torch::Tensor;

Tensor golden(const std::string& name) {
  return read_npy(std::string(CLR_TEST_DATA_DIR) + "/moco/" + name + ".npy");
}

Approx expected(const std::string& name) {
  const std::string path = std::string(CLR_TEST_DATA_DIR) + "/moco/expected.json";
  return Approx(parse_json(read_file(path, ErrorKind::data), path).at(name).get<double>())
      .epsilon(1e-5);
}

Json moco(const Json& changes) {
  Json json = {{"type", "moco"}, {"temperature", 0.1}, {"queue_size", 20}};
  json.merge_patch(changes);
  return json;
}

Tensor buffer(Method& method, const std::string& name) { return method.named_buffers()[name]; }

void set_queue(Method& method, const Tensor& queue) {
  const torch::NoGradGuard no_grad;
  buffer(method, "queue").copy_(queue);
}

/// The batch without its last images.
Batch first_images(Batch batch, std::int64_t images) {
  for (Tensor& group : batch.groups) group = group.narrow(1, 0, images);
  batch.labels = batch.labels.narrow(0, 0, images);
  batch.indices = batch.indices.narrow(0, 0, images);
  return batch;
}

}  // namespace

CATCH_TEST_CASE("moco's loss is lightly's with a memory bank", "[method]") {
  // Mistakes: the wrong view's key; a sum for the mean of both directions; a gradient for keys.
  for (const bool symmetric : {false, true}) {
    const auto method = make_described(moco({{"symmetric", symmetric}}), tiny_context());
    set_queue(*method, golden("queue"));
    const std::int64_t views = symmetric ? 2 : 1;
    const Tensor queries = golden("queries").narrow(0, 0, views).clone().requires_grad_();
    const Tensor keys = golden("keys").narrow(0, 2 - views, views).clone().requires_grad_();
    const StepOutput output = method->loss({{queries, keys}}, {}, {});
    CATCH_CHECK(output.loss.item<double>() == expected(symmetric ? "moco_symmetric" : "moco"));
    output.loss.backward();
    CATCH_CHECK(queries.grad().defined());
    CATCH_CHECK_FALSE(keys.grad().defined());
    CATCH_CHECK_FALSE(buffer(*method, "queue").grad().defined());
  }
}

CATCH_TEST_CASE("moco's queue is first in, first out, across the ends of epochs", "[method]") {
  // Mistakes: the position is reset with the epoch or left behind; a batch that does not divide
  // the queue overwrites the newest; the loss sees the batch's own keys; they go in unnormalised.
  for (const std::int64_t size : {20, 7}) {
    for (const bool symmetric : {false, true}) {
      const auto method =
          make_described(moco({{"queue_size", size}, {"symmetric", symmetric}}), tiny_context());
      method->train();
      const Tensor begin = buffer(*method, "queue").clone();
      CATCH_CHECK(torch::allclose(begin.norm(2, {1}), torch::ones({size})));
      std::deque<Tensor> model;  // oldest first
      for (std::int64_t i = 0; i < size; ++i) model.push_back(begin[i]);
      std::int64_t step = 0;
      for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
        for (const std::int64_t images : {8, 8, 5}) {
          Batch batch = first_images(tiny_batch(), images);
          torch::manual_seed(100 + step);  // other images in each step
          batch.groups[0] = torch::rand(batch.groups[0].sizes());
          const StepContext context{step++, epoch, 9, 3};
          method->before_step(context);
          const Embeddings embeddings = method->embed(batch);
          const Tensor before = buffer(*method, "queue").clone();
          const Tensor loss = method->loss(embeddings, batch, context).loss;
          CATCH_CHECK(torch::equal(buffer(*method, "queue"), before));
          const Tensor keys = unit_rows(embeddings.z[1].flatten(0, 1));
          // None of the batch's keys is in the queue that the loss saw.
          const Tensor away = (keys.unsqueeze(1) - before.unsqueeze(0)).abs().amax({2});
          CATCH_CHECK(away.min().item<double>() > 1e-4);
          method->after_step(embeddings, batch, context);
          for (std::int64_t i = 0; i < keys.size(0); ++i) {
            model.pop_front();
            model.push_back(keys[i]);
          }
          const Tensor queue = buffer(*method, "queue");
          const auto position = buffer(*method, "queue_position").item<std::int64_t>();
          for (std::int64_t i = 0; i < size; ++i) {
            CATCH_CHECK(
                torch::equal(queue[(position + i) % size], model[static_cast<std::size_t>(i)]));
          }
          CATCH_CHECK(std::isfinite(loss.item<double>()));
        }
      }
    }
  }
}

CATCH_TEST_CASE("moco's permuted keys come back to their places", "[method]") {
  // Mistakes: the order is not undone, or undone the wrong way round; keys are grouped as queries.
  Batch batch = tiny_batch();
  const auto keys_at = [&](std::int64_t splits, std::int64_t step, bool training) {
    const auto method =
        make_described(moco({{"batch_norm_splits", splits}, {"symmetric", true}}), tiny_context());
    method->train(training);
    method->before_step({0, 0, 20, 3});
    method->before_step({step, 0, 20, 3});
    return method->embed(batch).z[1];
  };
  // Without statistics of the batch an order is nothing but an order.
  CATCH_CHECK(torch::allclose(keys_at(4, 1, false), keys_at(1, 1, false), 1e-4, 1e-5));
  // With them, each step has its own groups; in one group there is nothing to permute.
  CATCH_CHECK_FALSE(torch::allclose(keys_at(4, 1, true), keys_at(4, 2, true), 1e-2, 1e-3));
  CATCH_CHECK(torch::equal(keys_at(1, 1, true), keys_at(1, 2, true)));
  CATCH_CHECK(torch::equal(keys_at(4, 1, true), keys_at(4, 1, true)));
  // Keys are not normalised with the neighbours that their queries have: the networks are the
  // same at the start, so that without a permutation keys and queries would be too.
  const auto method =
      make_described(moco({{"batch_norm_splits", 4}, {"symmetric", true}}), tiny_context());
  method->train();
  method->before_step({0, 0, 20, 3});
  const Embeddings embeddings = method->embed(batch);
  CATCH_CHECK_FALSE(torch::allclose(embeddings.z[0], embeddings.z[1], 1e-2, 1e-3));
  const Embeddings whole =
      make_described(moco({{"symmetric", true}}), tiny_context())->embed(batch);
  CATCH_CHECK(torch::allclose(whole.z[0], whole.z[1], 1e-4, 1e-5));
}

}  // namespace clr
