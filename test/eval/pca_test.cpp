// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/pca.h"

#include <ATen/Functions.h>

#include "support/catch.h"

namespace clr {

CATCH_TEST_CASE("a planar map is that of the singular values", "[eval]") {
  torch::manual_seed(2);
  const torch::Tensor rows =
      at::randn({50, 6}, torch::kFloat64) * at::arange(1, 7, torch::kFloat64) + 3.0;
  const PlanarMap map = planar_pca(rows);
  const torch::Tensor centred = rows - rows.mean(0);
  const auto [u, s, v] = at::linalg_svd(centred, false);
  for (std::int64_t i = 0; i < 2; ++i) {
    const torch::Tensor own = map.points.select(1, i).abs();
    CATCH_CHECK(at::allclose(own, (u.select(1, i) * s[i]).abs(), 1e-9, 1e-9));
    CATCH_CHECK(map.shares[static_cast<std::size_t>(i)] ==
                Approx((s[i].square() / s.square().sum()).item<double>()));
  }
  CATCH_CHECK(at::allclose(planar_pca(rows.to(torch::kFloat32)).points, map.points, 1e-4, 1e-4));
  // The sign does not depend on the solver: mirrored rows give the mirrored map.
  CATCH_CHECK(at::allclose(planar_pca(-rows).points, -map.points, 1e-9, 1e-9));
}

CATCH_TEST_CASE("a planar map of fewer rows than columns is that of the singular values",
                "[eval]") {
  torch::manual_seed(3);
  const torch::Tensor rows = at::randn({12, 40}, torch::kFloat64) - 1.0;
  const PlanarMap map = planar_pca(rows);
  const auto [u, s, v] = at::linalg_svd(rows - rows.mean(0), false);
  for (std::int64_t i = 0; i < 2; ++i) {
    const torch::Tensor own = map.points.select(1, i).abs();
    CATCH_CHECK(at::allclose(own, (u.select(1, i) * s[i]).abs(), 1e-9, 1e-9));
    CATCH_CHECK(map.shares[static_cast<std::size_t>(i)] ==
                Approx((s[i].square() / s.square().sum()).item<double>()));
  }
}

CATCH_TEST_CASE("a planar map of little", "[eval]") {
  CATCH_CHECK(planar_pca(at::ones({4, 3})).points.abs().max().item<double>() < 1e-12);
  CATCH_CHECK(planar_pca(at::ones({1, 3})).shares[0] == 0.0);
  CATCH_CHECK(planar_pca(at::arange(4).view({4, 1}).to(torch::kFloat32)).shares[0] == Approx(1.0));
}

}  // namespace clr
