// SPDX-License-Identifier: Apache-2.0
// scikit-learn's and NumPy's results on the same features; see test/golden/probe/README.md.
#include <ATen/Functions.h>

#include <string>
#include <vector>

#include "clr/config/json.h"
#include "clr/eval/knn.h"
#include "clr/eval/linear_probe.h"
#include "clr/eval/statistics.h"
#include "clr/io/file.h"
#include "clr/io/npy.h"
#include "support/catch.h"

namespace clr {
namespace {

std::string golden_path(const std::string& name) {
  return std::string(CLR_TEST_DATA_DIR) + "/probe/" + name;
}

struct Golden {
  torch::Tensor train = read_npy(golden_path("train_features.npy"));
  torch::Tensor train_labels = read_npy(golden_path("train_labels.npy"));
  torch::Tensor test = read_npy(golden_path("test_features.npy"));
  torch::Tensor test_labels = read_npy(golden_path("test_labels.npy"));
  Json expected =
      parse_json(read_file(golden_path("expected.json"), ErrorKind::data), "expected.json");
  std::int64_t classes = expected["classes"].get<std::int64_t>();
};

torch::Tensor matrix(const Json& rows) {
  std::vector<torch::Tensor> tensors;
  for (const Json& row : rows) tensors.push_back(at::tensor(row.get<std::vector<double>>()));
  return at::stack(tensors);
}

torch::Tensor vector(const Json& values) { return at::tensor(values.get<std::vector<double>>()); }

}  // namespace

CATCH_TEST_CASE("the probe is scikit-learn's logistic regression", "[eval]") {
  const Golden golden;
  const torch::Tensor mean = vector(golden.expected["mean"]);
  const torch::Tensor deviation = vector(golden.expected["deviation"]);
  for (const Json& probe : golden.expected["probes"]) {
    ProbeConfig config;
    config.l2 = {false, probe["l2"].get<double>()};
    const ProbeFit fit =
        fit_linear_probe(golden.train, golden.train_labels, golden.classes, config, 0);
    CATCH_INFO("l2 " << config.l2.value);
    CATCH_CHECK(fit.converged);
    const auto objective = probe["objective"].get<double>();
    CATCH_CHECK(fit.objective <= objective + 1e-9);
    CATCH_CHECK(fit.objective == Approx(objective).epsilon(1e-9));

    const torch::Tensor weight = fit.head.weight.to(torch::kFloat64) * deviation;
    CATCH_CHECK(at::allclose(weight, matrix(probe["weight_standardised"]), 0.0, 1e-5));
    const torch::Tensor bias =
        fit.head.bias.to(torch::kFloat64) + at::mv(fit.head.weight.to(torch::kFloat64), mean);
    CATCH_CHECK(
        at::allclose(bias - bias.mean(), vector(probe["bias_standardised_centred"]), 0.0, 1e-5));

    const torch::Tensor p = predict_probabilities(fit.head, golden.test);
    CATCH_CHECK(
        at::allclose(p.to(torch::kFloat64), matrix(probe["test_probabilities"]), 0.0, 1e-5));
    const auto predictions = probe["test_predictions"].get<std::vector<std::int64_t>>();
    CATCH_CHECK(at::equal(p.argmax(1), at::tensor(predictions)));
    CATCH_CHECK(top_k_accuracy(p, golden.test_labels, 1) ==
                Approx(probe["test_top1"].get<double>()).epsilon(1e-12));
  }
}

CATCH_TEST_CASE("kNN has NumPy's accuracies in float64, ties included", "[eval]") {
  const Golden golden;
  std::int64_t tied = 0;
  for (const Json& row : golden.expected["knn"]) {
    KnnConfig config;
    config.k = {row["k"].get<std::int64_t>()};
    config.temperature = golden.expected["temperature"].get<double>();
    const bool majority = row["weighting"] == "majority";
    config.weighting = {majority ? KnnWeighting::majority : KnnWeighting::temperature};
    CATCH_INFO(config.k[0] << (majority ? " majority" : " temperature"));
    // Labelled with the predictions that are expected, every row must be right.
    const auto predictions = row["predictions"].get<std::vector<std::int64_t>>();
    CATCH_CHECK(knn_grid(golden.train, golden.train_labels, golden.test, at::tensor(predictions),
                         golden.classes, config)[0]
                    .top1 == 1.0);
    CATCH_CHECK(knn_grid(golden.train, golden.train_labels, golden.test, golden.test_labels,
                         golden.classes, config)[0]
                    .top1 == Approx(row["top1"].get<double>()).epsilon(1e-12));
    tied += row["tied_votes"].get<std::int64_t>();
  }
  CATCH_CHECK(tied > 0);
}

}  // namespace clr
