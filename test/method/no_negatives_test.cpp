// SPDX-License-Identifier: Apache-2.0
// The methods that need no negatives, and nnclr: losses, state and schedules. Values:
// test/golden/no_negatives/README.md. Targets are tested in momentum_encoder_test.cpp.
#include <torch/types.h>

#include <cmath>
#include <map>

#include "clr/io/file.h"
#include "clr/io/npy.h"
#include "method/golden_steps.h"
#include "method/method_fixtures.h"
#include "support/catch.h"

namespace clr {
namespace {

using test::make;
using test::make_described;
using test::tiny_batch;
using test::tiny_context;
using torch::Tensor;

const std::string kFolder = std::string(CLR_TEST_DATA_DIR) + "/no_negatives/";

Tensor golden(const std::string& name) { return read_npy(kFolder + name + ".npy"); }

double expected(const std::string& name) {
  static const Json values =
      parse_json(read_file(kFolder + "expected.json", ErrorKind::data), "expected.json");
  return values.at(name).get<double>();
}

Tensor buffer(Method& method, const std::string& name) { return method.named_buffers()[name]; }

void assign(Tensor tensor, const Tensor& value) {
  const torch::NoGradGuard no_grad;
  tensor.copy_(value);
}

std::map<std::string, double> numbers(const StepOutput& output) {
  std::map<std::string, double> values;
  for (const auto& [name, value] : output.metrics) values[name] = value.item<double>();
  return values;
}

/// Two views an image, with as many images as rows are given; its sizes alone are looked at.
Batch batch_of(std::int64_t images) {
  Batch batch;
  batch.indices = torch::arange(images);
  return batch;
}

Json dino_json() {
  return {{"type", "dino"},
          {"prototypes", 20},
          {"warmup_teacher_temp", 0.05},
          {"warmup_teacher_temp_epochs", 3},
          {"teacher_temp", 0.07},
          {"center_momentum", 0.75}};
}

/// With the golden prototypes and center.
std::shared_ptr<Method> golden_dino(const Json& json) {
  const auto method = make_described(json, tiny_context());
  assign(method->named_parameters()["prototypes"], golden("prototypes"));
  assign(buffer(*method, "target_prototypes"), golden("target_prototypes"));
  assign(buffer(*method, "center"), golden("center"));
  return method;
}

Embeddings golden_dino_embeddings() {
  const auto unit = [](const Tensor& x) { return x / x.norm(2, -1, true); };
  // Two large views and two small ones, which do not teach.
  const Tensor views = unit(golden("views"));
  return {{views.narrow(0, 0, 2).clone().requires_grad_(),
           views.narrow(0, 2, 2).clone().requires_grad_(),
           unit(golden("targets")).requires_grad_()}};
}

}  // namespace

CATCH_TEST_CASE("byol's and simsiam's losses attract predictions alone", "[method]") {
  // Mistakes: the target of the own view; one direction; a factor; a gradient for what is foretold.
  for (const std::string& type : {"byol", "simsiam"}) {
    CATCH_INFO(type);
    const auto method = make(type, tiny_context());
    const Tensor predictions = golden("predictions").requires_grad_();
    const Tensor targets = golden("targets").requires_grad_();
    const StepOutput output = method->loss({{predictions, targets}}, batch_of(6), {});
    CATCH_CHECK(output.loss.item<double>() == Approx(expected(type)).epsilon(1e-5));
    CATCH_CHECK(numbers(output).at("positive_cosine") ==
                Approx(-expected("simsiam")).epsilon(1e-5));
    output.loss.backward();
    CATCH_CHECK(predictions.grad().defined());
    CATCH_CHECK_FALSE(targets.grad().defined());
  }
}

CATCH_TEST_CASE("simsiam's projections get no gradient but through its head", "[method]") {
  // Mistake: z foretells and is foretold with a graph; the networks still learn, towards one point.
  const auto method = make("simsiam", tiny_context());
  method->train();
  const Embeddings embeddings = method->embed(tiny_batch());
  CATCH_REQUIRE(embeddings.z.size() == 2);
  CATCH_CHECK(embeddings.z[0].requires_grad());
  CATCH_CHECK_FALSE(embeddings.z[1].requires_grad());
  CATCH_CHECK(embeddings.z[0].sizes() == embeddings.z[1].sizes());
}

CATCH_TEST_CASE("simsiam's head keeps its learning rate", "[method]") {
  // Mistakes: the head follows the schedule; all of the network keeps its rate.
  for (const bool fixed : {true, false}) {
    const auto method = make_described(
        {{"type", "simsiam"}, {"predictor", {{"hidden", 4}}}, {"fix_predictor_rate", fixed}},
        tiny_context());
    std::size_t heads = 0;
    for (const ParameterGroup& group : method->parameter_groups()) {
      const bool head = group.parameters.front().first.starts_with("predictor.");
      for (const auto& item : group.parameters)
        CATCH_CHECK(item.first.starts_with("predictor.") == head);
      CATCH_CHECK(group.constant_lr == (head && fixed));
      heads += head ? 1 : 0;
    }
    CATCH_CHECK(heads == 2);
  }
}

CATCH_TEST_CASE("barlow_twins' loss is lightly's", "[method]") {
  // Mistakes: unbiased deviations; the sum for the mean; the diagonal in both terms.
  const Embeddings embeddings{{golden("views").narrow(0, 0, 2).contiguous()}};
  const auto method = make_described({{"type", "barlow_twins"}}, tiny_context());
  const StepOutput output = method->loss(embeddings, batch_of(6), {});
  CATCH_CHECK(output.loss.item<double>() == Approx(expected("barlow_twins")).epsilon(1e-5));
  const auto found = numbers(output);
  // Both terms by the metrics' names: D = 16, coordinates and pairs of two.
  const auto scaled =
      make_described({{"type", "barlow_twins"}, {"scale", 0.25}, {"lambda", 0.0}}, tiny_context());
  const double same = scaled->loss(embeddings, batch_of(6), {}).loss.item<double>() / 0.25;
  CATCH_CHECK(same + 0.0051 * 240 * found.at("squared_correlation_other") ==
              Approx(expected("barlow_twins")).epsilon(1e-5));
  CATCH_CHECK(std::abs(found.at("correlation_same")) <= 1.0);
}

CATCH_TEST_CASE("vicreg's loss is lightly's, and of more views the mean over pairs", "[method]") {
  // Mistakes: biased variances; pairs of a view with itself; a weight for another; sums for means.
  for (const std::int64_t views : {2, 4}) {
    MethodContext context = tiny_context();
    context.view_groups = {static_cast<int>(views)};
    const auto method = make_described({{"type", "vicreg"}}, context);
    const Tensor z = golden("views").narrow(0, 0, views).contiguous().requires_grad_();
    const StepOutput output = method->loss({{z}}, batch_of(6), {});
    CATCH_CHECK(output.loss.item<double>() ==
                Approx(expected(views == 2 ? "vicreg" : "vicreg_4_views")).epsilon(1e-5));
    output.loss.backward();
    CATCH_CHECK(z.grad().isfinite().all().item<bool>());
    if (views == 2) continue;
    for (const auto& [name, value] : numbers(output)) {
      CATCH_INFO(name);
      CATCH_CHECK(value == Approx(expected(name)).epsilon(1e-5));
    }
  }
}

CATCH_TEST_CASE("nnclr's positives are neighbours in the queue", "[method]") {
  // Mistakes: the own view's predictions; neighbours of predictions; a gradient for neighbours.
  const auto method = make_described({{"type", "nnclr"},
                                      {"temperature", 0.2},
                                      {"queue_size", 20},
                                      {"predictor", {{"hidden", 48}}}},
                                     tiny_context());
  assign(buffer(*method, "queue"), golden("queue"));
  const Tensor predictions = golden("predictions").requires_grad_();
  const Tensor projections = golden("targets").requires_grad_();
  const StepOutput output = method->loss({{predictions, projections}}, batch_of(6), {});
  CATCH_CHECK(output.loss.item<double>() == Approx(expected("nnclr")).epsilon(1e-5));
  output.loss.backward();
  CATCH_CHECK(predictions.grad().defined());
  CATCH_CHECK_FALSE(projections.grad().defined());
  CATCH_CHECK_FALSE(buffer(*method, "queue").grad().defined());
  // Each row of either view with its nearest row of the queue, and that one with the other view's
  // prediction.
  const auto unit = [](const Tensor& x) { return x / x.norm(2, -1, true); };
  const Tensor cosines = at::matmul(unit(golden("targets")).flatten(0, 1), golden("queue").t());
  const Tensor found = golden("queue").index_select(0, cosines.argmax(1)).view({2, 6, 16});
  const auto values = numbers(output);
  CATCH_CHECK(values.at("neighbor_cosine") ==
              Approx(cosines.amax(1).mean().item<double>()).epsilon(1e-5));
  CATCH_CHECK(values.at("positive_cosine") ==
              Approx((found * unit(golden("predictions")).flip(0)).sum(2).mean().item<double>())
                  .epsilon(1e-5));
}

CATCH_TEST_CASE("nnclr's queue holds the first view's projections of earlier batches", "[method]") {
  // Mistakes: the loss changes it; the second view's; predictions; rows of their own length; the
  // newest are overwritten.
  const auto method = make_described(
      {{"type", "nnclr"}, {"queue_size", 20}, {"predictor", {{"hidden", 48}}}}, tiny_context());
  const Batch batch = tiny_batch();
  const Tensor before = buffer(*method, "queue").clone();
  CATCH_CHECK(at::allclose(before.norm(2, 1), torch::ones(20)));
  std::vector<Tensor> seen;
  for (std::int64_t step = 0; step < 3; ++step) {
    const Embeddings embeddings = method->embed(batch);
    method->loss(embeddings, batch, {});
    const Tensor z = embeddings.z.at(1)[0];
    seen.push_back(z / z.norm(2, 1, true));
    method->after_step(embeddings, batch, {});
  }
  // 24 rows through 20: the first four are gone, and the last four lie in their place.
  const Tensor all = at::cat(seen);
  const Tensor expected_rows = at::cat({all.narrow(0, 20, 4), all.narrow(0, 4, 16)});
  CATCH_CHECK(at::allclose(buffer(*method, "queue"), expected_rows));
  CATCH_CHECK(buffer(*method, "queue_position").item<std::int64_t>() == 4);
}

CATCH_TEST_CASE("dino's loss is lightly's", "[method]") {
  // Mistakes: a view with its own teacher; the center of the student; temperatures swapped; small
  // views that teach. Four student views here, the first two of which are the teacher's.
  const auto method = golden_dino(dino_json());
  const Embeddings embeddings = golden_dino_embeddings();
  const StepOutput output = method->loss(embeddings, batch_of(6), {});
  CATCH_CHECK(output.loss.item<double>() == Approx(expected("dino")).epsilon(1e-5));
  output.loss.backward();
  CATCH_CHECK(embeddings.z[0].grad().defined());
  CATCH_CHECK(embeddings.z[1].grad().defined());
  CATCH_CHECK_FALSE(embeddings.z[2].grad().defined());
}

CATCH_TEST_CASE("dino's schedules and its center", "[method]") {
  const auto method = golden_dino(dino_json());
  const Embeddings embeddings = golden_dino_embeddings();
  const auto at_epoch = [&](std::int64_t epoch) {
    return method->loss(embeddings, batch_of(6), {0, epoch, 20, 3});
  };
  // Mistakes: by steps; one epoch too long; the final value never reached.
  CATCH_CHECK(numbers(at_epoch(0)).at("teacher_temp") == Approx(0.05));
  CATCH_CHECK(numbers(at_epoch(1)).at("teacher_temp") == Approx(0.06));
  CATCH_CHECK(numbers(at_epoch(2)).at("teacher_temp") == Approx(0.07));
  CATCH_CHECK(numbers(at_epoch(9)).at("teacher_temp") == Approx(0.07));
  CATCH_CHECK(at_epoch(0).loss.item<double>() != at_epoch(1).loss.item<double>());

  // Mistakes: prototypes that move in the first epoch, by gradient or by weight decay; that never move.
  Tensor prototypes = method->named_parameters()["prototypes"];
  at_epoch(0).loss.backward();
  CATCH_CHECK_FALSE(prototypes.grad().defined());
  at_epoch(1).loss.backward();
  CATCH_CHECK(prototypes.grad().defined());
  CATCH_CHECK_FALSE(method->named_parameters()["prototype_lengths"].requires_grad());

  // The center moves after the step alone, to the mean of what the teacher said before it moved.
  const Tensor before = buffer(*method, "center").clone();
  CATCH_CHECK(torch::equal(before, golden("center")));
  const Tensor unit = golden("target_prototypes") / golden("target_prototypes").norm(2, 1, true);
  const Tensor mean = at::matmul(embeddings.z[2].detach(), unit.t()).flatten(0, 1).mean(0);
  method->after_step(embeddings, batch_of(6), {3, 0, 20, 3});
  CATCH_CHECK(at::allclose(buffer(*method, "center"), 0.75 * before + 0.25 * mean, 1e-5, 1e-6));
  // And the teacher's prototypes by the momentum of the step.
  const double momentum = 1 - (1 - 0.996) * (1 + std::cos(std::acos(-1.0) * 3 / 20)) / 2;
  CATCH_CHECK(at::allclose(
      buffer(*method, "target_prototypes"),
      momentum * golden("target_prototypes") + (1 - momentum) * golden("prototypes"), 1e-5, 1e-6));
}

CATCH_TEST_CASE("dino's prototypes have lengths of their own if asked", "[method]") {
  Json json = dino_json();
  json["norm_last_layer"] = false;
  const auto method = golden_dino(json);
  Tensor lengths = method->named_parameters()["prototype_lengths"];
  CATCH_CHECK(lengths.requires_grad());
  const Embeddings embeddings = golden_dino_embeddings();
  const double as_drawn = method->loss(embeddings, batch_of(6), {}).loss.item<double>();
  CATCH_CHECK(as_drawn == Approx(expected("dino")).epsilon(1e-5));
  assign(lengths, lengths * 2);
  CATCH_CHECK(method->loss(embeddings, batch_of(6), {}).loss.item<double>() != Approx(as_drawn));
}

CATCH_TEST_CASE("statistics of a view's own, or of all views", "[method]") {
  // Mistake: joint statistics where the reference has one forward a view, and the reverse.
  const auto passes = [](const std::string& type, ViewForward mode) {
    MethodContext context = tiny_context();
    context.view_forward = mode;
    const auto method = make(type, context);
    method->embed(tiny_batch(test::tiny_case(type).view_groups));
    return buffer(*method, "encoder.bn1.num_batches_tracked").item<int>();
  };
  for (const ViewForward mode : {ViewForward::joint, ViewForward::per_view}) {
    const int each = mode == ViewForward::joint ? 1 : 2;
    for (const std::string& type : {"byol", "simsiam"}) CATCH_CHECK(passes(type, mode) == 2);
    for (const std::string& type : {"barlow_twins", "vicreg", "nnclr"})
      CATCH_CHECK(passes(type, mode) == each);
    // Two sizes, of two views each.
    CATCH_CHECK(passes("dino", mode) == 2 * each);
  }
}

CATCH_TEST_CASE("steps of byol, simsiam, vicreg and dino are PyTorch's", "[method]") {
  // Mistakes, each seen in a later loss: a target that follows before the step, or by a momentum a step
  // off; a head whose rate falls; a layer that is not frozen; a center of another step; joint statistics.
  const std::string path = kFolder + "steps.json";
  const Json steps = parse_json(read_file(path, ErrorKind::data), path);
  test::GoldenSteps rules;
  rules.learning_rate = [](std::int64_t step) {
    return 0.02 * (1 - static_cast<double>(step) / 10);
  };
  const Json predictor = {{"hidden", 48}, {"bias", false}};
  test::check_golden_losses(steps, "byol",
                            {{"type", "byol"}, {"momentum", 0.8}, {"predictor", predictor}}, rules);
  test::check_golden_losses(steps, "simsiam", {{"type", "simsiam"}, {"predictor", predictor}},
                            rules);
  rules.view_forward = ViewForward::per_view;
  test::check_golden_losses(steps, "vicreg", {{"type", "vicreg"}}, rules);
  rules.own = [](const std::string& name) {
    if (name == "prototypes" || name == "center") return golden(name);
    return name == "prototype_lengths" ? torch::ones({20, 1}) : Tensor();
  };
  rules.steps_per_epoch = 2;
  test::check_golden_losses(steps, "dino",
                            {{"type", "dino"},
                             {"momentum", 0.8},
                             {"prototypes", 20},
                             {"warmup_teacher_temp_epochs", 3},
                             {"teacher_temp", 0.07}},
                            rules);
}

}  // namespace clr
