// SPDX-License-Identifier: Apache-2.0
#include "clr/train/checkpoint.h"

#include <torch/torch.h>

#include <fstream>

#include "clr/optim/optimizer.h"
#include "clr/train/run_folder.h"
#include "clr/train/training_state.h"
#include "support/catch.h"
#include "support/temporary_folder.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

Checkpoint content_of(double value) {
  Checkpoint content;
  content.model.tensors = {{"encoder.w", torch::full({2, 3}, value)}};
  content.state.tensors = {{"rng.cpu", torch::arange(5)}};
  content.metrics_bytes = 17;
  return content;
}

template <class Work>
std::string message_of(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

CATCH_TEST_CASE("The newest checkpoints are kept, and latest names the last", "[train]") {
  const TemporaryFolder run;
  for (const int step : {1, 2, 10, 100'000'000})
    write_checkpoint(run.path(), step, content_of(step), 2);
  CATCH_CHECK_FALSE(fs::exists(run.path() / "checkpoints" / "step_00000002"));
  CATCH_CHECK(fs::exists(run.path() / "checkpoints" / "step_00000010"));
  CATCH_CHECK(*newest_good_checkpoint(run.path()) == run.path() / "checkpoints" / "step_100000000");
  std::string latest;
  std::ifstream(run.path() / "checkpoints" / "latest") >> latest;
  CATCH_CHECK(latest == "step_100000000");
  const Checkpoint read = read_checkpoint(run.path() / "checkpoints" / "step_00000010");
  CATCH_CHECK(read.model.find("encoder.w").equal(torch::full({2, 3}, 10.0)));
  CATCH_CHECK(read.metrics_bytes == 17);
}

CATCH_TEST_CASE("A damaged checkpoint is passed over, whatever was damaged", "[train]") {
  const TemporaryFolder run;
  const fs::path older = write_checkpoint(run.path(), 1, content_of(1), 3);
  const fs::path newer = write_checkpoint(run.path(), 2, content_of(2), 3);
  const auto damage = [&](const std::string& file, std::int64_t at) {
    CATCH_REQUIRE(verify_checkpoint(newer).empty());
    std::fstream stream(newer / file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(at);
    stream.put('#');
  };
  CATCH_SECTION("one byte of the model") { damage("model.safetensors", 150); }
  CATCH_SECTION("one byte of the state") { damage("state.safetensors", 9); }
  CATCH_SECTION("the manifest") { damage("manifest.json", 0); }
  CATCH_SECTION("a cut-off file") {
    CATCH_REQUIRE(verify_checkpoint(newer).empty());
    fs::resize_file(newer / "model.safetensors", 40);
  }
  CATCH_SECTION("a missing file") {
    CATCH_REQUIRE(verify_checkpoint(newer).empty());
    fs::remove(newer / "state.safetensors");
  }
  CATCH_CHECK_FALSE(verify_checkpoint(newer).empty());
  CATCH_CHECK(*newest_good_checkpoint(run.path()) == older);
}

CATCH_TEST_CASE("A run without checkpoints is new, one with none good is an error", "[train]") {
  const TemporaryFolder run;
  CATCH_CHECK_FALSE(newest_good_checkpoint(run.path()).has_value());
  const fs::path only = write_checkpoint(run.path(), 1, content_of(1), 1);
  fs::remove(only / "state.safetensors");
  CATCH_CHECK(message_of([&] {
                newest_good_checkpoint(run.path());
              }).find("expected a good checkpoint, got none") != std::string::npos);
}

CATCH_TEST_CASE("What an interrupted write left is neither read nor in the way", "[train]") {
  const TemporaryFolder run;
  const fs::path good = write_checkpoint(run.path(), 1, content_of(1), 1);
  fs::create_directories(run.path() / "checkpoints" / "step_00000002.tmp");
  std::ofstream(run.path() / "checkpoints" / "step_00000002.tmp" / "model.safetensors") << "half";
  CATCH_CHECK(*newest_good_checkpoint(run.path()) == good);
  CATCH_CHECK(verify_checkpoint(write_checkpoint(run.path(), 2, content_of(2), 1)).empty());
}

CATCH_TEST_CASE("Tensors are loaded strictly", "[train]") {
  torch::nn::Linear linear(3, 2);
  SafeTensors content;
  content.tensors = {{"encoder.weight", torch::ones({2, 3})}, {"encoder.bias", torch::ones({2})}};
  load_tensors(*linear, content, "encoder.", "f");
  CATCH_CHECK(linear->weight.equal(torch::ones({2, 3})));

  SafeTensors wrong = content;
  wrong.tensors[1].second = torch::ones({5});
  CATCH_CHECK(
      message_of([&] { load_tensors(*linear, wrong, "encoder.", "f"); }) ==
      "f: expected encoder.bias of shape [2], got [5]; the file is of another architecture");
  wrong = content;
  wrong.tensors.pop_back();
  CATCH_CHECK(message_of([&] { load_tensors(*linear, wrong, "encoder.", "f"); }) ==
              "f: expected a tensor encoder.bias, got none; the file is of another architecture");
  wrong = content;
  wrong.tensors.emplace_back("encoder.more", torch::ones({1}));
  CATCH_CHECK(message_of([&] { load_tensors(*linear, wrong, "encoder.", "f"); }) ==
              "f: expected no tensor encoder.more, got one of shape [1]; the file is of another "
              "architecture");
}

CATCH_TEST_CASE("A resumed run keeps its configuration", "[train]") {
  const Json stored = Json::parse(
      R"({"train": {"epochs": 12, "precision": "float32", "compute_threads": 2, "keep_checkpoints": 2}})");
  const auto check = [&](const std::string& patch) {
    Json given = stored;
    given.merge_patch(Json::parse(patch));
    return std::pair(message_of([&] { check_resumed_config(stored, given, Place("c.json")); }),
                     given);
  };
  CATCH_CHECK(check("{}").first == "no error");
  CATCH_CHECK(check(R"({"train": {"keep_checkpoints": 5}})").first == "no error");
  const auto [message, given] = check(R"({"train": {"precision": "auto", "compute_threads": 0}})");
  CATCH_CHECK(message == "no error");
  CATCH_CHECK(given == stored);
  CATCH_CHECK(check(R"({"train": {"epochs": 20}})")
                  .first.starts_with("c.json: /train/epochs: the run to resume has 12, got 20;"));
  CATCH_CHECK(
      check(R"({"train": {"precision": "bfloat16"}})")
          .first.starts_with(
              "c.json: /train/precision: the run to resume has \"float32\", got \"bfloat16\";"));
}

}  // namespace
}  // namespace clr
