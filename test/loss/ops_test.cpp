// SPDX-License-Identifier: Apache-2.0
// The losses through LibTorch's dispatcher, as a program calls them that has only their names.
// Mistakes that must show here: an op that is missing or changes its arguments' meaning, a kernel
// missing for a device or for autograd, a shape promised to a tracer that is not the result's, an
// output that is an input, products rounded by autocast, a back end that is not the one asked for.
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <string>
#include <vector>

#include "clr/core/error.h"
#include "clr/loss/info_nce.h"
#include "clr/loss/nt_xent.h"
#include "clr/loss/supcon.h"
#include "reference/nt_xent_reference.h"
#include "support/catch.h"

namespace {

using clr::LossBackend;
using torch::Tensor;
using torch::jit::Stack;

constexpr double kTemperature = 0.2;

c10::OperatorHandle find(const std::string& name, const std::string& overload = "") {
  const auto op =
      c10::Dispatcher::singleton().findSchema(c10::OperatorName("clr::" + name, overload));
  CATCH_INFO("clr::" << name << " " << overload);
  CATCH_REQUIRE(op.has_value());
  return *op;
}

/// What the op returns for these arguments and its defaults for the others.
Stack call(const c10::OperatorHandle& op, Stack stack) {
  const auto& arguments = op.schema().arguments();
  for (std::size_t i = stack.size(); i < arguments.size(); ++i) {
    CATCH_INFO(op.schema().name() << ": argument " << arguments[i].name());
    CATCH_REQUIRE(arguments[i].default_value().has_value());
    stack.push_back(*arguments[i].default_value());
  }
  op.callBoxed(&stack);
  return stack;
}

Tensor loss(const std::string& name, Stack stack, const std::string& overload = "") {
  return call(find(name, overload), std::move(stack)).at(0).toTensor();
}

Tensor rows_of(std::int64_t rows, std::int64_t d, std::uint64_t seed) {
  torch::manual_seed(seed);
  return torch::randn({rows, d}, torch::kFloat64) + 0.2;
}

Tensor gradient(const Tensor& value, const Tensor& x) {
  return torch::autograd::grad({value}, {x}).at(0);
}

double distance(const Tensor& a, const Tensor& b) {
  return ((a.to(torch::kFloat64) - b).norm() / b.norm()).item<double>();
}

}  // namespace

CATCH_TEST_CASE("nt_xent by the dispatcher is the reference's", "[loss]") {
  for (const std::int64_t n : {2, 33, 150}) {
    CATCH_INFO("N " << n);
    const Tensor rows = rows_of(2 * n, 12, 1);
    const auto expected = clr::test::nt_xent_reference(
        {rows.data_ptr<double>(), rows.data_ptr<double>() + rows.numel()},
        static_cast<std::size_t>(n), 12, kTemperature);
    const Tensor exact = torch::tensor(expected.gradient, torch::kFloat64).view(rows.sizes());
    for (const auto type : {torch::kFloat64, torch::kFloat32}) {
      const bool whole = type == torch::kFloat64;
      for (const std::string backend : {"auto", "fused", "streaming"}) {
        CATCH_INFO("backend " << backend << (whole ? ", float64" : ", float32"));
        const Tensor x = rows.to(type, /*non_blocking=*/false, /*copy=*/true).requires_grad_();
        const Tensor value =
            loss("nt_xent", {x.narrow(0, 0, n), x.narrow(0, n, n), kTemperature, torch::IValue(),
                             torch::IValue(), torch::IValue(), backend});
        CATCH_CHECK((value.scalar_type() == type));
        CATCH_CHECK(value.item<double>() == Approx(expected.loss).epsilon(whole ? 1e-12 : 1e-6));
        CATCH_CHECK(distance(gradient(value, x), exact) < (whole ? 1e-12 : 2e-6));
      }
    }
  }
}

CATCH_TEST_CASE("every op gives what its function gives", "[loss]") {
  const std::int64_t n = 20;
  const Tensor x = rows_of(2 * n, 6, 2).requires_grad_();
  const Tensor z0 = x.narrow(0, 0, n);
  const Tensor z1 = x.narrow(0, n, n);
  const Tensor queue = rows_of(9, 6, 3);
  const Tensor temperature = torch::full({}, kTemperature, torch::kFloat64);
  const Tensor labels = torch::arange(2 * n, torch::kInt64).remainder(7);
  clr::TwoViewOptions options;
  options.weights = torch::linspace(-1, 2, 2 * n, torch::kFloat64);
  options.ids = torch::arange(2 * n, torch::kInt64).remainder(11);
  options.cosine_limit = 0.6;
  options.backend = LossBackend::streaming;
  const auto with_options = [&](Stack own) {
    own.insert(own.end(), {options.weights, options.ids, 0.6, "streaming"});
    return own;
  };
  const auto same = [&](const Tensor& got, const Tensor& expected) {
    CATCH_CHECK(torch::equal(got, expected));
    CATCH_CHECK(torch::equal(gradient(got, x), gradient(expected, x)));
  };
  const double t = kTemperature;
  same(loss("nt_xent", with_options({z0, z1, t})), clr::nt_xent(z0, z1, t, options));
  same(loss("nt_xent", with_options({z0, z1, temperature}), "tensor_temperature"),
       clr::nt_xent(z0, z1, temperature, options));
  same(loss("nt_xent", with_options({x, "interleaved", t}), "one_tensor"),
       clr::nt_xent(x, clr::Pairing::interleaved, t, options));
  same(loss("dcl", with_options({z0, z1, t})), clr::dcl(z0, z1, t, options));
  same(loss("dclw", with_options({z0, z1, t, 0.3})), clr::dclw(z0, z1, t, 0.3, options));
  same(loss("dclw", {z0, z1, t}), clr::dclw(z0, z1, t));
  same(loss("debiased", with_options({z0, z1, t, 0.1})), clr::debiased(z0, z1, t, 0.1, options));
  same(loss("hard_negative", with_options({z0, z1, t, 0.1, 0.5})),
       clr::hard_negative(z0, z1, t, 0.1, 0.5, options));
  same(loss("info_nce", {z0, z1, queue, t}), clr::info_nce(z0, z1, queue, t));
  same(loss("info_nce_both_ways", {z0, z1, t}), clr::info_nce_both_ways(z0, z1, t));
  same(loss("info_nce_both_ways", {z0, z1, temperature}, "tensor_temperature"),
       clr::info_nce_both_ways(z0, z1, temperature));
  same(loss("supcon_out", {x, labels, t}), clr::supcon_out(x, labels, t));
  same(loss("supcon_in", {x, labels, t}), clr::supcon_in(x, labels, t));
  CATCH_CHECK_THROWS_WITH(loss("supcon_in", {x, labels, t, "fast"}),
                          Catch::Contains("backend: expected one of auto, fused, streaming"));
  CATCH_CHECK_THROWS_WITH(loss("nt_xent", {x, "same_index", t}, "one_tensor"),
                          Catch::Contains("halves or interleaved"));
}

CATCH_TEST_CASE("a tracer is told the shapes that come", "[loss]") {
  const Tensor x = rows_of(14, 5, 4).to(torch::kFloat32);
  const auto check = [](const c10::OperatorHandle& op, const Stack& arguments) {
    Stack without_data;
    for (const torch::IValue& value : arguments) {
      without_data.push_back(value.isTensor() ? torch::IValue(value.toTensor().to(torch::kMeta))
                                              : value);
    }
    const Stack real = call(op, arguments);
    const Stack promised = call(op, without_data);
    CATCH_REQUIRE(real.size() == promised.size());
    for (std::size_t i = 0; i < real.size(); ++i) {
      CATCH_INFO(op.schema().name() << ": result " << i);
      CATCH_CHECK(promised[i].toTensor().is_meta());
      CATCH_CHECK((real[i].toTensor().sizes() == promised[i].toTensor().sizes()));
      CATCH_CHECK((real[i].toTensor().strides() == promised[i].toTensor().strides()));
      CATCH_CHECK((real[i].toTensor().scalar_type() == promised[i].toTensor().scalar_type()));
      for (const torch::IValue& argument : arguments) {
        CATCH_CHECK_FALSE((argument.isTensor() && argument.toTensor().numel() > 0 &&
                           argument.toTensor().is_alias_of(real[i].toTensor())));
      }
    }
    return real;
  };
  const auto none = torch::IValue();
  // Without a graph, and in a layout that has to be made contiguous.
  const Tensor wide = x.to(torch::kBFloat16).t().contiguous().t();
  check(find("unit_rows"), {wide});
  const Stack unit = check(find("unit_rows"), {x, x});
  for (const bool second : {false, true}) {
    check(find("unit_rows_backward"), {torch::ones_like(unit[0].toTensor()), unit[0], unit[1], 14,
                                       static_cast<std::int64_t>(torch::kBFloat16), true, second});
  }
  const Tensor z = unit[0].toTensor().narrow(0, 0, 14).contiguous();
  const Tensor inverse = torch::full({}, 5.0, torch::kFloat64);
  const Tensor columns = torch::cat({z, z});
  const auto problem = [&](const Tensor& other, const std::string& pairing, bool column_sums) {
    return Stack{z,           inverse, other.defined() ? torch::IValue(other) : none,
                 none,        none,    pairing,
                 false,       0,       column_sums,
                 "leave_out", none,    "auto",
                 false};
  };
  for (Stack described : {problem({}, "none", false), problem({}, "halves", false),
                          problem(columns, "none", true), problem(columns, "same_index", true)}) {
    Stack forward = described;
    forward.emplace_back(std::int64_t{1000});  // keep
    const Stack sums = check(find("log_sums"), forward);
    for (const bool wanted : {false, true}) {
      Stack backward = described;
      for (const std::size_t i : {0, 1, 3, 0, 1, 2}) backward.push_back(sums[i]);
      backward.emplace_back(wanted);
      backward.emplace_back(wanted);
      check(find("log_sums_backward"), backward);
    }
  }
}

CATCH_TEST_CASE("autocast does not reach into the sums", "[loss]") {
  const Tensor x = rows_of(40, 16, 5).to(torch::kFloat32);
  const double expected = clr::nt_xent(x, clr::Pairing::halves, 0.1).item<double>();
  at::autocast::set_autocast_enabled(torch::kCPU, true);
  const double fused = clr::nt_xent(x, clr::Pairing::halves, 0.1).item<double>();
  clr::TwoViewOptions options;
  options.backend = LossBackend::streaming;
  const double streamed = clr::nt_xent(x, clr::Pairing::halves, 0.1, options).item<double>();
  at::autocast::set_autocast_enabled(torch::kCPU, false);
  CATCH_CHECK(fused == expected);
  CATCH_CHECK(streamed == Approx(expected).epsilon(1e-6));
}

CATCH_TEST_CASE("tiles that another number of threads made", "[loss]") {
  // 600 rows are other tiles for one thread than for four.
  const Tensor rows = rows_of(600, 16, 6).to(torch::kFloat32);
  const int threads = at::get_num_threads();
  const auto both = [&](int forward, int backward) {
    const Tensor x = rows.clone().requires_grad_();
    at::set_num_threads(forward);
    const Tensor value = clr::nt_xent(x, clr::Pairing::halves, 0.1);
    at::set_num_threads(backward);
    const Tensor result = gradient(value, x);
    at::set_num_threads(threads);
    return result.to(torch::kFloat64);
  };
  const Tensor expected = both(1, 1);
  CATCH_CHECK(distance(both(1, 4), expected) < 1e-6);
  CATCH_CHECK(distance(both(4, 1), expected) < 1e-6);
}
