// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/embedding_health.h"

#include <ATen/Functions.h>

#include <cmath>

#include "clr/config/json.h"
#include "clr/io/file.h"
#include "clr/io/npy.h"
#include "support/catch.h"

namespace clr {
namespace {

std::string golden_path(const std::string& name) {
  return std::string(CLR_TEST_DATA_DIR) + "/losses/" + name;
}

}  // namespace

CATCH_TEST_CASE("embedding health agrees with lightly and RankMe's equation", "[eval]") {
  const Json expected =
      parse_json(read_file(golden_path("expected.json"), ErrorKind::data), "expected.json")
          .at("health");
  const EmbeddingHealth health = embedding_health(read_npy(golden_path("z.npy")));
  CATCH_CHECK(health.alignment == Approx(expected["alignment"].get<double>()).epsilon(1e-6));
  CATCH_CHECK(health.uniformity == Approx(expected["uniformity"].get<double>()).epsilon(1e-6));
  CATCH_CHECK(health.deviation == Approx(expected["deviation"].get<double>()).epsilon(1e-6));
  CATCH_CHECK(health.effective_rank ==
              Approx(expected["effective_rank"].get<double>()).epsilon(1e-6));
}

CATCH_TEST_CASE("embedding health and similarities are NumPy's", "[eval]") {
  const std::string folder = std::string(CLR_TEST_DATA_DIR) + "/health/";
  const Json expected =
      parse_json(read_file(folder + "expected.json", ErrorKind::data), "expected.json");
  const torch::Tensor views = read_npy(folder + "views.npy");
  const EmbeddingHealth health = embedding_health(views);
  const auto same = [&expected](const char* name, double value) {
    CATCH_INFO(name);
    CATCH_CHECK(value == Approx(expected[name].get<double>()).epsilon(1e-6));
  };
  same("alignment", health.alignment);
  same("uniformity", health.uniformity);
  same("deviation", health.deviation);
  same("rank", health.effective_rank);
  same("alpha", health.alpha);
  const ViewSimilarity similarity = view_similarity(views, read_npy(folder + "labels.npy"));
  same("positive_mean", similarity.positive_mean);
  same("negative_mean", similarity.negative_mean);
  same("nearer_negatives", similarity.nearer_negatives);
  same("nearer_same_class", similarity.nearer_same_class);
  for (const auto& [name, bins] : {std::pair{"positives", &similarity.positives},
                                   std::pair{"negatives", &similarity.negatives}}) {
    const auto shares = expected[name].get<std::vector<double>>();
    CATCH_REQUIRE(bins->size() == shares.size());
    for (std::size_t i = 0; i < shares.size(); ++i)
      CATCH_CHECK((*bins)[i] == Approx(shares[i]).margin(1e-12));
  }
  CATCH_CHECK(view_similarity(views, {}).nearer_same_class == 0.0);
  // What falls as j^-1.5 has alpha 1.5.
  const torch::Tensor basis = std::get<0>(at::linalg_qr(at::randn({200, 60}, torch::kFloat64)));
  const torch::Tensor centred = basis - basis.mean(0);
  const torch::Tensor orthogonal = std::get<0>(at::linalg_qr(centred));
  const torch::Tensor falling = orthogonal * at::arange(1, 61, torch::kFloat64).pow(-0.75);
  CATCH_CHECK(embedding_health(at::stack({falling, falling})).alpha == Approx(1.5).epsilon(1e-6));
}

CATCH_TEST_CASE("embedding health of collapsed and of orthogonal rows", "[eval]") {
  // All rows one: nothing between them, one direction.
  const torch::Tensor one = at::ones({2, 40, 8});
  const EmbeddingHealth collapsed = embedding_health(one);
  CATCH_CHECK(collapsed.alignment == Approx(0.0).margin(1e-12));
  CATCH_CHECK(collapsed.uniformity == Approx(0.0).margin(1e-12));
  CATCH_CHECK(collapsed.deviation == Approx(0.0).margin(1e-12));
  CATCH_CHECK(collapsed.effective_rank == Approx(1.0).epsilon(1e-4));

  // The axes and their opposites, views equal but for their lengths: of 2D - 1 others one is at
  // squared distance 4, the rest at 2.
  const std::int64_t d = 6;
  const torch::Tensor axes = at::cat({at::eye(d), -at::eye(d)});
  const EmbeddingHealth even = embedding_health(at::stack({axes, 3 * axes}));
  CATCH_CHECK(even.alignment == Approx(0.0).margin(1e-12));
  CATCH_CHECK(even.uniformity ==
              Approx(std::log((10 * std::exp(-4.0) + std::exp(-8.0)) / 11)).epsilon(1e-12));
  CATCH_CHECK(even.deviation == Approx(std::sqrt(2.0 / 11)).epsilon(1e-12));
  CATCH_CHECK(even.effective_rank == Approx(6.0).epsilon(1e-4));

  // Views at a right angle are at squared distance 2.
  CATCH_CHECK(embedding_health(at::stack({axes, axes.roll(1, 1)})).alignment == Approx(2.0));
}

CATCH_TEST_CASE("embedding health does not depend on the blocks it is computed in", "[eval]") {
  // More rows than two blocks, more rows than columns and fewer.
  torch::manual_seed(4);
  const torch::Tensor rows = at::randn({2, 1200, 5}, torch::kFloat64);
  const EmbeddingHealth health = embedding_health(rows);
  const torch::Tensor unit = rows / rows.norm(2, {2}, true);
  double mean = 0;
  for (std::int64_t v = 0; v < 2; ++v) {
    mean += at::pdist(unit[v]).square().mul(-2).exp().mean().log().item<double>() / 2;
  }
  CATCH_CHECK(health.uniformity == Approx(mean).epsilon(1e-12));
  const torch::Tensor wide = at::randn({2, 5, 1200}, torch::kFloat64);
  const torch::Tensor values = at::linalg_svdvals(wide[0]);
  const torch::Tensor shares = values / values.sum() + 1e-7;
  CATCH_CHECK(embedding_health(wide).effective_rank ==
              Approx(std::exp(-(shares * shares.log()).sum().item<double>())).epsilon(1e-9));
}

CATCH_TEST_CASE("embedding health of one row is refused", "[eval]") {
  CATCH_CHECK_THROWS_AS(embedding_health(at::ones({2, 1, 4})), c10::Error);
  CATCH_CHECK_THROWS_AS(embedding_health(at::ones({3, 4, 4})), c10::Error);
}

}  // namespace clr
