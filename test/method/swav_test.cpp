// SPDX-License-Identifier: Apache-2.0
// Mistakes that must show here are named in the tests.
#include <torch/types.h>

#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "clr/core/autocast.h"
#include "clr/io/file.h"
#include "clr/io/npy.h"
#include "clr/loss/sinkhorn.h"
#include "clr/method/method.h"
#include "method/method_fixtures.h"
#include "reference/swav_reference.h"
#include "support/catch.h"

namespace {

using clr::Batch;
using clr::Embeddings;
using clr::Json;
using clr::Method;
using clr::MethodContext;
using clr::StepContext;
using clr::StepOutput;
using clr::test::all_tensors;
using clr::test::changed;
using clr::test::cloned;
using clr::test::make_described;
using clr::test::make_sgd;
using clr::test::Matrix;
using clr::test::swav_reference;
using clr::test::SwavProblem;
using clr::test::tiny_batch;
using clr::test::tiny_context;
using torch::Tensor;

/// With a queue of `queue_length` that fills from epoch 0 on, prototypes trained from the start.
std::shared_ptr<Method> make_swav(const std::vector<int>& view_groups,
                                  std::int64_t queue_length = 0, std::int64_t width = 16,
                                  const Json& more = Json::object()) {
  MethodContext context = tiny_context();
  context.projector.output = width;
  context.view_groups = view_groups;
  Json json = {{"type", "swav"},
               {"prototypes", 12},
               {"freeze_prototypes_steps", 0},
               {"queue_length", queue_length},
               {"queue_from_epoch", 0}};
  json.update(more);
  return make_described(json, context);
}

StepContext at_step(std::int64_t step, std::int64_t epoch = 0) { return {step, epoch, 100, 3}; }

Tensor random_unit(at::IntArrayRef sizes) {
  const Tensor rows = torch::randn(sizes);
  return rows / rows.norm(2, -1, true);
}

Matrix matrix_of(const Tensor& rows) {
  const Tensor exact = rows.detach().to(torch::kFloat64).contiguous();
  Matrix result;
  for (std::int64_t i = 0; i < exact.size(0); ++i) {
    const auto* row = exact.data_ptr<double>() + i * exact.size(1);
    result.emplace_back(row, row + exact.size(1));
  }
  return result;
}

SwavProblem problem_of(Method& method, const Embeddings& embeddings, const Tensor& queue = {}) {
  SwavProblem problem;
  problem.prototypes = matrix_of(method.named_parameters()["prototypes"]);
  problem.assigned = static_cast<std::size_t>(embeddings.z[0].size(0));
  for (const Tensor& z : embeddings.z) {
    for (const Tensor& view : z.unbind(0)) problem.views.push_back(matrix_of(view));
  }
  if (queue.defined()) {
    for (const Tensor& rows : queue.unbind(0)) problem.queue.push_back(matrix_of(rows));
  }
  return problem;
}

double loss_of(Method& method, const Embeddings& embeddings, const StepContext& context) {
  return method.loss(embeddings, {}, context).loss.item<double>();
}

Tensor golden(const std::string& name) {
  return clr::read_npy(std::string(CLR_TEST_DATA_DIR) + "/swav/" + name);
}

double away(const Tensor& got, const Tensor& expected) {
  CATCH_REQUIRE(got.sizes() == expected.sizes());
  return ((got - expected).norm() / expected.norm()).item<double>();
}

}  // namespace

// Temperature and epsilon mixed up, codes with a gradient, codes for their own view, a mean over
// the wrong number of views, small views that give codes, the queue's codes instead of the batch's.
CATCH_TEST_CASE("swav's loss and gradients equal lightly's", "[method]") {
  const std::string path = std::string(CLR_TEST_DATA_DIR) + "/swav/expected.json";
  const Json losses =
      clr::parse_json(clr::read_file(path, clr::ErrorKind::data), path).at("losses");
  const Tensor z = golden("z.npy");
  const Tensor queue = golden("queue.npy");
  CATCH_REQUIRE(losses.size() == 3);
  for (const auto& [name, loss] : losses.items()) {
    for (const auto type : {torch::kFloat32, torch::kFloat64}) {
      CATCH_INFO(name << " " << torch::toString(type));
      const bool two_views = name == "two_views";
      const std::vector<int> groups = two_views ? std::vector<int>{2} : std::vector<int>{2, 3};
      const auto method = make_swav(groups, name == "queue" ? queue.size(1) : 0);
      method->to(type);
      Tensor prototypes = method->named_parameters()["prototypes"];
      {
        const torch::NoGradGuard no_grad;
        prototypes.copy_(golden("prototypes.npy"));
        if (name == "queue") method->named_buffers()["queue"].copy_(queue);
      }
      method->before_step(at_step(0));
      Embeddings embeddings;
      embeddings.z.push_back(z.narrow(0, 0, 2).to(type, false, true).requires_grad_());
      if (!two_views) {
        embeddings.z.push_back(z.narrow(0, 2, 3).to(type, false, true).requires_grad_());
      }
      const StepOutput output = method->loss(embeddings, {}, at_step(0));
      output.loss.backward();
      const double bound = type == torch::kFloat32 ? 1e-5 : 1e-7;  // rows of unit length: float32
      CATCH_CHECK(output.loss.item<double>() == Approx(loss.get<double>()).epsilon(bound));
      std::vector<Tensor> by_z;
      for (const Tensor& group : embeddings.z) by_z.push_back(group.grad());
      CATCH_CHECK(away(torch::cat(by_z).to(torch::kFloat64), golden(name + "_z_gradient.npy")) <
                  bound);
      CATCH_CHECK(away(prototypes.grad().to(torch::kFloat64),
                       golden(name + "_prototypes_gradient.npy")) < bound);
    }
  }
  const Tensor scores =
      z[0].to(torch::kFloat64).mm(golden("prototypes.npy").to(torch::kFloat64).t());
  CATCH_CHECK(torch::allclose(clr::sinkhorn(scores, 0.05, 3), golden("codes.npy"), 0, 1e-13));
}

// An option that is not passed on; three views with codes, which lightly's goldens lack.
CATCH_TEST_CASE("swav's loss equals the reference for other options", "[method]") {
  torch::manual_seed(21);
  const Embeddings embeddings{{random_unit({3, 10, 16}), random_unit({4, 10, 16})}};
  const auto check = [&](const Json& more, const auto& change) {
    const auto method = make_swav({3, 4}, 0, 16, more);
    SwavProblem problem = problem_of(*method, embeddings);
    change(problem);
    CATCH_INFO(more.dump());
    const double expected = swav_reference(problem);
    CATCH_CHECK(loss_of(*method, embeddings, at_step(0)) == Approx(expected).epsilon(1e-5));
    return expected;
  };
  const double usual = check(Json::object(), [](SwavProblem&) {});
  CATCH_CHECK(
      std::abs(check({{"temperature", 0.3}}, [](auto& p) { p.temperature = 0.3; }) - usual) > 1e-3);
  CATCH_CHECK(std::abs(check({{"epsilon", 0.2}}, [](auto& p) { p.epsilon = 0.2; }) - usual) > 1e-3);
  CATCH_CHECK(std::abs(check({{"sinkhorn_iterations", 1}}, [](auto& p) { p.iterations = 1; }) -
                       usual) > 1e-4);
}

// Prototypes that keep the length the optimiser gave them.
CATCH_TEST_CASE("swav's prototypes are unit rows at each step's start", "[method]") {
  const auto method = make_swav({2});
  const Tensor prototypes = method->named_parameters()["prototypes"];
  CATCH_REQUIRE(prototypes.sizes() == torch::IntArrayRef({12, 16}));
  const auto unit = [&] {
    return torch::allclose(prototypes.norm(2, 1), torch::ones({12}), 0, 1e-6);
  };
  CATCH_CHECK(unit());
  CATCH_CHECK((prototypes[0] - prototypes[1]).norm().item<double>() > 0.1);
  const Tensor before = prototypes.detach().clone();
  clr::test::train(*method, 3, tiny_batch());
  CATCH_CHECK_FALSE(unit());
  const Tensor after = prototypes.detach().clone();
  method->before_step(at_step(3));
  CATCH_CHECK(unit());
  CATCH_CHECK(torch::allclose(prototypes, after / after.norm(2, 1, true), 0, 1e-6));
  CATCH_CHECK_FALSE(torch::allclose(prototypes, before, 0, 1e-3));
}

// A gradient of zero, which weight decay and momentum would still act on; renormalising, which
// moves the last bit; a freeze that ends a step early or late, or stops the encoder too.
CATCH_TEST_CASE("swav's frozen prototypes do not move by a bit", "[method]") {
  const auto method = make_swav({2}, 0, 16, {{"freeze_prototypes_steps", 3}});
  Tensor prototypes = method->named_parameters()["prototypes"];
  const Tensor start = prototypes.detach().clone();
  std::vector<clr::OptimizerGroup> groups;
  for (const auto& group : method->parameter_groups()) groups.push_back({group.parameters});
  const auto optimizer = clr::optimizers().make(
      clr::test::describe<clr::Optimizer>({{"type", "sgd"}, {"weight_decay", 0.1}}), groups);
  const auto momentum = [&] {
    const clr::NamedTensors state = optimizer->state();
    const auto found = std::find_if(state.begin(), state.end(), [](const auto& item) {
      return item.first == "momentum.prototypes";
    });
    CATCH_REQUIRE(found != state.end());
    return found->second.abs().sum().item<double>();
  };
  const Batch batch = tiny_batch();
  for (std::int64_t step = 0; step < 5; ++step) {
    CATCH_INFO("step " << step);
    method->before_step(at_step(step));
    const Embeddings embeddings = method->embed(batch);
    optimizer->zero_grad();
    method->loss(embeddings, batch, at_step(step)).loss.backward();
    CATCH_CHECK(prototypes.grad().defined() == (step >= 3));
    CATCH_CHECK(method->encoder().parameters()[0].grad().abs().sum().item<double>() > 0);
    optimizer->step(0.05, 0.05);
    method->after_step(embeddings, batch, at_step(step));
    CATCH_CHECK(torch::equal(prototypes, start) == (step < 3));
    CATCH_CHECK((momentum() == 0) == (step < 3));
  }
}

// Last in first out, views mixed up, embeddings that go in before their own codes are computed, a
// queue that starts anew with each epoch or lets go of a short last batch, one that is used before
// it is full, or that fills too early.
CATCH_TEST_CASE("swav's queue is first in, first out, and used once it is full", "[method]") {
  constexpr std::int64_t kLength = 20;
  const auto method = make_swav({2, 1}, kLength, 16, {{"queue_from_epoch", 1}});
  const auto without = make_swav({2, 1});
  const Tensor queue = method->named_buffers()["queue"];
  CATCH_REQUIRE(queue.sizes() == torch::IntArrayRef({2, kLength, 16}));
  torch::manual_seed(4);
  Tensor history = torch::zeros({2, 0, 16});  // newest first
  std::int64_t step = 0;
  int used = 0;
  for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
    for (const std::int64_t images : {8, 3}) {
      CATCH_INFO("epoch " << epoch << ", batch of " << images);
      const StepContext context = at_step(step++, epoch);
      const Embeddings embeddings{{random_unit({2, images, 16}), random_unit({1, images, 16})}};
      method->before_step(context);
      const bool full = history.size(1) >= kLength;
      const double expected = swav_reference(
          problem_of(*method, embeddings, full ? history.narrow(1, 0, kLength) : Tensor()));
      const double got = loss_of(*method, embeddings, context);
      CATCH_CHECK(got == Approx(expected).epsilon(1e-5));
      used += full ? 1 : 0;
      const double plain = loss_of(*without, embeddings, context);
      CATCH_CHECK((std::abs(got - plain) > 1e-4) == full);

      method->after_step(embeddings, {}, context);
      if (epoch >= 1) history = torch::cat({embeddings.z[0], history}, 1);
      const std::int64_t kept = std::min(history.size(1), kLength);
      CATCH_CHECK(torch::equal(queue.narrow(1, 0, kept), history.narrow(1, 0, kept)));
      CATCH_CHECK(queue.narrow(1, kept, kLength - kept).abs().sum().item<double>() == 0);
    }
  }
  CATCH_CHECK(used == 2);
  CATCH_CHECK_FALSE(make_swav({2})->named_buffers().contains("queue"));

  // A batch that is larger than the queue leaves its first images.
  const Embeddings large{{random_unit({2, 30, 16}), random_unit({1, 30, 16})}};
  method->after_step(large, {}, at_step(step, 4));
  CATCH_CHECK(torch::equal(queue, large.z[0].narrow(1, 0, kLength)));
}

// Anything that a step depends on and no tensor holds: where the queue ends, whether it is full.
CATCH_TEST_CASE("swav goes on from its tensors alone", "[method]") {
  const std::vector<int> groups = {2, 2};
  const Batch batch = tiny_batch(groups);
  const auto optimizer_for = [](Method& method) { return make_sgd(method); };
  const auto run = [&](Method& method, clr::Optimizer& optimizer, std::int64_t from,
                       std::int64_t to) {
    std::vector<double> losses;
    for (std::int64_t step = from; step < to; ++step) {
      const StepContext context = at_step(step, step / 2);
      method.before_step(context);
      const Embeddings embeddings = method.embed(batch);
      const StepOutput output = method.loss(embeddings, batch, context);
      optimizer.zero_grad();
      output.loss.backward();
      optimizer.step(0.05, 0.05);
      method.after_step(embeddings, batch, context);
      losses.push_back(output.loss.item<double>());
    }
    return losses;
  };
  const Json more = {{"queue_from_epoch", 1}, {"freeze_prototypes_steps", 3}};
  for (const std::int64_t stop : {1, 3, 4, 6}) {
    CATCH_INFO("after step " << stop);
    const auto whole = make_swav(groups, 20, 16, more);
    const auto optimizer = optimizer_for(*whole);
    run(*whole, *optimizer, 0, stop);
    const auto resumed = make_swav(groups, 20, 16, more);
    const auto resumed_optimizer = optimizer_for(*resumed);
    {
      const torch::NoGradGuard no_grad;
      const clr::NamedTensors source = all_tensors(*whole);
      clr::NamedTensors target = all_tensors(*resumed);
      for (std::size_t k = 0; k < source.size(); ++k) target[k].second.copy_(source[k].second);
    }
    resumed_optimizer->load_state(optimizer->state());
    const auto expected = run(*whole, *optimizer, stop, 8);
    CATCH_CHECK(run(*resumed, *resumed_optimizer, stop, 8) == expected);
    CATCH_CHECK(changed(all_tensors(*whole), all_tensors(*resumed)).empty());
  }
}

// A head whose batch norm sees one size at a time, or all views where they were to go one by one.
CATCH_TEST_CASE("swav's batch-norm statistics are of all views or of each", "[method]") {
  const std::vector<int> groups = {2, 3};
  Batch batch = tiny_batch(groups);
  batch.groups[1] += 1;
  for (const bool joint : {true, false}) {
    MethodContext context = tiny_context();
    context.view_groups = groups;
    context.view_forward = joint ? clr::ViewForward::joint : clr::ViewForward::per_view;
    const auto method = make_described({{"type", "swav"}, {"prototypes", 12}}, context);
    const Embeddings embeddings = method->embed(batch);
    const auto counted = [&](const char* name) {
      return method->named_buffers()[std::string(name) + ".num_batches_tracked"]
          .item<std::int64_t>();
    };
    CATCH_CHECK(counted("encoder.bn1") == (joint ? 2 : 5));
    CATCH_CHECK(counted("projector.bn1") == (joint ? 1 : 5));
    CATCH_REQUIRE(embeddings.z.size() == 2);
    CATCH_CHECK(embeddings.z[0].sizes() == torch::IntArrayRef({2, 8, 16}));
    CATCH_CHECK(embeddings.z[1].sizes() == torch::IntArrayRef({3, 8, 16}));

    // In evaluation mode no row depends on another: each view is where it belongs.
    method->eval();
    const Embeddings settled = method->embed(batch);
    for (std::size_t g = 0; g < groups.size(); ++g) {
      for (std::int64_t v = 0; v < groups[g]; ++v) {
        const Tensor h = method->encoder().forward(clr::View{batch.groups[g][v]});
        const Tensor z = method->projector()->forward(h);
        CATCH_CHECK(torch::allclose(settled.z[g][v], z / z.norm(2, 1, true), 1e-4, 1e-5));
      }
    }
  }
}

// Rows that are normalised in 16 bits.
CATCH_TEST_CASE("swav under autocast gives float32 rows of unit length", "[method]") {
  for (const auto view_forward : {clr::ViewForward::joint, clr::ViewForward::per_view}) {
    MethodContext context = tiny_context();
    context.view_forward = view_forward;
    const auto method = make_described({{"type", "swav"}, {"prototypes", 12}}, context);
    const Batch batch = tiny_batch();
    const Tensor exact = method->embed(batch).z[0];
    Tensor half;
    {
      const clr::BFloat16Autocast autocast(torch::kCPU, true);
      half = method->embed(batch).z[0];
    }
    CATCH_CHECK(half.scalar_type() == torch::kFloat32);
    CATCH_CHECK_FALSE(torch::equal(half, exact));
    CATCH_CHECK(torch::allclose(half.norm(2, 2), torch::ones({2, 8}), 0, 1e-6));
    CATCH_CHECK((half - exact).norm().item<double>() < 0.2 * exact.norm().item<double>());
  }
}

// Metrics of all views instead of the assigned ones, pairs that count a view with itself.
CATCH_TEST_CASE("swav's metrics", "[method]") {
  const auto values = [](Method& method, const Embeddings& embeddings) {
    std::map<std::string, double> result;
    for (const auto& [name, value] : method.loss(embeddings, {}, at_step(0)).metrics) {
      result[name] = value.item<double>();
    }
    return result;
  };
  const auto method = make_swav({3, 1}, 0, 16, {{"epsilon", 0.01}});
  torch::manual_seed(8);
  const Tensor z = random_unit({3, 10, 16});
  double pairs = 0;
  for (int a = 0; a < 3; ++a) {
    for (int b = 0; b < 3; ++b) {
      if (a != b) pairs += (z[a] * z[b]).sum().item<double>();
    }
  }
  auto got = values(*method, {{z, random_unit({1, 10, 16})}});
  CATCH_CHECK(got.size() == 3);
  CATCH_CHECK(got.at("positive_cosine") == Approx(pairs / 60).margin(1e-6));
  CATCH_CHECK(got.at("prototypes_in_use") > 1);
  CATCH_CHECK(got.at("prototypes_in_use") < 12);

  // Each image at a prototype of its own, and all images at one place.
  const Tensor axes = torch::eye(16).narrow(0, 0, 12);
  {
    const torch::NoGradGuard no_grad;
    method->named_parameters()["prototypes"].copy_(axes);
  }
  const Tensor settled = axes.expand({3, 12, 16});
  const Tensor collapsed = axes[0].expand({3, 12, 16});
  got = values(*method, {{settled, collapsed.narrow(0, 0, 1)}});
  CATCH_CHECK(got.at("positive_cosine") == Approx(1.0));
  CATCH_CHECK(got.at("prototypes_in_use") == Approx(12.0));
  CATCH_CHECK(got.at("prototypes_per_code") == Approx(1.0));
  got = values(*method, {{collapsed, settled.narrow(0, 0, 1)}});
  CATCH_CHECK(got.at("prototypes_per_code") == Approx(12.0));
  CATCH_CHECK(got.at("prototypes_in_use") < 1.02);
}

CATCH_TEST_CASE("swav wants two views of the first size", "[method]") {
  const auto of = [](const std::vector<int>& view_groups) -> std::string {
    try {
      make_swav(view_groups);
    } catch (const clr::Error& error) {
      CATCH_CHECK(error.kind() == clr::ErrorKind::config);
      return error.what();
    }
    return "";
  };
  CATCH_CHECK(of({2}).empty());
  CATCH_CHECK(of({4}).empty());
  CATCH_CHECK(of({2, 1}).empty());
  CATCH_CHECK_THAT(of({1, 6}), Catch::StartsWith("/augment/views: expected at least 2 views") &&
                                   Catch::Contains("got 1"));
  CATCH_CHECK_THAT(of({1}), Catch::Contains("got 1"));
  for (const Json& bad : {Json{{"epsilon", 0}}, Json{{"temperature", 0}}, Json{{"prototypes", 1}},
                          Json{{"sinkhorn_iterations", 0}}, Json{{"queue_length", -1}}}) {
    CATCH_INFO(bad.dump());
    CATCH_CHECK_THROWS_AS(make_swav({2}, 0, 16, bad), clr::Error);
  }
}
