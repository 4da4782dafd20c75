// SPDX-License-Identifier: Apache-2.0
// The gradient cache against one pass of the whole batch (networks without batch norm), and against
// micro-batches whose graphs are all kept (dropout, batch norm).
#include "clr/train/gradient_cache.h"

#include <ATen/Context.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "clr/core/allocation_meter.h"
#include "method/method_fixtures.h"
#include "support/catch.h"

namespace {

using clr::Batch;
using clr::Embeddings;
using clr::GradientCache;
using clr::Json;
using clr::Method;
using clr::StepContext;
using clr::StepOutput;
using torch::Tensor;

constexpr std::int64_t kWidth = 6;
const StepContext kContext{2, 1, 9, 3};

class TinyEncoder : public clr::Encoder {
 public:
  explicit TinyEncoder(std::int64_t pixels)
      : linear(register_module("linear", torch::nn::Linear(pixels, kWidth))) {}
  Tensor forward(const clr::View& view) override {
    return torch::tanh(linear->forward(view.input.flatten(1)));
  }
  std::int64_t feature_dim() const override { return kWidth; }
  std::int64_t layers() const override { return 0; }
  std::int64_t layer_of(const std::string&) const override { return 0; }

  torch::nn::Linear linear;
};

/// A method that does what methods may: two networks, of which one takes no gradient, embeddings
/// that the loss ignores, a loss with parameters of its own that joins all rows and depends on
/// labels, indices and the step.
class Whole : public Method {
 public:
  Whole(clr::ViewForward view_forward, double dropout)
      : view_forward_(view_forward), dropout_(dropout) {
    encoder_ = register_module("encoder", std::make_shared<TinyEncoder>(3 * 4 * 4));
    target_ = register_module("target", std::make_shared<TinyEncoder>(3 * 4 * 4));
    for (auto& parameter : target_->parameters()) parameter.set_requires_grad(false);
    prototypes = register_parameter("prototypes", torch::randn({5, kWidth}));
  }

  Embeddings embed(const Batch& batch) override {
    const auto through = [&](clr::Encoder& network) {
      return clr::forward_views(batch.views(0), view_forward_, [&](const clr::View& view) {
        return torch::dropout(network.forward(view), dropout_, is_training());
      });
    };
    const Tensor z = through(*encoder_);
    embedded.push_back(z.detach());
    return {{z, through(*target_), 2 * z}};
  }

  StepOutput loss(const Embeddings& embeddings, const Batch& batch,
                  const StepContext& context) override {
    CATCH_CHECK(context.step == kContext.step);
    CATCH_CHECK(batch.groups.empty());
    const Tensor z = embeddings.z.at(0);
    const Tensor weight = (batch.indices + 2 * batch.labels + 1).to(z.scalar_type());
    const Tensor all = z[0].mm(embeddings.z.at(1)[1].t()) + z[1].mm(z[0].t());
    const Tensor rows = (torch::logsumexp(all, 1) - all.diagonal()) * weight;
    StepOutput output;
    output.loss = rows.mean() + torch::logsumexp(z.flatten(0, 1).mm(prototypes.t()), 0).sum();
    output.metrics = {{"mean", z.detach().mean()}};
    if (dropout_ > 0) output.loss = output.loss + torch::rand({}, z.options());
    return output;
  }

  clr::Encoder& encoder() override { return *encoder_; }

  Tensor prototypes;
  std::vector<Tensor> embedded;  ///< by every call of embed()

 private:
  clr::ViewForward view_forward_;
  double dropout_;
  std::shared_ptr<TinyEncoder> encoder_;
  std::shared_ptr<TinyEncoder> target_;
};

std::shared_ptr<Whole> make_whole(torch::ScalarType type, double dropout = 0.0,
                                  clr::ViewForward view_forward = clr::ViewForward::joint) {
  torch::manual_seed(4);
  auto method = std::make_shared<Whole>(view_forward, dropout);
  method->to(type);
  method->train();
  return method;
}

std::shared_ptr<Method> make_listed(const std::string& name, torch::ScalarType type,
                                    clr::ViewForward view_forward = clr::ViewForward::joint) {
  torch::manual_seed(7);
  clr::MethodContext context;
  context.make_encoder = [] {
    clr::Component<clr::Encoder> encoder;
    encoder.read({{"type", "resnet18"}, {"stem", "cifar"}, {"width", 0.0625}}, clr::Place("test"));
    return clr::encoders().make(encoder);
  };
  context.projector.hidden = 24;
  context.projector.output = 8;
  context.dataset_size = 64;
  context.classes = 10;
  context.steps_per_epoch = 8;
  context.total_steps = 20;
  context.view_forward = view_forward;
  clr::Component<Method> component;
  component.read(clr::test::tiny_case(name).method, clr::Place("test"));
  auto method = clr::methods().make(component, clr::test::suited(context, name));
  method->to(type);
  method->before_step(kContext);
  // Some layers begin at zero, and nothing would pass through them.
  const torch::NoGradGuard no_grad;
  for (auto& parameter : method->parameters()) parameter.add_(0.02 * torch::randn_like(parameter));
  return method;
}

/// A group's views are one pixel larger than those of the one before it.
Batch random_batch(std::int64_t images, torch::ScalarType type, std::int64_t side = 4,
                   const std::vector<int>& view_groups = {2}) {
  torch::manual_seed(13);
  Batch batch;
  for (const int views : view_groups) {
    batch.groups.push_back(torch::rand({views, images, 3, side, side}, type));
    ++side;
  }
  batch.labels = torch::randint(0, 10, {images}, torch::kInt64);
  batch.indices = torch::randperm(images, torch::kInt64);
  batch.epoch = 1;
  batch.step = 2;
  return batch;
}

/// What the method's tiny case takes.
Batch random_batch_for(const std::string& name, std::int64_t images, torch::ScalarType type) {
  const clr::test::TinyCase tiny = clr::test::tiny_case(name);
  if (tiny.text_encoder.is_null()) return random_batch(images, type, 8, tiny.view_groups);
  Batch batch = random_batch(images, type);
  batch.groups.clear();
  for (const int views : tiny.view_groups) clr::test::add_texts(batch, views, images);
  return batch;
}

/// Rows of a batch, in parts of these sizes.
std::vector<Batch> cut(const Batch& whole, const std::vector<std::int64_t>& sizes) {
  CATCH_REQUIRE(std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0}) == whole.size());
  std::vector<Batch> parts;
  std::int64_t first = 0;
  for (const std::int64_t rows : sizes) {
    Batch part = whole;
    for (auto& group : part.groups) group = group.narrow(1, first, rows);
    for (auto& keys : part.keys) keys = keys.narrow(1, first, rows);
    part.labels = whole.labels.narrow(0, first, rows);
    part.indices = whole.indices.narrow(0, first, rows);
    first += rows;
    parts.push_back(part);
  }
  return parts;
}

std::map<std::string, Tensor> take_gradients(Method& method) {
  std::map<std::string, Tensor> gradients;
  for (auto& item : method.named_parameters()) {
    if (item.value().grad().defined()) gradients[item.key()] = item.value().grad().clone();
    item.value().mutable_grad() = Tensor();
  }
  return gradients;
}

struct Step {
  StepOutput output;
  Embeddings embeddings;
  Batch batch;
  std::map<std::string, Tensor> gradients;
};

Step cached(Method& method, const std::vector<Batch>& parts) {
  GradientCache cache(method, torch::kCPU, false);
  for (const Batch& part : parts) cache.embed(part);
  Step step;
  step.output = cache.loss(kContext);
  for (const Batch& part : parts) cache.backward(part);
  step.embeddings = cache.embeddings();
  step.batch = cache.batch();
  step.gradients = take_gradients(method);
  return step;
}

/// Micro-batches by the plainest means: all graphs are kept.
Step with_all_graphs(Method& method, const std::vector<Batch>& parts) {
  Step step;
  std::vector<std::vector<Tensor>> pieces;
  std::vector<Tensor> labels;
  std::vector<Tensor> indices;
  for (const Batch& part : parts) {
    const Embeddings embeddings = method.embed(part);
    pieces.resize(embeddings.z.size());
    for (std::size_t i = 0; i < pieces.size(); ++i) pieces[i].push_back(embeddings.z[i]);
    labels.push_back(part.labels);
    indices.push_back(part.indices);
  }
  for (const auto& z : pieces) step.embeddings.z.push_back(torch::cat(z, 1));
  step.batch.labels = torch::cat(labels);
  step.batch.indices = torch::cat(indices);
  step.output = method.loss(step.embeddings, step.batch, kContext);
  step.output.loss.backward();
  step.gradients = take_gradients(method);
  return step;
}

double away(const Tensor& got, const Tensor& expected) {
  CATCH_REQUIRE(got.sizes() == expected.sizes());
  const double norm = expected.norm().item<double>();
  return (got - expected).norm().item<double>() / (norm > 0 ? norm : 1.0);
}

void check_equal(const Step& got, const Step& expected, double bound) {
  CATCH_CHECK(got.output.loss.item<double>() ==
              Approx(expected.output.loss.item<double>()).epsilon(bound));
  CATCH_CHECK_FALSE(got.output.loss.requires_grad());
  CATCH_REQUIRE(got.output.metrics.size() == expected.output.metrics.size());
  for (std::size_t i = 0; i < got.output.metrics.size(); ++i) {
    CATCH_CHECK(got.output.metrics[i].second.item<double>() ==
                Approx(expected.output.metrics[i].second.item<double>()).margin(bound));
  }
  CATCH_CHECK(torch::equal(got.batch.labels, expected.batch.labels));
  CATCH_CHECK(torch::equal(got.batch.indices, expected.batch.indices));
  CATCH_REQUIRE(got.embeddings.z.size() == expected.embeddings.z.size());
  for (std::size_t i = 0; i < got.embeddings.z.size(); ++i) {
    CATCH_CHECK(away(got.embeddings.z[i], expected.embeddings.z[i].detach()) < bound);
    CATCH_CHECK_FALSE(got.embeddings.z[i].requires_grad());
  }
  CATCH_REQUIRE(got.gradients.size() == expected.gradients.size());
  std::vector<Tensor> all_got;
  std::vector<Tensor> all_expected;
  double whole = 0;
  for (const auto& item : expected.gradients) whole += item.second.square().sum().item<double>();
  whole = std::sqrt(whole);
  for (const auto& [name, gradient] : expected.gradients) {
    CATCH_INFO(name);
    const double norm = gradient.norm().item<double>();
    CATCH_CHECK(norm > 0);
    if (norm < 1e-5 * whole) {
      // A last bias, which a loss of centred embeddings takes away again: it has rounding's alone.
      CATCH_CHECK((got.gradients.at(name) - gradient).norm().item<double>() < bound * whole);
    } else {
      // A bias's gradient may be a sum that nearly cancels.
      CATCH_CHECK(away(got.gradients.at(name), gradient) < 10 * bound);
    }
    all_got.push_back(got.gradients.at(name).flatten());
    all_expected.push_back(gradient.flatten());
  }
  CATCH_CHECK(away(torch::cat(all_got), torch::cat(all_expected)) < bound);
}

const std::vector<std::vector<std::int64_t>> kCuts = {
    {12}, {6, 6}, {5, 5, 2}, {4, 4, 4}, {11, 1}, {0, 7, 0, 5, 0}, {3, 3, 2, 2, 2}};

std::string text(const std::vector<std::int64_t>& sizes) {
  std::string result;
  for (const std::int64_t size : sizes) result += std::to_string(size) + " ";
  return result;
}

/// How far a whole batch's float32 gradients are from those of the same weights in float64: where
/// they nearly cancel, no order of the sums can be held to less.
double rounding_of(const Step& step, const Method& method, const std::string& name,
                   const Batch& batch) {
  const auto exact = make_listed(name, torch::kFloat64);
  {
    const torch::NoGradGuard no_grad;
    const auto copy = [](const auto& from, const auto& to) {
      for (const auto& item : from) to[item.key()].copy_(item.value());
    };
    copy(method.named_parameters(), exact->named_parameters());
    copy(method.named_buffers(), exact->named_buffers());
  }
  exact->eval();
  Batch wide = batch;
  for (Tensor& group : wide.groups) {
    if (group.is_floating_point()) group = group.to(torch::kFloat64);
  }
  const Step expected = with_all_graphs(*exact, {wide});
  std::vector<Tensor> got;
  std::vector<Tensor> wanted;
  for (const auto& [key, gradient] : expected.gradients) {
    got.push_back(step.gradients.at(key).to(torch::kFloat64).flatten());
    wanted.push_back(gradient.flatten());
  }
  return away(torch::cat(got), torch::cat(wanted));
}

}  // namespace

CATCH_TEST_CASE("micro-batches have the gradients of the whole batch", "[train]") {
  for (const auto type : {torch::kFloat64, torch::kFloat32}) {
    const double bound = type == torch::kFloat64 ? 1e-10 : 1e-5;
    for (const auto view_forward : {clr::ViewForward::joint, clr::ViewForward::per_view}) {
      const auto method = make_whole(type, 0.0, view_forward);
      const Batch batch = random_batch(12, type);
      const Step expected = with_all_graphs(*method, {batch});
      CATCH_CHECK(expected.gradients.size() == 3);
      for (const auto& sizes : kCuts) {
        CATCH_INFO(torch::toString(type) << ", parts of " << text(sizes));
        const Step got = cached(*method, cut(batch, sizes));
        check_equal(got, expected, bound);
        CATCH_CHECK(got.batch.groups.empty());
        CATCH_CHECK(got.batch.epoch == 1);
        CATCH_CHECK(got.batch.step == 2);
      }
    }
  }
}

// In evaluation mode batch norm treats each image by itself, so that every method can be compared.
CATCH_TEST_CASE("every method's gradients are the same in micro-batches", "[train]") {
  for (const std::string& name : clr::methods().names()) {
    if (name == "atcl") continue;  // It refuses them.
    for (const auto type : {torch::kFloat64, torch::kFloat32}) {
      for (const auto view_forward : {clr::ViewForward::joint, clr::ViewForward::per_view}) {
        CATCH_INFO(name << " " << torch::toString(type));
        const auto method = make_listed(name, type, view_forward);
        method->eval();
        const Batch batch = random_batch_for(name, 12, type);
        const Step expected = with_all_graphs(*method, {batch});
        std::size_t trained = 0;
        for (const auto& parameter : method->parameters()) trained += parameter.requires_grad();
        CATCH_CHECK(expected.gradients.size() == trained);
        const double bound = type == torch::kFloat64
                                 ? 1e-10
                                 : std::max(1e-5, 2 * rounding_of(expected, *method, name, batch));
        for (const auto& sizes : kCuts) {
          CATCH_INFO("parts of " << text(sizes));
          check_equal(cached(*method, cut(batch, sizes)), expected, bound);
        }
      }
    }
  }
}

CATCH_TEST_CASE("gradients are added to those that are there", "[train]") {
  const auto method = make_whole(torch::kFloat64);
  const auto parts = cut(random_batch(12, torch::kFloat64), {6, 6});
  const Step once = cached(*method, parts);
  for (auto& item : method->named_parameters()) {
    if (once.gradients.contains(item.key()))
      item.value().mutable_grad() = torch::ones_like(item.value());
  }
  for (const auto& [name, gradient] : cached(*method, parts).gradients) {
    CATCH_CHECK(away(gradient, once.gradients.at(name) + 1) < 1e-12);
  }
}

CATCH_TEST_CASE("dropout drops the same in both passes", "[train]") {
  for (const auto view_forward : {clr::ViewForward::joint, clr::ViewForward::per_view}) {
    const auto method = make_whole(torch::kFloat64, 0.4, view_forward);
    const auto parts = cut(random_batch(12, torch::kFloat64), {5, 0, 5, 2});
    torch::manual_seed(21);
    const Step expected = with_all_graphs(*method, {parts[0], parts[2], parts[3]});
    const Tensor next_draws = torch::rand({4});
    method->embedded.clear();
    torch::manual_seed(21);
    check_equal(cached(*method, parts), expected, 1e-10);
    // The generator goes on as if there had been one pass.
    CATCH_CHECK(torch::equal(torch::rand({4}), next_draws));
    CATCH_REQUIRE(method->embedded.size() == 6);
    for (std::size_t i = 0; i < 3; ++i) {
      CATCH_CHECK(torch::equal(method->embedded[i], method->embedded[i + 3]));
      CATCH_CHECK((method->embedded[i] == 0).any().item<bool>());
    }
  }
}

CATCH_TEST_CASE("batch norm sees the same micro-batches twice and counts them once", "[train]") {
  for (const auto view_forward : {clr::ViewForward::joint, clr::ViewForward::per_view}) {
    const std::int64_t forwards = view_forward == clr::ViewForward::joint ? 1 : 2;
    const auto make = [&] { return make_listed("simclr", torch::kFloat64, view_forward); };
    const Batch batch = random_batch(12, torch::kFloat64, 8);
    for (const std::vector<std::int64_t>& sizes :
         {std::vector<std::int64_t>{12}, {6, 6}, {5, 0, 4, 3}}) {
      CATCH_INFO("parts of " << text(sizes));
      std::vector<Batch> parts = cut(batch, sizes);
      const auto reference = make();
      std::vector<Batch> with_images;
      for (const Batch& part : parts) {
        if (part.size() > 0) with_images.push_back(part);
      }
      const Step expected = with_all_graphs(*reference, with_images);

      const auto method = make();
      GradientCache cache(*method, torch::kCPU, false);
      for (const Batch& part : parts) cache.embed(part);
      Step got;
      got.output = cache.loss(kContext);
      std::map<std::string, Tensor> counted;
      for (const auto& item : method->named_buffers()) counted[item.key()] = item.value().clone();
      for (const Batch& part : parts) cache.backward(part);
      got.embeddings = cache.embeddings();
      got.batch = cache.batch();
      got.gradients = take_gradients(*method);
      check_equal(got, expected, 1e-10);

      // What each part alone leaves, weighed by its images.
      std::map<std::string, Tensor> mean;
      for (const Batch& part : with_images) {
        const auto alone = make();
        alone->embed(part);
        for (const auto& item : alone->named_buffers()) {
          Tensor& sum = mean[item.key()];
          const Tensor share = item.value().to(torch::kFloat64) * part.size() / 12;
          sum = sum.defined() ? sum + share : share;
        }
      }
      for (const auto& item : method->named_buffers()) {
        CATCH_INFO(item.key());
        CATCH_CHECK(torch::equal(item.value(), counted.at(item.key())));
        if (item.key().ends_with("num_batches_tracked")) {
          CATCH_CHECK(item.value().item<std::int64_t>() == forwards);
        } else {
          CATCH_CHECK(away(item.value(), mean.at(item.key())) < 1e-12);
        }
      }

      // The first layer's mean is that of the whole batch.
      const auto whole = make();
      whole->embed(batch);
      CATCH_CHECK(away(method->named_buffers()["encoder.bn1.running_mean"],
                       whole->named_buffers()["encoder.bn1.running_mean"]) < 1e-12);

      // The next pass counts again.
      method->embed(batch);
      CATCH_CHECK(method->named_buffers()["encoder.bn1.num_batches_tracked"].item<std::int64_t>() ==
                  2 * forwards);
    }
  }
}

CATCH_TEST_CASE("one micro-batch is the whole batch to the bit", "[train]") {
  const Batch batch = random_batch(12, torch::kFloat32, 8);
  const auto reference = make_listed("simclr", torch::kFloat32);
  const Step expected = with_all_graphs(*reference, {batch});
  const auto method = make_listed("simclr", torch::kFloat32);
  const Step got = cached(*method, {batch});
  CATCH_CHECK(torch::equal(got.output.loss, expected.output.loss));
  for (const auto& [name, gradient] : expected.gradients) {
    CATCH_CHECK(torch::equal(got.gradients.at(name), gradient));
  }
  const auto buffers = reference->named_buffers();
  for (const auto& item : method->named_buffers()) {
    CATCH_CHECK(torch::equal(item.value(), buffers[item.key()]));
  }
}

CATCH_TEST_CASE("statistics that no micro-batch changes stay as they are", "[train]") {
  const auto method = make_listed("simclr", torch::kFloat32);
  method->embed(random_batch(12, torch::kFloat32, 8));
  std::map<std::string, Tensor> before;
  for (const auto& item : method->named_buffers()) before[item.key()] = item.value().clone();
  method->eval();
  cached(*method, cut(random_batch(12, torch::kFloat32, 8), {5, 4, 3}));
  for (const auto& item : method->named_buffers()) {
    CATCH_CHECK(torch::equal(item.value(), before.at(item.key())));
  }
}

CATCH_TEST_CASE("activation memory does not grow with the batch", "[train]") {
  const auto method = make_listed("simclr", torch::kFloat32);
  method->train();
  const auto peak = [&](std::int64_t images, std::int64_t micro_batch) {
    const auto parts = cut(random_batch(images, torch::kFloat32, 16),
                           std::vector<std::int64_t>(images / micro_batch, micro_batch));
    return clr::peak_of([&] { cached(*method, parts); });
  };
  const double small = peak(16, 8);
  const double large = peak(96, 8);
  // A generator's state for each micro-batch, and a few copies of the embeddings [2, 80, 8].
  const double state = at::globalContext().defaultGenerator(torch::kCPU).get_state().nbytes();
  CATCH_CHECK(large - small < 10 * state + 8.0 * 2 * 80 * 8 * 4 + 96 * 96 * 2 * 2 * 4 * 4);
  CATCH_CHECK(peak(96, 96) > 5 * large);
}

CATCH_TEST_CASE("a gradient cache wants the same micro-batches twice", "[train]") {
  const auto method = make_whole(torch::kFloat32);
  const auto parts = cut(random_batch(12, torch::kFloat32), {8, 4});
  CATCH_CHECK_THROWS_AS(GradientCache(*method, torch::kCPU, false).loss(kContext), c10::Error);
  GradientCache cache(*method, torch::kCPU, false);
  for (const Batch& part : parts) cache.embed(part);
  cache.loss(kContext);
  CATCH_CHECK_THROWS_WITH(cache.backward(parts[1]), Catch::Contains("8 rows again, got 4"));
}
