// SPDX-License-Identifier: Apache-2.0
// libclr_ops.so in a program that has LibTorch and nothing of clr's. Mistakes that must show here:
// a symbol that only clr's own programs have, an op that is not in the library, threads that do not
// work in it.
#include <ATen/core/dispatch/Dispatcher.h>
#include <dlfcn.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <random>
#include <vector>

#include "reference/nt_xent_reference.h"
#include "support/catch.h"

namespace {

using torch::Tensor;

std::optional<c10::OperatorHandle> find(const char* name) {
  return c10::Dispatcher::singleton().findSchema({name, ""});
}

}  // namespace

CATCH_TEST_CASE("libclr_ops.so brings the losses", "[ops]") {
  CATCH_REQUIRE_FALSE(find("clr::nt_xent").has_value());
  const void* const library = dlopen(CLR_OPS, RTLD_NOW | RTLD_LOCAL);
  CATCH_INFO((library == nullptr ? dlerror() : CLR_OPS));
  CATCH_REQUIRE(library != nullptr);
  for (const char* name :
       {"clr::unit_rows", "clr::unit_rows_backward", "clr::log_sums", "clr::log_sums_backward",
        "clr::nt_xent", "clr::dcl", "clr::dclw", "clr::debiased", "clr::hard_negative",
        "clr::info_nce", "clr::info_nce_both_ways", "clr::supcon_out", "clr::supcon_in"}) {
    CATCH_INFO(name);
    CATCH_CHECK(find(name).has_value());
  }

  // More rows than one thread's tile.
  constexpr std::size_t kN = 300;
  constexpr std::size_t kD = 12;
  std::mt19937 engine(1);
  std::normal_distribution<double> normal(0.2, 1.0);
  std::vector<double> values(2 * kN * kD);
  for (double& value : values) value = normal(engine);
  const auto expected = clr::test::nt_xent_reference(values, kN, kD, 0.2);
  const Tensor exact = torch::tensor(expected.gradient, torch::kFloat64);
  for (const auto type : {torch::kFloat64, torch::kFloat32}) {
    const bool whole = type == torch::kFloat64;
    const Tensor x = torch::tensor(values, torch::kFloat64).to(type).view({2 * kN, kD});
    const Tensor z0 = x.narrow(0, 0, kN).requires_grad_();
    const Tensor z1 = x.narrow(0, kN, kN).requires_grad_();
    torch::jit::Stack stack = {z0, z1, 0.2, {}, {}, {}, "auto"};
    find("clr::nt_xent")->callBoxed(&stack);
    const Tensor loss = stack.at(0).toTensor();
    CATCH_CHECK(loss.item<double>() == Approx(expected.loss).epsilon(whole ? 1e-12 : 1e-6));
    const auto gradients = torch::autograd::grad({loss}, {z0, z1});
    const Tensor got = torch::cat(gradients).to(torch::kFloat64).flatten();
    CATCH_CHECK(((got - exact).norm() / exact.norm()).item<double>() < (whole ? 1e-12 : 2e-6));
  }
}
