// SPDX-License-Identifier: Apache-2.0
// Runs in micro-batches, through the trainer.
#include <fmt/format.h>
#include <torch/types.h>

#include <atomic>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "clr/core/log.h"
#include "clr/io/file.h"
#include "clr/train/checkpoint.h"
#include "clr/train/run_setup.h"
#include "clr/train/trained_eval_config.h"
#include "data/files.h"
#include "support/catch.h"
#include "support/temporary_folder.h"
#include "train/run_fixtures.h"

namespace clr {
namespace {

using test::check_same_bytes;
using test::check_same_tensors;
using test::configured;
using test::contains;
using test::error_of;
using test::Outcome;
using test::Pictures;
using test::train;

void check_near(const Outcome& got, const Outcome& expected, double bound) {
  CATCH_REQUIRE(got.rows.size() == expected.rows.size());
  for (std::size_t i = 0; i < got.rows.size(); ++i) {
    CATCH_INFO("step " << i);
    CATCH_CHECK(got.rows[i].loss == Approx(expected.rows[i].loss).epsilon(bound));
    CATCH_CHECK(got.rows[i].gradient_norm == Approx(expected.rows[i].gradient_norm).epsilon(bound));
  }
}

Json micro(std::int64_t micro_batch) { return {{"train", {{"micro_batch", micro_batch}}}}; }

CATCH_TEST_CASE("a run with one micro-batch a batch is the run without", "[train]") {
  const auto dataset = std::make_shared<const Pictures>(30);
  for (const char* view_forward : {"joint", "per_view"}) {
    Json changes = {{"train", {{"view_forward", view_forward}, {"drop_last", false}}}};
    const Outcome whole = train(configured(changes), dataset);
    changes["train"]["micro_batch"] = 12;
    check_same_bytes(train(configured(changes), dataset), whole);
  }
}

// A frozen encoder is in evaluation mode, and its batch norm treats each image by itself.
CATCH_TEST_CASE("a classifier's run in micro-batches is the run without", "[train]") {
  const auto dataset = std::make_shared<const Pictures>(30);
  Json changes = {{"method", {{"type", "supervised"}, {"frozen", true}}},
                  {"optimizer", {{"learning_rate", 0.5}}},
                  {"train", {{"drop_last", false}, {"epochs", 3}}}};
  const Outcome whole = train(configured(changes), dataset);
  CATCH_REQUIRE(whole.rows.size() == 9);
  // It learns: the runs are compared along a way, not at its beginning.
  CATCH_CHECK(std::abs(whole.rows.back().loss - whole.rows.front().loss) > 0.05);
  for (const int micro_batch : {3, 5, 7}) {
    CATCH_INFO(micro_batch);
    changes["train"]["micro_batch"] = micro_batch;
    check_near(train(configured(changes), dataset), whole, 1e-5);
  }
}

CATCH_TEST_CASE("a run in micro-batches starts with the loss of the run without", "[train]") {
  const auto dataset = std::make_shared<const Pictures>(48);
  const Json changes = {{"train", {{"batch_size", 48}, {"epochs", 1}}}};
  const Outcome whole = train(configured(changes), dataset);
  Json cut = changes;
  cut["train"]["micro_batch"] = 24;
  const Outcome parts = train(configured(cut), dataset);
  // All of the batch are negatives still (with half of them it would be log 2 less). Batch norm
  // sees half of it: near, not equal.
  CATCH_CHECK(parts.rows.at(0).loss == Approx(whole.rows.at(0).loss).epsilon(0.02));
  CATCH_CHECK(parts.rows.at(0).loss != whole.rows.at(0).loss);
  CATCH_CHECK(parts.result.images_per_s > 0);
  const torch::Tensor counted = parts.checkpoint.model.find("encoder.bn1.num_batches_tracked");
  CATCH_CHECK(counted.item<std::int64_t>() == 1);
}

CATCH_TEST_CASE("runs in micro-batches do not depend on loader threads", "[train]") {
  const auto dataset = std::make_shared<const Pictures>(30, std::set<std::int64_t>{4, 17});
  for (const char* on_error : {"skip", "replace"}) {
    Json changes = micro(5);
    changes["data"]["on_error"] = on_error;
    const Outcome expected = train(configured(changes), dataset, 1);
    CATCH_CHECK(expected.result.bad_images == 2);
    check_same_bytes(train(configured(changes), dataset, 3), expected);
  }
}

CATCH_TEST_CASE("micro-batches without a readable image are passed over", "[train]") {
  // 4 of 24 images can be read, so that some parts of 8 have none. Those with one are refused: here
  // is more than one seed to try.
  std::set<std::int64_t> bad;
  for (std::int64_t i = 0; i < 20; ++i) bad.insert(i);
  const auto dataset = std::make_shared<const Pictures>(24, bad);
  Json changes = {{"method", {{"type", "supervised"}, {"frozen", true}}},
                  {"data", {{"on_error", "skip"}}},
                  {"train", {{"batch_size", 24}, {"epochs", 1}}}};
  int runs = 0;
  int refusals = 0;
  for (int seed = 0; seed < 60 && (runs < 2 || refusals < 1); ++seed) {
    changes["train"]["seed"] = seed;
    changes["train"]["micro_batch"] = 0;
    const Outcome expected = train(configured(changes), dataset);
    CATCH_CHECK(expected.result.bad_images == 20);
    changes["train"]["micro_batch"] = 8;
    try {
      const Outcome parts = train(configured(changes), dataset);
      check_near(parts, expected, 1e-5);
      CATCH_CHECK(parts.result.bad_images == 20);
      ++runs;
    } catch (const Error& error) {
      CATCH_CHECK(contains(std::string(error.what()),
                           "expected at least 2 readable images in a micro-batch, got 1"));
      ++refusals;
    }
  }
  CATCH_CHECK(runs >= 2);
  CATCH_CHECK(refusals >= 1);
}

CATCH_TEST_CASE("an image that can be read only once ends a run in micro-batches", "[train]") {
  for (const char* on_error : {"skip", "replace"}) {
    const auto dataset =
        std::make_shared<const Pictures>(24, std::set<std::int64_t>{}, std::set<std::int64_t>{5});
    Json changes = micro(6);
    changes["data"]["on_error"] = on_error;
    changes["train"]["drop_last"] = false;
    CATCH_CHECK(contains(error_of([&] { train(configured(changes), dataset); }),
                         "expected the images of the first pass again"));
  }
}

CATCH_TEST_CASE("train.micro_batch is checked against the batch", "[train]") {
  const auto refused = [](const Json& changes) {
    return error_of([&] { configured(changes); }, ErrorKind::config);
  };
  for (const int good : {0, 2, 5, 7, 11, 12}) CATCH_CHECK_FALSE(refused(micro(good)));
  for (const int wrong : {-1, 1, 13}) {
    CATCH_CHECK(contains(refused(micro(wrong)), "/train/micro_batch: expected"));
  }
  CATCH_CHECK(contains(refused(micro(13)), "[2, train.batch_size = 12], got 13"));
  Json odd = micro(2);
  odd["train"]["batch_size"] = 13;
  CATCH_CHECK(contains(refused(odd), "at least 2 images in each part of a batch of 13"));

  // The epoch's last batch is smaller.
  const auto last_of = [](int images, bool drop_last) {
    Json changes = micro(2);
    changes["train"]["drop_last"] = drop_last;
    const RunConfig config = configured(changes);
    return error_of([&] { steps_per_epoch(config, images); }, ErrorKind::config);
  };
  CATCH_CHECK_FALSE(last_of(26, false));
  CATCH_CHECK_FALSE(last_of(27, true));
  CATCH_CHECK(contains(last_of(27, false), "/train/micro_batch: expected at least 2 images"));

  // The rule holds for evaluations that train too.
  ConfigDocument finetune;
  finetune.value = {{"finetune", Json::object()},
                    {"optimizer", {{"type", "sgd"}}},
                    {"train", {{"batch_size", 12}, {"micro_batch", 13}}}};
  CATCH_CHECK(contains(error_of([&] { read_finetune_config(finetune); }, ErrorKind::config),
                       "/train/micro_batch"));
}

}  // namespace
}  // namespace clr
