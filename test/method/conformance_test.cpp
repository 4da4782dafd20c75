// SPDX-License-Identifier: Apache-2.0
// What every method must keep to: all of it loops over the registry, so that a new method is tested
// by being listed. SimCLR's own numbers are checked at the end.
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <map>
#include <set>

#include "clr/core/autocast.h"
#include "clr/loss/nt_xent.h"
#include "clr/method/method.h"
#include "clr/model/batch_norm.h"
#include "clr/optim/optimizer.h"
#include "method/method_fixtures.h"
#include "reference/nt_xent_reference.h"
#include "support/catch.h"

namespace {

using clr::Batch;
using clr::Json;
using clr::Method;
using clr::MethodContext;
using clr::NamedTensors;
using clr::View;
using clr::test::all_tensors;
using clr::test::batch_for;
using clr::test::changed;
using clr::test::cloned;
using clr::test::describe;
using clr::test::make;
using clr::test::make_described;
using clr::test::running_statistic;
using clr::test::suited;
using clr::test::tiny_batch;
using clr::test::tiny_case;
using clr::test::tiny_context;
using clr::test::train;
using torch::Tensor;

bool normalises_batches(const Method& method) {
  for (const auto& module : method.modules())
    if (dynamic_cast<const clr::BatchNorm*>(module.get()) != nullptr) return true;
  return false;
}

}  // namespace

CATCH_TEST_CASE("every method learns one batch by heart", "[method]") {
  for (const std::string& type : clr::methods().names()) {
    CATCH_INFO(type);
    const auto method = make(type, tiny_context());
    const double rate = tiny_case(type).rate;
    const std::vector<double> losses = train(*method, 20, batch_for(type), rate);
    for (const double loss : losses) CATCH_REQUIRE(std::isfinite(loss));
    CATCH_CHECK(losses.back() < 0.8 * losses.front());
    for (const auto& [name, tensor] : all_tensors(*method)) {
      CATCH_INFO(name);
      CATCH_CHECK(tensor.isfinite().all().item<bool>());
    }
    CATCH_CHECK(train(*make(type, tiny_context()), 20, batch_for(type), rate) == losses);
  }
}

CATCH_TEST_CASE("every method's parts keep to their places", "[method]") {
  for (const std::string& type : clr::methods().names()) {
    CATCH_INFO(type);
    const auto method = make(type, tiny_context());
    method->train();
    const Batch batch = batch_for(type);
    const clr::StepContext context{0, 0, 20, 3};
    method->before_step(context);

    const NamedTensors before = cloned(all_tensors(*method));
    const clr::Embeddings embeddings = method->embed(batch);
    const auto by_embed = changed(before, all_tensors(*method));
    CATCH_CHECK(by_embed.empty() != normalises_batches(*method));
    for (const auto& name : by_embed) CATCH_CHECK(running_statistic(name));

    const NamedTensors embedded = cloned(all_tensors(*method));
    const clr::StepOutput output = method->loss(embeddings, batch, context);
    output.loss.backward();
    CATCH_CHECK(changed(embedded, all_tensors(*method)).empty());
    CATCH_CHECK(output.loss.dim() == 0);
    CATCH_CHECK(output.loss.scalar_type() == torch::kFloat32);
    for (const auto& [name, metric] : output.metrics) {
      CATCH_INFO(name);
      CATCH_CHECK(metric.dim() == 0);
      CATCH_CHECK_FALSE(metric.requires_grad());
      CATCH_CHECK(std::isfinite(metric.item<double>()));
    }
    for (const auto& parameter : method->encoder().parameters()) {
      CATCH_CHECK(parameter.grad().defined());
    }

    method->freeze_running_statistics(true);
    const clr::Embeddings frozen = method->embed(batch);
    CATCH_CHECK(changed(embedded, all_tensors(*method)).empty());
    CATCH_CHECK(torch::equal(frozen.z[0], embeddings.z[0]));
    method->freeze_running_statistics(false);
    method->embed(batch);
    CATCH_CHECK(changed(embedded, all_tensors(*method)).size() == by_embed.size());
  }
}

CATCH_TEST_CASE("every method groups each trained parameter once", "[method]") {
  for (const std::string& type : clr::methods().names()) {
    CATCH_INFO(type);
    const auto method = make(type, tiny_context());
    std::multiset<std::string> grouped;
    for (const auto& group : method->parameter_groups()) {
      for (const auto& [name, parameter] : group.parameters) {
        CATCH_INFO(name);
        grouped.insert(name);
        CATCH_CHECK(group.norm_or_bias == (parameter.dim() <= 1));
        CATCH_CHECK(parameter.is_same(method->named_parameters()[name]));
      }
    }
    std::multiset<std::string> trained;
    for (const auto& item : method->named_parameters()) {
      if (item.value().requires_grad()) trained.insert(item.key());
    }
    CATCH_CHECK(grouped == trained);

    method->parameters()[0].set_requires_grad(false);
    std::size_t count = 0;
    for (const auto& group : method->parameter_groups()) count += group.parameters.size();
    CATCH_CHECK(count == trained.size() - 1);
  }
}

CATCH_TEST_CASE("every method is its tensors", "[method]") {
  for (const std::string& type : clr::methods().names()) {
    CATCH_INFO(type);
    const auto trained = make(type, tiny_context());
    const Batch batch = batch_for(type);
    train(*trained, 3, batch);
    torch::manual_seed(99);
    const auto loaded =
        clr::methods().make(describe<Method>(tiny_case(type).method), suited(tiny_context(), type));
    const NamedTensors source = all_tensors(*trained);
    {
      const torch::NoGradGuard no_grad;
      NamedTensors target = all_tensors(*loaded);
      CATCH_REQUIRE(2 * changed(source, target).size() > source.size());
      for (std::size_t k = 0; k < source.size(); ++k) {
        CATCH_REQUIRE(target[k].first == source[k].first);
        target[k].second.copy_(source[k].second);
      }
    }
    for (const auto& method : {loaded, trained}) method->before_step({3, 0, 20, 3});
    CATCH_CHECK(torch::equal(loaded->embed(batch).z[0], trained->embed(batch).z[0]));
    loaded->eval();
    trained->eval();
    const View view{batch.groups[0][0]};
    const Tensor h = trained->encoder().forward(view);
    CATCH_CHECK(torch::equal(loaded->encoder().forward(view), h));
    CATCH_CHECK(h.sizes() == torch::IntArrayRef({8, trained->encoder().feature_dim()}));
    if (trained->projector() != nullptr) {
      CATCH_CHECK(torch::equal(loaded->projector()->forward(h), trained->projector()->forward(h)));
    }
    const auto parameters = trained->named_parameters();
    CATCH_CHECK(parameters.contains(tiny_case(type).text_encoder.is_null()
                                        ? "encoder.conv1.weight"
                                        : "encoder.embeddings.word_embeddings.weight"));
    CATCH_CHECK((trained->projector() != nullptr) ==
                parameters.contains("projector.linear1.weight"));
  }
}

CATCH_TEST_CASE("views go through a network together or one by one", "[method]") {
  const Tensor group = tiny_batch({3}).groups[0];
  std::vector<std::int64_t> rows;
  const auto encode = [&](const View& view) {
    rows.push_back(view.input.size(0));
    return view.input.flatten(1).narrow(1, 0, 5) * 2;
  };
  const Tensor expected = group.flatten(2).narrow(2, 0, 5) * 2;
  CATCH_CHECK(torch::equal(clr::forward_views({group}, clr::ViewForward::joint, encode), expected));
  CATCH_CHECK(rows == std::vector<std::int64_t>{24});
  rows.clear();
  CATCH_CHECK(
      torch::equal(clr::forward_views({group}, clr::ViewForward::per_view, encode), expected));
  CATCH_CHECK(rows == std::vector<std::int64_t>{8, 8, 8});

  // Rows keep their keys.
  const Tensor keys = torch::arange(24).view({3, 8});
  for (const auto mode : {clr::ViewForward::joint, clr::ViewForward::per_view}) {
    std::vector<Tensor> seen;
    clr::forward_views({group, keys}, mode, [&](const View& view) {
      seen.push_back(view.keys);
      return view.input.flatten(1);
    });
    CATCH_CHECK(torch::equal(at::cat(seen), keys.flatten()));
  }

  // Channels-last views are passed on as they lie.
  const Tensor interleaved = group.permute({0, 1, 3, 4, 2}).contiguous().permute({0, 1, 4, 2, 3});
  clr::forward_views({interleaved}, clr::ViewForward::joint, [&](const View& view) {
    CATCH_CHECK(view.input.is_contiguous(torch::MemoryFormat::ChannelsLast));
    CATCH_CHECK(view.input.data_ptr() == interleaved.data_ptr());
    return view.input.flatten(1);
  });
}

CATCH_TEST_CASE("simclr's loss and metrics", "[method]") {
  const auto method = make("simclr", tiny_context());
  method->train();
  const Batch batch = tiny_batch();
  const clr::Embeddings embeddings = method->embed(batch);
  const Tensor& z = embeddings.z.at(0);
  CATCH_REQUIRE(z.sizes() == torch::IntArrayRef({2, 8, 16}));
  const clr::StepOutput output = method->loss(embeddings, batch, {});

  const Tensor rows = z.detach().to(torch::kFloat64).flatten(0, 1).contiguous();
  const auto* values = rows.data_ptr<double>();
  const auto expected = clr::test::nt_xent_reference({values, values + rows.numel()}, 8, 16, 0.5);
  CATCH_CHECK(output.loss.item<double>() == Approx(expected.loss).epsilon(1e-5));

  double pairs = 0;
  double others = 0;
  for (std::int64_t i = 0; i < 16; ++i) {
    for (std::int64_t j = 0; j < 16; ++j) {
      if (i == j) continue;
      const double cosine =
          (rows[i].dot(rows[j]) / (rows[i].norm() * rows[j].norm())).item<double>();
      (j == (i + 8) % 16 ? pairs : others) += cosine;
    }
  }
  CATCH_REQUIRE(output.metrics.size() == 3);
  CATCH_CHECK(output.metrics[0].first == "positive_cosine");
  CATCH_CHECK(output.metrics[0].second.item<double>() == Approx(pairs / 16).margin(1e-5));
  CATCH_CHECK(output.metrics[1].first == "negative_cosine");
  CATCH_CHECK(output.metrics[1].second.item<double>() == Approx(others / (16 * 14)).margin(1e-5));
}

CATCH_TEST_CASE("simclr's loss comes from the back end of the configuration", "[method]") {
  MethodContext context = tiny_context();
  const Batch batch = tiny_batch();
  std::vector<Tensor> gradients;
  for (const auto backend : {clr::LossBackend::fused, clr::LossBackend::streaming}) {
    context.loss_backend = backend;
    const auto method = make("simclr", context);
    const Tensor z = method->embed(batch).z[0].detach().requires_grad_();
    method->loss({{z}}, batch, {}).loss.backward();
    const Tensor x = z.detach().requires_grad_();
    clr::TwoViewOptions options;
    options.backend = backend;
    clr::nt_xent(x[0], x[1], 0.5, options).backward();
    CATCH_CHECK(torch::equal(z.grad(), x.grad()));
    gradients.push_back(z.grad());
  }
  // They differ in the last bits, so that this test can fail.
  CATCH_CHECK_FALSE(torch::equal(gradients[0], gradients[1]));
  CATCH_CHECK(torch::allclose(gradients[0], gradients[1], 1e-4, 1e-7));
}

CATCH_TEST_CASE("simclr wants views of one size", "[method]") {
  MethodContext context = tiny_context();
  const auto refusal = [](const auto& action) -> std::string {
    try {
      action();
    } catch (const clr::Error& error) {
      CATCH_CHECK(error.kind() == clr::ErrorKind::config);
      return error.what();
    }
    return "";
  };
  const auto of = [&](const std::vector<int>& view_groups, const Json& json) {
    context.view_groups = view_groups;
    return refusal([&] { make_described(json, context); });
  };
  const Json plain = {{"type", "simclr"}};
  CATCH_CHECK(of({2}, plain).empty());
  CATCH_CHECK(of({4}, plain).empty());
  CATCH_CHECK_THAT(of({1}, plain), Catch::StartsWith("/augment/views: expected 2 views or more") &&
                                       Catch::Contains("got 1"));
  CATCH_CHECK_THAT(of({1, 1}, plain), Catch::Contains("2 sizes"));
  // What is defined for two alone.
  const std::string start = "/augment/views: expected 2 views for simclr";
  for (const Json& json : {Json{{"type", "simclr"}, {"loss", "dcl"}},
                           Json{{"type", "simclr"}, {"false_negatives", "same_index"}}}) {
    CATCH_CHECK(of({2}, json).empty());
    CATCH_CHECK_THAT(of({3}, json), Catch::StartsWith(start) && Catch::Contains("got 3"));
  }
  CATCH_CHECK_THROWS_AS(describe<Method>({{"type", "simclr"}, {"temperature", 0}}), clr::Error);
}

CATCH_TEST_CASE("methods of many views learn from all of them", "[method]") {
  // Mistake: views after the second are embedded and forgotten.
  for (const char* type : {"simclr", "supcon", "vicreg"}) {
    CATCH_INFO(type);
    MethodContext context = tiny_context();
    context.view_groups = {4};
    const auto method = make_described({{"type", type}}, context);
    method->train();
    const Batch batch = tiny_batch({4});
    const Tensor z = method->embed(batch).z[0].detach().requires_grad_();
    CATCH_REQUIRE(z.size(0) == 4);
    const clr::StepOutput output = method->loss({{z}}, batch, {});
    output.loss.backward();
    for (std::int64_t view = 0; view < 4; ++view)
      CATCH_CHECK(z.grad()[view].abs().sum().item<double>() > 1e-6);
    for (const auto& [name, value] : output.metrics)
      CATCH_CHECK(std::isfinite(value.item<double>()));
    const std::vector<double> losses = train(*method, 20, batch);
    CATCH_CHECK(losses.back() < 0.9 * losses.front());
  }
}

CATCH_TEST_CASE("simclr's batch-norm statistics are of all views or of each", "[method]") {
  MethodContext context = tiny_context();
  const auto joint = make("simclr", context);
  context.view_forward = clr::ViewForward::per_view;
  const auto each = make("simclr", context);
  Batch batch = tiny_batch();
  batch.groups[0][1] += 1;
  const Tensor together = joint->embed(batch).z[0];
  const Tensor apart = each->embed(batch).z[0];
  CATCH_CHECK(together.sizes() == apart.sizes());
  CATCH_CHECK_FALSE(torch::allclose(together, apart, 1e-2, 1e-2));
  CATCH_CHECK(joint->named_buffers()["encoder.bn1.num_batches_tracked"].item<int>() == 1);
  CATCH_CHECK(each->named_buffers()["encoder.bn1.num_batches_tracked"].item<int>() == 2);
}

CATCH_TEST_CASE("simclr under autocast gives float32 embeddings near its own", "[method]") {
  const auto method = make("simclr", tiny_context());
  const Batch batch = tiny_batch();
  const Tensor exact = method->embed(batch).z[0];
  Tensor half;
  {
    const clr::BFloat16Autocast autocast(torch::kCPU, true);
    half = method->embed(batch).z[0];
  }
  CATCH_CHECK(half.scalar_type() == torch::kFloat32);
  CATCH_CHECK_FALSE(torch::equal(half, exact));
  CATCH_CHECK((half - exact).norm().item<double>() < 0.2 * exact.norm().item<double>());
}

CATCH_TEST_CASE("supervised's loss and metric are those of all views' labels", "[method]") {
  const auto method = make("supervised", tiny_context());
  method->train();
  Batch batch = tiny_batch();
  batch.groups.push_back(batch.groups[0].narrow(0, 0, 1).narrow(3, 0, 8).narrow(4, 0, 8));
  batch.labels = torch::tensor({3, 1, 4, 1, 5, 9, 2, 6});
  clr::Embeddings embeddings = method->embed(batch);
  CATCH_REQUIRE(embeddings.z.size() == 2);
  CATCH_CHECK(embeddings.z[0].sizes() == torch::IntArrayRef({2, 8, 10}));
  CATCH_CHECK(embeddings.z[1].sizes() == torch::IntArrayRef({1, 8, 10}));
  // The classifier starts at zero: all classes are alike.
  CATCH_CHECK(method->loss(embeddings, batch, {}).loss.item<double>() ==
              Approx(std::log(10.0)).epsilon(1e-6));

  torch::manual_seed(5);
  for (auto& z : embeddings.z) z = 3 * torch::randn(z.sizes());
  const clr::StepOutput output = method->loss(embeddings, batch, {});
  double sum = 0;
  int right = 0;
  for (const Tensor& z : embeddings.z) {
    for (std::int64_t v = 0; v < z.size(0); ++v) {
      for (std::int64_t i = 0; i < 8; ++i) {
        const Tensor row = z[v][i].to(torch::kFloat64);
        double total = 0;
        for (std::int64_t c = 0; c < 10; ++c) total += std::exp(row[c].item<double>());
        const auto label = batch.labels[i].item<std::int64_t>();
        sum += std::log(total) - row[label].item<double>();
        right += row.argmax().item<std::int64_t>() == label ? 1 : 0;
      }
    }
  }
  CATCH_CHECK(output.loss.item<double>() == Approx(sum / 24).epsilon(1e-6));
  CATCH_REQUIRE(output.metrics.size() == 1);
  CATCH_CHECK(output.metrics[0].first == "top1");
  CATCH_CHECK(output.metrics[0].second.item<double>() == Approx(right / 24.0));

  MethodContext unlabelled = tiny_context();
  unlabelled.classes = 0;
  CATCH_CHECK_THROWS_AS(make("supervised", unlabelled), clr::Error);
}

CATCH_TEST_CASE("supervised's learning rates fall from the classifier to the stem", "[method]") {
  const auto rates = [](const Json& json) {
    std::map<std::string, double> result;
    for (const auto& group : make_described(json, tiny_context())->parameter_groups()) {
      CATCH_CHECK_FALSE(group.constant_lr);
      for (const auto& [name, parameter] : group.parameters) result[name] = group.lr_multiplier;
    }
    return result;
  };
  Json json = {{"type", "supervised"}, {"head_lr_multiplier", 10.0}, {"layer_decay", 0.5}};
  auto on_encoder = rates(json);
  CATCH_CHECK(on_encoder.at("classifier.weight") == 10.0);
  CATCH_CHECK(on_encoder.at("classifier.bias") == 10.0);
  CATCH_CHECK(on_encoder.at("encoder.layer4.1.conv2.weight") == 0.5);
  CATCH_CHECK(on_encoder.at("encoder.layer4.0.downsample.1.bias") == 0.5);
  CATCH_CHECK(on_encoder.at("encoder.layer1.0.bn1.weight") == 0.0625);
  CATCH_CHECK(on_encoder.at("encoder.conv1.weight") == 0.03125);
  CATCH_CHECK(on_encoder.at("encoder.bn1.bias") == 0.03125);

  json["from"] = "projector_1";
  auto on_head = rates(json);
  CATCH_CHECK(on_head.at("classifier.weight") == 10.0);
  CATCH_CHECK(on_head.at("projector.linear1.weight") == 0.5);
  CATCH_CHECK(on_head.at("encoder.layer4.1.conv2.weight") == 0.25);
  CATCH_CHECK(on_head.at("encoder.conv1.weight") == 0.015625);
  CATCH_CHECK_FALSE(on_head.contains("projector.linear2.weight"));

  const auto plain = make("supervised", tiny_context())->parameter_groups();
  CATCH_CHECK(plain.size() == 2);
  for (const auto& group : plain) CATCH_CHECK(group.lr_multiplier == 1.0);
}

CATCH_TEST_CASE("supervised stands on the layer that was asked for", "[method]") {
  const auto parameter = [](const std::string& from, const std::string& name) {
    const auto method = make_described({{"type", "supervised"}, {"from", from}}, tiny_context());
    return method->named_parameters()[name];
  };
  const auto encoder = make("supervised", tiny_context());
  CATCH_CHECK(encoder->projector() == nullptr);
  CATCH_CHECK(encoder->named_parameters()["classifier.weight"].sizes() ==
              torch::IntArrayRef({10, encoder->encoder().feature_dim()}));
  CATCH_CHECK(parameter("projector_1", "classifier.weight").sizes() ==
              torch::IntArrayRef({10, 48}));
  CATCH_CHECK(parameter("projector", "classifier.weight").sizes() == torch::IntArrayRef({10, 16}));
  CATCH_CHECK(parameter("projector_1", "projector.linear1.weight").requires_grad());
  CATCH_CHECK_FALSE(parameter("projector_1", "projector.linear2.weight").requires_grad());
  CATCH_CHECK(parameter("projector", "projector.linear2.weight").requires_grad());

  MethodContext headless = tiny_context();
  headless.projector.layers = 0;
  CATCH_CHECK_THROWS_AS(make_described({{"type", "supervised"}, {"from", "projector_1"}}, headless),
                        clr::Error);
}

CATCH_TEST_CASE("supervised on frozen networks trains the classifier alone", "[method]") {
  for (const char* from : {"encoder", "projector_1", "projector"}) {
    CATCH_INFO(from);
    const auto method =
        make_described({{"type", "supervised"}, {"from", from}, {"frozen", true}}, tiny_context());
    const NamedTensors before = cloned(all_tensors(*method));
    const std::vector<double> losses = train(*method, 5, tiny_batch());
    CATCH_CHECK(losses.back() < losses.front());
    const std::set<std::string> expected = {"classifier.bias", "classifier.weight"};
    CATCH_CHECK((changed(before, all_tensors(*method)) == expected));
    for (const auto& parameter : method->encoder().parameters()) {
      CATCH_CHECK_FALSE(parameter.grad().defined());
    }
    // As it is judged: by running statistics, not by the batch's.
    const Batch batch = tiny_batch();
    const Tensor in_training = method->embed(batch).z[0];
    method->eval();
    CATCH_CHECK(torch::equal(in_training, method->embed(batch).z[0]));
  }
}
