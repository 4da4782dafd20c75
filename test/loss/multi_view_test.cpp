// SPDX-License-Identifier: Apache-2.0
// NT-Xent over any number of views, against its definition written out.
#include "clr/loss/multi_view.h"

#include <torch/types.h>
#include <torch/utils.h>

#include "clr/loss/nt_xent.h"
#include "support/catch.h"

namespace {

using torch::Tensor;

Tensor views(std::int64_t count, std::int64_t images, std::int64_t width) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(5);
  const Tensor shared = torch::randn({1, images, width}, generator, torch::kFloat64);
  return shared + 0.5 * torch::randn({count, images, width}, generator, torch::kFloat64);
}

/// Every pair by itself, on the whole matrix.
Tensor written_out(const Tensor& z, double temperature) {
  const std::int64_t v = z.size(0);
  const std::int64_t n = z.size(1);
  const Tensor unit = z / z.norm(2, 2, true);
  const Tensor rows = unit.transpose(0, 1).flatten(0, 1);
  const Tensor similar = (at::matmul(rows, rows.t()) / temperature).exp();
  Tensor total = torch::zeros({}, z.options());
  for (std::int64_t image = 0; image < n; ++image) {
    for (std::int64_t a = 0; a < v; ++a) {
      const Tensor row = similar[image * v + a];
      const Tensor others = row.sum() - row.narrow(0, image * v, v).sum();
      for (std::int64_t b = 0; b < v; ++b) {
        if (a == b) continue;
        const Tensor pair = row[image * v + b];
        total = total - (pair / (pair + others)).log();
      }
    }
  }
  return total / static_cast<double>(n * v * (v - 1));
}

}  // namespace

CATCH_TEST_CASE("NT-Xent of many views is its definition", "[loss]") {
  // Mistakes: the anchor's other views among its negatives; the row itself; a pair counted twice.
  for (const std::int64_t count : {2, 3, 5}) {
    CATCH_INFO(count << " views");
    const Tensor z = views(count, 7, 9).requires_grad_();
    const Tensor same = z.detach().clone().requires_grad_();
    const Tensor loss = clr::multi_view_nt_xent(z, 0.3);
    const Tensor expected = written_out(same, 0.3);
    loss.backward();
    expected.backward();
    CATCH_CHECK(loss.item<double>() == Approx(expected.item<double>()).epsilon(1e-12));
    CATCH_CHECK(at::allclose(z.grad(), same.grad(), 1e-10, 1e-13));
    if (count > 2) continue;
    const Tensor pair = z.detach().clone().requires_grad_();
    const Tensor two = clr::nt_xent(pair[0], pair[1], 0.3);
    two.backward();
    CATCH_CHECK(two.item<double>() == Approx(loss.item<double>()).epsilon(1e-12));
    CATCH_CHECK(at::allclose(pair.grad(), z.grad(), 1e-10, 1e-13));
  }
}

CATCH_TEST_CASE("NT-Xent of many views in float32, by either back end", "[loss]") {
  const Tensor z = views(4, 33, 16);
  const double expected = written_out(z, 0.2).item<double>();
  for (const auto backend : {clr::LossBackend::fused, clr::LossBackend::streaming}) {
    const Tensor loss = clr::multi_view_nt_xent(z.to(torch::kFloat32), 0.2, backend);
    CATCH_CHECK(loss.scalar_type() == torch::kFloat32);
    CATCH_CHECK(loss.item<double>() == Approx(expected).epsilon(2e-6));
  }
}

CATCH_TEST_CASE("NT-Xent of many views wants images to tell apart", "[loss]") {
  CATCH_CHECK_THROWS_AS(clr::multi_view_nt_xent(views(3, 1, 4), 0.5), c10::Error);
  CATCH_CHECK_THROWS_AS(clr::multi_view_nt_xent(views(1, 3, 4), 0.5), c10::Error);
}
