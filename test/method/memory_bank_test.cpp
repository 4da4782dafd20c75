// SPDX-License-Identifier: Apache-2.0
// Mistakes that must show here: rows by place in the batch instead of dataset index, rows moved
// that no image of the batch has, momentum on the wrong side, rows that are not scaled back, noise
// that depends on anything but seed and step or comes twice, a constant Z that is estimated anew,
// an anchor's own row among its negatives, views matched with other images' rows, anything kept
// outside of saved tensors.
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "clr/config/json.h"
#include "clr/io/file.h"
#include "clr/io/npy.h"
#include "clr/loss/contrastive.h"
#include "clr/loss/nce.h"
#include "clr/method/method.h"
#include "method/method_fixtures.h"
#include "support/catch.h"

namespace {

using clr::Batch;
using clr::Json;
using clr::Method;
using clr::MethodContext;
using clr::StepContext;
using clr::test::all_tensors;
using clr::test::changed;
using clr::test::cloned;
using clr::test::make_described;
using clr::test::tiny_batch;
using clr::test::tiny_context;
using torch::Tensor;

constexpr std::int64_t kImages = 20;
constexpr std::int64_t kWidth = 8;

struct Golden {
  Tensor embeddings;
  Tensor bank;
  Json expected;
};

const Golden& golden() {
  static const Golden content = [] {
    const auto folder = std::filesystem::path(CLR_TEST_DATA_DIR) / "memory_bank";
    return Golden{
        clr::read_npy(folder / "embeddings.npy"), clr::read_npy(folder / "bank.npy"),
        clr::parse_json(clr::read_file(folder / "expected.json", clr::ErrorKind::data), "golden")};
  }();
  return content;
}

std::shared_ptr<Method> make_bank(const Json& options, int views = 1) {
  MethodContext context = tiny_context();
  context.projector.layers = 1;
  context.projector.output = kWidth;
  context.dataset_size = kImages;
  context.view_groups = {views};
  Json json = {{"type", "memory_bank"}};
  json.update(options);
  return make_described(json, context);
}

Tensor bank_of(Method& method) { return method.named_buffers()["bank"]; }

/// With the bank of the golden files.
std::shared_ptr<Method> make_golden(const Json& options, int views = 1) {
  auto method = make_bank(options, views);
  bank_of(*method).copy_(golden().bank);
  return method;
}

Batch batch_of(const std::vector<std::int64_t>& indices) {
  Batch batch;
  batch.indices = torch::tensor(indices);
  return batch;
}

StepContext at_step(std::int64_t step, std::uint64_t seed = 3) { return {step, 0, 100, seed}; }

double loss_of(Method& method, const Tensor& z, const Batch& batch, const StepContext& context) {
  return method.loss({{z}}, batch, context).loss.item<double>();
}

Tensor numbers(const Json& json) {
  return torch::tensor(json.get<std::vector<double>>(), torch::kFloat64);
}

double away(const Tensor& got, const Tensor& expected) {
  const Tensor wanted = expected.view(got.sizes());
  return (got.to(torch::kFloat64) - wanted).norm().item<double>() / wanted.norm().item<double>();
}

}  // namespace

CATCH_TEST_CASE("memory_bank's losses and updates are those of another program", "[method]") {
  const Json& json = golden().expected;
  const Batch batch = batch_of(json["indices"].get<std::vector<std::int64_t>>());
  for (const Json& expected : json["methods"]) {
    const auto name = expected["name"].get<std::string>();
    const auto views = expected["views"].get<int>();
    CATCH_INFO(name << ", " << views << " views");
    const bool softmax = name == "info_nce";
    Json options = {{"loss", softmax ? "info_nce" : "nce"}, {"negatives", 0}};
    for (const char* key : {"temperature", "bank_momentum", "proximal_weight"}) {
      options[key] = json[key];
    }
    const auto method = make_golden(options, views);
    if (name == "nce_held") {
      method->named_buffers()["log_normalizer"].fill_(json["held"].get<double>());
    }
    const Tensor z = golden().embeddings.narrow(0, 0, views).clone().requires_grad_();
    const clr::StepOutput output = method->loss({{z}}, batch, at_step(0));
    CATCH_CHECK(output.loss.item<double>() == Approx(expected["loss"].get<double>()).epsilon(1e-5));
    output.loss.backward();
    CATCH_CHECK(away(z.grad(), numbers(expected["gradient"])) < 1e-5);
    method->after_step({{z.detach()}}, batch, at_step(0));
    CATCH_CHECK(away(bank_of(*method), numbers(expected["bank_after"])) < 1e-6);
    CATCH_CHECK(method->named_buffers().contains("log_normalizer") != softmax);
    if (!softmax) {
      const Json& constant = name == "nce_held" ? json["held"] : expected["log_normalizer"];
      CATCH_CHECK(method->named_buffers()["log_normalizer"].item<double>() ==
                  Approx(constant.get<double>()).epsilon(1e-6));
    }
  }

  const auto rows = [&](const char* key) {
    const auto indices = json[key].get<std::vector<std::int64_t>>();
    return golden().bank.index_select(0, torch::tensor(indices));
  };
  const Json& expected = json["nce"];
  const auto temperature = json["temperature"].get<double>();
  const Tensor query = clr::unit_rows(golden().embeddings[0]);
  const Tensor held = torch::tensor(json["held"].get<double>(), torch::kFloat64);
  CATCH_CHECK(clr::nce(query, rows("indices"), rows("noise"), temperature, held).item<double>() ==
              Approx(expected["loss"].get<double>()).epsilon(1e-5));
  CATCH_CHECK(
      clr::nce_log_normalizer(query, rows("indices"), rows("noise"), temperature).item<double>() ==
      Approx(expected["log_normalizer"].get<double>()).epsilon(1e-5));
}

CATCH_TEST_CASE("the rows of a memory bank follow dataset indices", "[method]") {
  torch::manual_seed(6);
  const std::vector<std::int64_t> indices = {11, 3, 0, 19, 7};
  const std::vector<std::int64_t> order = {4, 2, 0, 3, 1};
  const Tensor z = torch::randn({2, 5, kWidth});
  const auto method = make_golden({{"bank_momentum", 0.25}}, 2);
  method->after_step({{z}}, batch_of(indices), at_step(0));
  const Tensor bank = bank_of(*method);

  std::set<std::int64_t> moved;
  for (std::int64_t image = 0; image < kImages; ++image) {
    if (!torch::equal(bank[image], golden().bank[image])) moved.insert(image);
  }
  CATCH_CHECK((moved == std::set<std::int64_t>(indices.begin(), indices.end())));
  for (std::size_t i = 0; i < indices.size(); ++i) {
    CATCH_INFO("image " << indices[i]);
    const auto place = static_cast<std::int64_t>(i);
    const Tensor seen = (z[0][place] / z[0][place].norm() + z[1][place] / z[1][place].norm()) / 2;
    const Tensor sum = 0.25 * golden().bank[indices[i]] + 0.75 * seen;
    CATCH_CHECK(torch::allclose(bank[indices[i]], sum / sum.norm(), 1e-5, 1e-6));
    CATCH_CHECK(bank[indices[i]].norm().item<double>() == Approx(1).epsilon(1e-6));
  }

  // The same images in another order.
  std::vector<std::int64_t> shuffled;
  for (const auto place : order) shuffled.push_back(indices[static_cast<std::size_t>(place)]);
  const auto other = make_golden({{"bank_momentum", 0.25}}, 2);
  other->after_step({{z.index_select(1, torch::tensor(order))}}, batch_of(shuffled), at_step(0));
  CATCH_CHECK(torch::equal(bank_of(*other), bank));
}

CATCH_TEST_CASE("an image twice in a batch moves its row once", "[method]") {
  torch::manual_seed(7);
  const Tensor z = torch::randn({1, 3, kWidth});
  const auto once = make_golden(Json::object());
  once->after_step({{z.narrow(1, 0, 2)}}, batch_of({5, 9}), at_step(0));
  const auto twice = make_golden(Json::object());
  twice->after_step({{z}}, batch_of({5, 9, 5}), at_step(0));
  CATCH_CHECK(torch::equal(bank_of(*once), bank_of(*twice)));
}

CATCH_TEST_CASE("a memory bank starts with unit rows of any direction", "[method]") {
  const Tensor bank = bank_of(*make_bank(Json::object()));
  CATCH_CHECK(bank.sizes() == torch::IntArrayRef({kImages, kWidth}));
  CATCH_CHECK(torch::allclose(bank.norm(2, 1), torch::ones(kImages)));
  // Random directions in 8 dimensions: their mean is short, sqrt(1 / 20) on average.
  CATCH_CHECK(bank.mean(0).norm().item<double>() < 0.5);
  CATCH_CHECK_FALSE(bank.requires_grad());
}

CATCH_TEST_CASE("memory_bank's negatives are a function of seed and step", "[method]") {
  constexpr std::int64_t kDrawn = 7;
  constexpr double kTemperature = 0.2;
  torch::manual_seed(8);
  const std::vector<std::int64_t> indices = {4, 12, 1};
  const Tensor z = torch::randn({1, 3, kWidth});
  const auto draw = [](const StepContext& context) {
    std::vector<std::int64_t> images;
    const clr::Permutation order = context.order(kImages);
    for (std::uint64_t k = 0; k < kDrawn; ++k) {
      images.push_back(static_cast<std::int64_t>(order(k)));
    }
    return images;
  };
  // From the definition, an anchor at a time: its own row is the positive, whether drawn or not.
  const auto reference = [&](const std::vector<std::int64_t>& drawn) {
    const Tensor bank = golden().bank.to(torch::kFloat64);
    double sum = 0;
    for (std::size_t i = 0; i < indices.size(); ++i) {
      const Tensor anchor = z[0][static_cast<std::int64_t>(i)].to(torch::kFloat64);
      const Tensor e = (bank.matmul(anchor / anchor.norm()) / kTemperature).exp();
      const double positive = e[indices[i]].item<double>();
      double all = positive;
      for (const auto image : drawn) {
        if (image != indices[i]) all += e[image].item<double>();
      }
      sum -= std::log(positive / all);
    }
    return sum / static_cast<double>(indices.size());
  };
  const auto method =
      make_golden({{"loss", "info_nce"}, {"negatives", kDrawn}, {"temperature", kTemperature}});
  std::set<std::vector<std::int64_t>> draws;
  bool own_was_drawn = false;
  for (const std::uint64_t seed : {3, 4}) {
    for (std::int64_t step = 0; step < 5; ++step) {
      const StepContext context = at_step(step, seed);
      const auto drawn = draw(context);
      const std::set<std::int64_t> images(drawn.begin(), drawn.end());
      CATCH_CHECK(images.size() == drawn.size());
      for (const auto image : indices) own_was_drawn = own_was_drawn || images.contains(image);
      draws.insert(drawn);
      const double loss = loss_of(*method, z, batch_of(indices), context);
      CATCH_CHECK(loss == Approx(reference(drawn)).epsilon(1e-5));
      // Nothing that came before matters.
      StepContext later = context;
      later.epoch = 9;
      CATCH_CHECK(loss_of(*method, z, batch_of(indices), later) == loss);
    }
  }
  CATCH_CHECK(draws.size() == 10);
  CATCH_CHECK(own_was_drawn);

  // More than there are images are all of them.
  const auto all = make_golden({{"loss", "info_nce"}, {"negatives", 0}});
  const auto more = make_golden({{"loss", "info_nce"}, {"negatives", kImages + 1}});
  CATCH_CHECK(loss_of(*all, z, batch_of(indices), at_step(0)) ==
              loss_of(*more, z, batch_of(indices), at_step(1)));
}

CATCH_TEST_CASE("an anchor's own row is not among its negatives", "[method]") {
  // Two images, so that the only negative is the other one.
  MethodContext context = tiny_context();
  context.projector.layers = 1;
  context.projector.output = 2;
  context.dataset_size = 2;
  context.view_groups = {1};
  const auto method = make_described(
      {{"type", "memory_bank"}, {"loss", "info_nce"}, {"negatives", 0}, {"temperature", 0.5}},
      context);
  bank_of(*method).copy_(torch::eye(2));
  const Tensor z = torch::tensor({{{0.6F, 0.8F}}});
  CATCH_CHECK(loss_of(*method, z, batch_of({0}), at_step(0)) ==
              Approx(std::log1p(std::exp((0.8 - 0.6) / 0.5))));
  CATCH_CHECK(loss_of(*method, z, batch_of({1}), at_step(0)) ==
              Approx(std::log1p(std::exp((0.6 - 0.8) / 0.5))));
}

CATCH_TEST_CASE("nce's normalising constant is the first batch's, for good", "[method]") {
  torch::manual_seed(9);
  const Batch batch = batch_of({2, 15, 8, 10});
  const auto method = make_bank({{"negatives", 6}});
  const Tensor constant = method->named_buffers()["log_normalizer"];
  CATCH_CHECK(constant.item<double>() == -INFINITY);
  double first = 0;
  for (std::int64_t step = 0; step < 4; ++step) {
    const Tensor z = torch::randn({1, 4, kWidth});
    const clr::StepOutput output = method->loss({{z}}, batch, at_step(step));
    CATCH_CHECK(output.metrics.at(0).first == "log_normalizer");
    const double used = output.metrics.at(0).second.item<double>();
    if (step == 0) {
      first = used;
      CATCH_CHECK(constant.item<double>() == -INFINITY);
    }
    CATCH_CHECK(used == first);
    method->after_step({{z}}, batch, at_step(step));
    CATCH_CHECK(constant.item<double>() == first);
  }
  CATCH_CHECK(std::isfinite(first));
}

CATCH_TEST_CASE("a memory bank is restored with its tensors", "[method]") {
  for (const char* loss : {"nce", "info_nce"}) {
    CATCH_INFO(loss);
    const Json options = {{"loss", loss}, {"negatives", 6}, {"proximal_weight", 0.5}};
    const auto unbroken = make_bank(options);
    const auto stopped = make_bank(options);
    const Batch batch = tiny_batch({1});
    const auto step = [&](Method& method, std::int64_t k) {
      Batch images = batch;
      images.indices = (batch.indices * 3 + k) % kImages;
      const clr::Embeddings embeddings = method.embed(images);
      const double value = method.loss(embeddings, images, at_step(k)).loss.item<double>();
      method.after_step(embeddings, images, at_step(k));
      return value;
    };
    for (std::int64_t k = 0; k < 3; ++k) step(*unbroken, k);
    {
      const torch::NoGradGuard no_grad;
      auto from = all_tensors(*unbroken);
      auto to = all_tensors(*stopped);
      CATCH_REQUIRE(changed(from, to).contains("bank"));
      for (std::size_t k = 0; k < from.size(); ++k) to[k].second.copy_(from[k].second);
    }
    for (std::int64_t k = 3; k < 6; ++k) CATCH_CHECK(step(*stopped, k) == step(*unbroken, k));
    CATCH_CHECK(changed(all_tensors(*unbroken), all_tensors(*stopped)).empty());
  }
}

CATCH_TEST_CASE("memory_bank takes views of one size", "[method]") {
  MethodContext context = tiny_context();
  context.view_groups = {1, 2};
  try {
    make_described({{"type", "memory_bank"}}, context);
    CATCH_FAIL("expected an error");
  } catch (const clr::Error& error) {
    CATCH_CHECK(error.kind() == clr::ErrorKind::config);
    CATCH_CHECK_THAT(error.what(), Catch::StartsWith("/augment/views: expected views of one size"));
  }
}
