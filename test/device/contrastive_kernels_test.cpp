// SPDX-License-Identifier: Apache-2.0
// The fused losses on a GPU against the streaming form in float64 on the CPU. scripts/gpu_check.sh
// has many more sizes; what can be told without a GPU is in test/loss/contrastive_kernels_test.cpp.
#include <torch/types.h>

#include <algorithm>
#include <functional>

#include "clr/loss/info_nce.h"
#include "clr/loss/nt_xent.h"
#include "support/catch.h"

namespace {

using torch::Tensor;

using Loss = std::function<Tensor(const Tensor&, clr::LossBackend)>;

Tensor gradient(const Loss& loss, const Tensor& x, clr::LossBackend backend) {
  const Tensor leaf = x.detach().clone().requires_grad_();
  loss(leaf, backend).backward();
  return leaf.grad().to(torch::kCPU, torch::kFloat64);
}

double distance(const Tensor& a, const Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

void compare(const Loss& loss, const Tensor& rows, double temperature) {
  // Errors of logits grow with the inverse of the temperature.
  const double more = std::max(1.0, 0.07 / temperature);
  const Tensor exact = gradient(loss, rows.to(torch::kFloat64), clr::LossBackend::streaming);
  const auto fused = clr::LossBackend::fused;
  const Tensor single = rows.to(torch::kFloat32).to(torch::kCUDA);
  CATCH_CHECK(distance(gradient(loss, single, fused), exact) <= 1e-5 * more);
  CATCH_CHECK(distance(gradient(loss, single.to(torch::kFloat16), fused), exact) <= 3e-3 * more);
  const Tensor first = gradient(loss, single, fused);
  for (int run = 0; run < 20; ++run) {
    CATCH_REQUIRE(torch::equal(gradient(loss, single, fused), first));
  }
}

}  // namespace

CATCH_TEST_CASE("Fused losses on a GPU", "[device]") {
  for (const std::int64_t n : {2, 65, 1000}) {
    for (const std::int64_t d : {20, 128, 200, 300}) {
      for (const double temperature : {0.1, 0.01}) {
        CATCH_INFO("N " << n << ", D " << d << ", temperature " << temperature);
        torch::manual_seed(static_cast<std::uint64_t>(n + d));
        const Tensor rows = torch::randn({2 * n, d}, torch::kFloat64);
        compare(
            [=](const Tensor& x, clr::LossBackend backend) {
              clr::TwoViewOptions options;
              options.backend = backend;
              return clr::nt_xent(x.narrow(0, 0, n), x.narrow(0, n, n), temperature, options);
            },
            rows, temperature);
        compare(
            [=](const Tensor& x, clr::LossBackend backend) {
              return clr::info_nce_both_ways(x.narrow(0, 0, n), x.narrow(0, n, n), temperature,
                                             backend);
            },
            rows, temperature);
      }
    }
  }
}
