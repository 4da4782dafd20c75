// SPDX-License-Identifier: Apache-2.0
// The health of the representation, as a run logs it.
#include "clr/train/health_monitor.h"

#include <map>

#include "clr/eval/embedding_health.h"
#include "clr/train/run_setup.h"
#include "train/run_fixtures.h"

namespace clr {
namespace {

using test::configured;
using test::Outcome;
using test::Pictures;

const char* const kNames[] = {"alignment", "uniformity", "deviation", "rank", "alpha"};

}  // namespace

CATCH_TEST_CASE("a run logs its health before the first step and after each epoch", "[train]") {
  const auto dataset = std::make_shared<const Pictures>(30);
  const Json on = {{"train", {{"health_every_epochs", 1}, {"health_images", 20}}}};
  const Outcome measured = test::train(configured(on), dataset);
  CATCH_REQUIRE(measured.other.size() == 3);
  CATCH_CHECK(measured.other[0].at("kind") == "start");
  CATCH_CHECK(measured.other[0].at("step") == 0);
  for (const Json& row : measured.other) {
    for (const char* name : kNames) {
      CATCH_INFO(name);
      CATCH_CHECK(std::isfinite(row.at(std::string("h_") + name).get<double>()));
      CATCH_CHECK(std::isfinite(row.at(std::string("z_") + name).get<double>()));
    }
    CATCH_CHECK(row["h_rank"].get<double>() >= 1.0);
    CATCH_CHECK(row["h_rank"].get<double>() <= 20.0);
    CATCH_CHECK(row["z_rank"].get<double>() <= 8.0 + 1e-4);
  }
  CATCH_CHECK(measured.other[1]["h_rank"] != measured.other[2]["h_rank"]);
  CATCH_REQUIRE(measured.result.health.size() == 10);
  for (const auto& [name, value] : measured.result.health) {
    CATCH_CHECK(measured.other[2].at(name) == value);
  }

  // To measure is not to change: batch norm's statistics, a generator, the data's order.
  const Json off = {{"train", {{"health_every_epochs", 0}}}};
  const Outcome plain = test::train(configured(off), dataset);
  CATCH_REQUIRE(plain.other.size() == 2);
  CATCH_CHECK_FALSE(plain.other[0].contains("h_rank"));
  CATCH_CHECK(plain.result.health.empty());
  test::check_same_tensors(measured.checkpoint.model, plain.checkpoint.model);

  const Outcome threads = test::train(configured(on), dataset, 1);
  CATCH_CHECK(threads.other[2]["z_uniformity"] == measured.other[2]["z_uniformity"]);
  // Every second epoch, and the last.
  Json rarely = on;
  rarely["train"]["health_every_epochs"] = 2;
  rarely["train"]["epochs"] = 3;
  const Outcome seldom = test::train(configured(rarely), dataset);
  CATCH_CHECK_FALSE(seldom.other.at(1).contains("h_rank"));
  CATCH_CHECK(seldom.other.at(2).contains("h_rank"));
  CATCH_CHECK(seldom.other.at(3).contains("h_rank"));
}

CATCH_TEST_CASE("health is that of two views of each image, in evaluation mode", "[train]") {
  // Without randomness in the chain the two views are one: alignment 0, and the rest as computed
  // from the pictures themselves.
  Json changes = {{"data", {{"on_error", "skip"}}},
                  {"train", {{"health_every_epochs", 1}, {"health_images", 30}}}};
  changes["augment"]["views"] = Json::parse(
      R"([{"count": 2, "chain": [{"type": "resize", "size": 9}, {"type": "center_crop", "size": 8}]}])");
  const RunConfig config = resolve_automatic(configured(changes), torch::kCPU);
  const auto dataset = std::make_shared<const Pictures>(30, std::set<std::int64_t>{4});
  const auto method = build_method(config, 30, 3, 2);
  method->train();
  HealthMonitor monitor(config, dataset, torch::kCPU, 1);
  std::map<std::string, double> health;
  for (const auto& [name, value] : monitor.measure(*method)) health[name] = value;
  CATCH_CHECK(health.at("h_alignment") == Approx(0.0).margin(1e-10));
  CATCH_CHECK(health.at("z_alignment") == Approx(0.0).margin(1e-10));
  CATCH_CHECK(method->encoder().is_training());
  CATCH_CHECK(method->projector()->is_training());

  const torch::NoGradGuard no_grad;
  method->eval();
  const Augmenter augmenter(config.augment);
  std::vector<torch::Tensor> pixels;
  for (std::int64_t i = 0; i < 30; ++i) {
    if (i == 4) continue;
    const Image image = std::get<Image>(dataset->get(i));
    torch::Tensor view = torch::empty({3, 8, 8});
    const auto parameters =
        augmenter.sample(0, {static_cast<std::uint64_t>(i), 0, 0}, 0, {image.width, image.height});
    augmenter.render(image, 0, parameters,
                     {view.data_ptr<float>(), PixelType::float32, PixelLayout::planar});
    pixels.push_back(view);
  }
  const torch::Tensor h = method->encoder().forward({torch::stack(pixels)});
  const torch::Tensor z = method->projector()->forward(h);
  for (const auto& [name, rows] : {std::pair{"h_", h}, std::pair{"z_", z}}) {
    const EmbeddingHealth expected = embedding_health(torch::stack({rows, rows}));
    CATCH_INFO(name);
    CATCH_CHECK(health.at(name + std::string("uniformity")) ==
                Approx(expected.uniformity).epsilon(1e-5));
    CATCH_CHECK(health.at(name + std::string("deviation")) ==
                Approx(expected.deviation).epsilon(1e-5));
    CATCH_CHECK(health.at(name + std::string("rank")) ==
                Approx(expected.effective_rank).epsilon(1e-4));
  }
}

}  // namespace clr
