// SPDX-License-Identifier: Apache-2.0
#include "clr/train/guard.h"

#include <cmath>
#include <fstream>
#include <memory>
#include <vector>

#include "clr/eval/embedding_health.h"
#include "clr/model/mlp_head.h"
#include "support/temporary_folder.h"
#include "train/run_fixtures.h"

namespace clr {
namespace {

using test::configured;

Json step_row(std::int64_t step, double loss, double gradient) {
  return {
      {"kind", "step"}, {"step", step}, {"epoch", 0}, {"loss", loss}, {"gradient_norm", gradient}};
}

Json health_row(const char* kind, const EmbeddingHealth& health, double loss = 5.0) {
  return {{"kind", kind},
          {"step", 200},
          {"epoch", 0},
          {"loss", loss},
          {"z_rank", health.effective_rank},
          {"z_deviation", health.deviation}};
}

/// Losses and gradients of a run -> the kinds that were found.
std::vector<std::string> kinds_of(Guard& guard, const std::vector<Json>& rows) {
  std::vector<std::string> kinds;
  for (const Json& row : rows) {
    if (const auto found = guard.see(row)) kinds.push_back(found->kind);
  }
  return kinds;
}

}  // namespace

CATCH_TEST_CASE("an alignment loss without negatives is seen to collapse", "[train]") {
  // A head that is trained to bring both views together, and nothing else.
  torch::manual_seed(3);
  const torch::Tensor images = at::randn({128, 24});
  const auto view = [&] { return images + 0.3 * at::randn_like(images); };
  MlpHeadConfig options;
  options.hidden = 32;
  options.output = 16;
  MlpHead head(24, options);
  torch::optim::SGD optimizer(head.parameters(), torch::optim::SGDOptions(0.5));
  const auto measure = [&] {
    head.eval();
    const c10::NoGradGuard no_grad;
    const auto health = embedding_health(at::stack({head.forward(view()), head.forward(view())}));
    head.train();
    return health;
  };
  Guard guard(configured(Json::object()));
  CATCH_CHECK(!guard.see(health_row("start", measure())));
  std::optional<Guard::Finding> found;
  for (int step = 0; step < 2000 && !found; ++step) {
    const torch::Tensor difference = head.forward(view()) - head.forward(view());
    optimizer.zero_grad();
    difference.square().sum(1).mean().backward();
    optimizer.step();
    if (step % 100 == 99) found = guard.see(health_row("health", measure()));
  }
  CATCH_REQUIRE(found);
  CATCH_CHECK(found->kind == "collapse");
  CATCH_CHECK_THAT(found->message, Catch::Contains("have collapsed after step 200"));
  // Once a kind.
  CATCH_CHECK(!guard.see(health_row("health", measure())));
}

CATCH_TEST_CASE("a growing loss, dead gradients and a loss that does not move are seen",
                "[train]") {
  const auto rows = [](const std::vector<double>& losses, const std::vector<double>& gradients) {
    std::vector<Json> list;
    for (std::size_t i = 0; i < losses.size(); ++i)
      list.push_back(step_row(static_cast<std::int64_t>(10 * i), losses[i], gradients[i]));
    return list;
  };
  const std::vector<double> ones(6, 1.0);
  Guard growing(configured(Json::object()));
  CATCH_CHECK(kinds_of(growing, rows({5, 5.1, 5, 20, 30, 40}, ones)) ==
              std::vector<std::string>{"divergence"});
  Guard rising(configured(Json::object()));  // as a queue fills, losses rise a little
  CATCH_CHECK(kinds_of(rising, rows({8, 8.5, 9, 9.4, 9.5, 9.6}, ones)).empty());
  Guard dead(configured(Json::object()));
  CATCH_CHECK(kinds_of(dead, rows({5, 5, 5, 6.2, 6.2, 6.2}, {1, 1, 1, 1e-6, 1e-6, 0})) ==
              std::vector<std::string>{"dead"});
  Guard fitted(configured(Json::object()));  // everything is learnt
  CATCH_CHECK(
      kinds_of(fitted, rows({2.3, 2, 1, 1e-5, 1e-6, 1e-7}, {1, 1, 1, 1e-6, 1e-6, 0})).empty());

  // Losses below 0, as simsiam's: from 0 down to -1.
  const std::vector<double> fading = {1, 1, 1, 1e-6, 1e-6, 0};
  Guard worse(configured(Json::object()));
  CATCH_CHECK(kinds_of(worse, rows({-0.95, -0.95, -0.95, -0.85, -0.85, -0.85}, ones)).empty());
  Guard away(configured(Json::object()));
  CATCH_CHECK(kinds_of(away, rows({-0.9, -0.9, -0.9, 2, 3, 4}, ones)) ==
              std::vector<std::string>{"divergence"});
  Guard stuck(configured(Json::object()));
  CATCH_CHECK(kinds_of(stuck, rows({-0.9, -0.9, -0.9, -0.9, -0.9, -0.9}, fading)) ==
              std::vector<std::string>{"dead"});
  Guard learnt(configured(Json::object()));
  CATCH_CHECK(kinds_of(learnt, rows({-0.1, -0.2, -0.4, -0.9, -0.95, -0.95}, fading)).empty());

  const auto epoch = [](double loss) {
    return Json{{"kind", "epoch"}, {"step", 200}, {"epoch", 0}, {"loss", loss}};
  };
  const Json no_warmup = {{"schedule", {{"warmup_epochs", 0}}}};
  Guard still(configured(no_warmup));
  kinds_of(still, rows({6.236, 6.235, 6.237, 6.236}, ones));
  const auto found = still.see(epoch(6.2361));
  CATCH_REQUIRE(found);
  CATCH_CHECK_THAT(found->message, Catch::Contains("the loss has not moved"));
  Guard moving(configured(no_warmup));
  kinds_of(moving, rows({6.236, 6.2, 6.1, 6.0}, ones));
  CATCH_CHECK(!moving.see(epoch(6.0)));
}

CATCH_TEST_CASE(
    "losses are not judged before a queue is full, nor an epoch before the warm-up ends",
    "[train]") {
  const auto see_all = [](Guard& guard, std::int64_t begin, const std::vector<double>& losses,
                          std::int64_t epoch) {
    std::vector<Json> rows;
    for (const double loss : losses) {
      rows.push_back(step_row(begin, loss, 1.0));
      rows.back()["epoch"] = epoch;
      begin += 10;
    }
    return kinds_of(guard, rows);
  };
  // 1,024 keys of noise at 32 an a step: 32 steps.
  const Json queue = {{"method", {{"type", "moco"}, {"queue_size", 1024}}},
                      {"train", {{"batch_size", 32}}}};
  Guard filling(configured(queue));
  CATCH_CHECK(see_all(filling, 0, {0.02, 0.5, 3, 8, 8.1, 8.2, 8.1, 8}, 0).empty());
  Guard none(configured(Json::object()));
  CATCH_CHECK(see_all(none, 0, {0.02, 0.5, 3, 8, 8.1, 8.2, 8.1, 8}, 0) ==
              std::vector<std::string>{"divergence"});

  const auto epoch = [](std::int64_t which, double loss) {
    return Json{{"kind", "epoch"}, {"step", 200 * (which + 1)}, {"epoch", which}, {"loss", loss}};
  };
  const Json warmup = {{"schedule", {{"warmup_epochs", 2}}}};
  Guard warming(configured(warmup));
  see_all(warming, 0, {6.2, 6.2, 6.2}, 0);
  CATCH_CHECK(!warming.see(epoch(0, 6.2)));
  see_all(warming, 400, {6.1, 6.1, 6.1}, 2);
  const auto found = warming.see(epoch(2, 6.1));
  CATCH_REQUIRE(found);
  CATCH_CHECK_THAT(found->message, Catch::Contains("has not moved in epoch 3"));
  // Rows from all over the epoch are no beginning.
  Guard sparse(configured({{"schedule", {{"warmup_epochs", 0}}}}));
  CATCH_CHECK(kinds_of(sparse, {step_row(10, 6.2, 1), step_row(90, 6.1, 1), step_row(170, 6.0, 1),
                                epoch(0, 6.1)})
                  .empty());
}

CATCH_TEST_CASE("a low temperature is suspected before the learning rate", "[train]") {
  EmbeddingHealth healthy;
  healthy.deviation = 0.05;
  healthy.effective_rank = 12;
  EmbeddingHealth collapsed;
  collapsed.deviation = 1e-4;
  collapsed.effective_rank = 1.01;
  for (const double temperature : {0.001, 0.5}) {
    Guard guard(configured({{"method", {{"temperature", temperature}}}}));
    guard.see(health_row("start", healthy));
    const auto found = guard.see(health_row("epoch", collapsed));
    CATCH_REQUIRE(found);
    const bool cold = found->message.find("method.temperature (0.001)") != std::string::npos;
    CATCH_CHECK(cold == (temperature < 0.02));
    CATCH_CHECK((found->message.find("optimizer.learning_rate") != std::string::npos) != cold);
  }
}

CATCH_TEST_CASE("a guard that reads its rows again goes on as it was", "[train]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "metrics.jsonl";
  std::ofstream file(path);
  std::vector<Json> rows = {step_row(0, 5, 1), step_row(10, 5, 1), step_row(20, 5, 1)};
  for (const Json& row : rows) file << row.dump() << "\n";
  file.close();
  Guard guard(configured(Json::object()));
  guard.replay(path);
  CATCH_CHECK(kinds_of(guard, {step_row(30, 40, 1), step_row(40, 40, 1)}).empty() == false);

  std::ofstream more(path, std::ios::app);
  more << Json{{"kind", "guard"}, {"step", 30}, {"epoch", 0}, {"found", "divergence"}}.dump()
       << "\n";
  more.close();
  Guard told(configured(Json::object()));
  told.replay(path);
  CATCH_CHECK(kinds_of(told, {step_row(30, 40, 1), step_row(40, 40, 1)}).empty());
}

CATCH_TEST_CASE("a run ends, warns or goes on as train.guard says", "[train]") {
  const auto dataset = std::make_shared<const test::Pictures>(40);
  const Json wild = {{"optimizer", {{"type", "sgd"}, {"learning_rate", 3000.0}}},
                     {"train",
                      {{"epochs", 4},
                       {"health_every_epochs", 1},
                       {"health_images", 20},
                       {"log_every_steps", 1},
                       {"guard", "warn"}}}};
  const auto said = [](const test::Outcome& outcome) {
    std::int64_t count = 0;
    for (const Json& row : outcome.other) count += row.at("kind") == "guard" ? 1 : 0;
    return count;
  };
  const test::Outcome warned = test::train(configured(wild), dataset);
  CATCH_CHECK(said(warned) >= 1);
  Json off = wild;
  off["train"]["guard"] = "off";
  const test::Outcome silent = test::train(configured(off), dataset);
  CATCH_CHECK(said(silent) == 0);
  test::check_same_tensors(warned.checkpoint.model, silent.checkpoint.model);
  Json stop = wild;
  stop["train"]["guard"] = "stop";
  CATCH_CHECK_THROWS_WITH(test::train(configured(stop), dataset),
                          Catch::Contains("stopped by train.guard"));
}

}  // namespace clr
