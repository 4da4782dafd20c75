// SPDX-License-Identifier: Apache-2.0
// scikit-learn's results on the same features; see test/golden/evaluation/README.md.
#include <ATen/Functions.h>

#include <string>
#include <vector>

#include "clr/config/json.h"
#include "clr/eval/clustering.h"
#include "clr/eval/knn.h"
#include "clr/eval/retrieval.h"
#include "clr/eval/unit_features.h"
#include "clr/io/file.h"
#include "clr/io/npy.h"
#include "support/catch.h"

namespace clr {
namespace {

std::string golden_path(const std::string& name) {
  return std::string(CLR_TEST_DATA_DIR) + "/evaluation/" + name;
}

struct Golden {
  torch::Tensor train = read_npy(golden_path("train_features.npy"));
  torch::Tensor train_labels = read_npy(golden_path("train_labels.npy"));
  torch::Tensor test = read_npy(golden_path("test_features.npy"));
  torch::Tensor test_labels = read_npy(golden_path("test_labels.npy"));
  Json expected =
      parse_json(read_file(golden_path("expected.json"), ErrorKind::data), "expected.json");
};

constexpr std::int64_t kClasses = 5;

}  // namespace

CATCH_TEST_CASE("kNN of both metrics is scikit-learn's", "[eval]") {
  const Golden golden;
  KnnConfig config;
  config.k = {1, 10, 50};
  // Rows before the 60th are equal to later ones.
  const auto grid =
      knn_grid(golden.train.narrow(0, 60, 340), golden.train_labels.narrow(0, 60, 340), golden.test,
               golden.test_labels, kClasses, config);
  std::size_t compared = 0;
  for (const KnnResult& cell : grid) {
    for (const Json& row : golden.expected["knn"]) {
      if (row["k"] != cell.k || row["metric"] != to_string(cell.metric) ||
          row["weighting"] != to_string(cell.weighting)) {
        continue;
      }
      CATCH_INFO(row.dump());
      CATCH_CHECK(cell.top1 == Approx(row["top1"].get<double>()).margin(1e-9));
      ++compared;
    }
  }
  CATCH_CHECK(compared == 12);
}

CATCH_TEST_CASE("retrieval and centroids are scikit-learn's", "[eval]") {
  const Golden golden;
  const Retrieval found = judge_retrieval(golden.train, golden.train_labels, golden.test,
                                          golden.test_labels, {1, 5, 10}, 1000);
  CATCH_CHECK(found.queries == 150);
  CATCH_CHECK(found.mean_average_precision ==
              Approx(golden.expected["map"].get<double>()).margin(1e-6));
  for (const auto& [k, share] : found.recall) {
    CATCH_CHECK(share ==
                Approx(golden.expected["recall"][std::to_string(k)].get<double>()).margin(1e-9));
  }
  CATCH_CHECK(centroid_accuracy(golden.train, golden.train_labels, golden.test, golden.test_labels,
                                kClasses) ==
              Approx(golden.expected["centroids"].get<double>()).margin(1e-9));
}

CATCH_TEST_CASE("retrieval asks evenly, and only what can be found", "[eval]") {
  const torch::Tensor gallery = at::eye(3);
  const torch::Tensor labels = at::arange(3);
  // The second query's class is not in the gallery.
  const torch::Tensor asked = at::tensor({0, 7, 2, 1}, torch::kInt64);
  const torch::Tensor queries = gallery.index_select(0, at::tensor({0, 1, 1, 1}, torch::kInt64));
  const Retrieval all = judge_retrieval(gallery, labels, queries, asked, {1, 3}, 100);
  CATCH_CHECK(all.queries == 3);
  CATCH_CHECK(all.recall[0].second == Approx(2.0 / 3.0));
  CATCH_CHECK(all.recall[1].second == Approx(1.0));
  // Query 2 (row 1 asked for class 2): rows 0 and 2 tie at cosine 0 behind row 1: 1/3.
  CATCH_CHECK(all.mean_average_precision == Approx((1.0 + 1.0 / 3.0 + 1.0) / 3.0));
  CATCH_CHECK(judge_retrieval(gallery, labels, queries, asked, {1}, 1).queries == 1);
  CATCH_CHECK(judge_retrieval(gallery, labels, queries, at::full({4}, 9), {1}, 5).queries == 0);
}

CATCH_TEST_CASE("NMI and ARI are scikit-learn's", "[eval]") {
  const Golden golden;
  const auto agree = [&](const char* name) {
    const auto numbers = golden.expected[name].get<std::vector<std::int64_t>>();
    return clustering_agreement(golden.test_labels, at::tensor(numbers, torch::kInt64));
  };
  const Agreement clusters = agree("k_means_labels");
  CATCH_CHECK(clusters.nmi == Approx(golden.expected["nmi"].get<double>()).margin(1e-9));
  CATCH_CHECK(clusters.ari == Approx(golden.expected["ari"].get<double>()).margin(1e-9));
  const Agreement chance = agree("other");
  CATCH_CHECK(chance.nmi == Approx(golden.expected["other_nmi"].get<double>()).margin(1e-9));
  CATCH_CHECK(chance.ari == Approx(golden.expected["other_ari"].get<double>()).margin(1e-9));
  const torch::Tensor one = at::zeros({4}, torch::kInt64);
  CATCH_CHECK(clustering_agreement(one, one).ari == 1.0);
  CATCH_CHECK(clustering_agreement(one, at::arange(4)).nmi == 0.0);
  CATCH_CHECK(clustering_agreement(one, at::arange(4)).ari == 0.0);
}

CATCH_TEST_CASE("k-means finds what scikit-learn's does", "[eval]") {
  const Golden golden;
  const torch::Tensor rows = unit_features(golden.test, torch::kFloat32);
  const Clusters found = k_means(rows, kClasses, 20, 3);
  const auto inertia = golden.expected["k_means_inertia"].get<double>();
  CATCH_CHECK(found.inertia == Approx(inertia).epsilon(1e-3));
  // Every row is nearest to its own mean, by the definition in float64.
  const torch::Tensor exact = rows.to(torch::kFloat64);
  double sum = 0.0;
  std::vector<torch::Tensor> means;
  for (std::int64_t c = 0; c < kClasses; ++c) {
    const torch::Tensor own = (found.assignments == c).nonzero().flatten();
    CATCH_REQUIRE(own.size(0) > 0);
    means.push_back(exact.index_select(0, own).mean(0));
  }
  const torch::Tensor distances = (exact.unsqueeze(1) - at::stack(means)).square().sum(2);
  CATCH_CHECK(at::equal(distances.argmin(1), found.assignments));
  sum = std::get<0>(distances.min(1)).sum().item<double>();
  CATCH_CHECK(found.inertia == Approx(sum).epsilon(1e-5));
  // The same seed, the same clusters; as many clusters as rows: each its own.
  CATCH_CHECK(at::equal(k_means(rows, kClasses, 20, 3).assignments, found.assignments));
  CATCH_CHECK(k_means(rows.narrow(0, 0, 9), 9, 1, 0).inertia == Approx(0.0).margin(1e-5));
  // Equal rows: clusters that can have no row of their own do no harm.
  CATCH_CHECK(k_means(at::ones({6, 3}), 3, 2, 0).inertia == 0.0);
}

}  // namespace clr
