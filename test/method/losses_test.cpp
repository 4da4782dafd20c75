// SPDX-License-Identifier: Apache-2.0
// simclr's and supcon's losses and metrics on golden embeddings: test/golden/losses/README.md.
#include <torch/types.h>

#include "clr/io/file.h"
#include "clr/io/npy.h"
#include "method/method_fixtures.h"
#include "support/catch.h"

namespace clr {
namespace {

using test::make_described;
using test::tiny_context;
using torch::Tensor;

std::string golden_path(const std::string& name) {
  return std::string(CLR_TEST_DATA_DIR) + "/losses/" + name;
}

const Json& expected() {
  static const Json json =
      parse_json(read_file(golden_path("expected.json"), ErrorKind::data), "expected.json");
  return json;
}

Batch golden_batch() {
  Batch batch;
  batch.labels = read_npy(golden_path("labels.npy"));
  // Images 2 and 7 stand for one that the loader took twice, as in the script.
  batch.indices = torch::arange(12);
  batch.indices[7] = 2;
  return batch;
}

std::map<std::string, double> values_of(const Json& method) {
  const auto made = make_described(method, tiny_context());
  const Tensor z = read_npy(golden_path("z.npy"));
  const StepOutput output = made->loss({{z}}, golden_batch(), {});
  std::map<std::string, double> values{{"loss", output.loss.item<double>()}};
  for (const auto& [name, metric] : output.metrics) values[name] = metric.item<double>();
  return values;
}

Approx golden(const char* part, const std::string& name) {
  return Approx(expected().at(part).at(name).get<double>()).epsilon(1e-5);
}

}  // namespace

CATCH_TEST_CASE("simclr's losses are those of lightly and of the papers", "[method]") {
  // A switch that sends one option to another loss, or drops sigma, prior or beta, ends here.
  for (const char* loss : {"nt_xent", "dcl", "dclw", "debiased", "hard_negative"}) {
    CATCH_INFO(loss);
    CATCH_CHECK(values_of({{"type", "simclr"}, {"loss", loss}}).at("loss") ==
                golden("losses", loss));
  }
  const Json narrow = {{"type", "simclr"}, {"loss", "dclw"}, {"sigma", 0.1}};
  CATCH_CHECK_FALSE(values_of(narrow).at("loss") == golden("losses", "dclw"));
  const Json no_prior = {{"type", "simclr"}, {"loss", "debiased"}, {"positive_prior", 0}};
  CATCH_CHECK(values_of(no_prior).at("loss") == golden("losses", "nt_xent"));
  const Json no_beta = {{"type", "simclr"}, {"loss", "hard_negative"}, {"beta", 0}};
  CATCH_CHECK(values_of(no_beta).at("loss") == golden("losses", "debiased"));
}

CATCH_TEST_CASE("simclr counts and leaves out false negatives", "[method]") {
  const auto simclr = [](const char* what) {
    return values_of({{"type", "simclr"}, {"false_negatives", what}, {"cosine_limit", 0.6}});
  };
  const auto keep = simclr("keep");
  CATCH_CHECK(keep.at("loss") == golden("losses", "nt_xent"));
  CATCH_CHECK(keep.at("false_negative_share") == golden("shares", "false_negative_share"));
  CATCH_CHECK_FALSE(keep.contains("masked_share"));

  // A mask of one view alone, or one that takes the positive with it, gives another loss.
  const auto label = simclr("same_label");
  CATCH_CHECK(label.at("loss") == golden("losses", "same_label"));
  CATCH_CHECK(label.at("masked_share") == golden("shares", "false_negative_share"));

  const auto cosine = simclr("cosine");
  CATCH_CHECK(cosine.at("loss") == golden("losses", "cosine"));
  CATCH_CHECK(cosine.at("masked_share") == golden("shares", "cosine"));

  // Labels for indices, or the other way round, give another loss.
  const auto index = simclr("same_index");
  CATCH_CHECK(index.at("loss") == golden("losses", "same_index"));
  CATCH_CHECK(index.at("masked_share") == golden("shares", "same_index"));

  MethodContext unlabelled = tiny_context();
  unlabelled.classes = 0;
  const auto refusal = [&](const Json& method) -> std::string {
    try {
      make_described(method, unlabelled);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  CATCH_CHECK_THAT(refusal({{"type", "simclr"}, {"false_negatives", "same_label"}}),
                   Catch::Contains("expected labelled images"));
  CATCH_CHECK_THAT(
      refusal({{"type", "simclr"}, {"loss", "debiased"}, {"false_negatives", "cosine"}}),
      Catch::StartsWith("/method/false_negatives: expected keep with loss debiased"));
  CATCH_CHECK(refusal({{"type", "simclr"}}).empty());
}

CATCH_TEST_CASE("the share of false negatives grows with the batch", "[method]") {
  // Equal classes: (N / C - 1) / (N - 1), towards 1 / C.
  const auto method = make_described({{"type", "simclr"}}, tiny_context());
  double last = 0;
  for (const std::int64_t n : {20, 40, 320}) {
    Batch batch;
    batch.labels = torch::arange(n) % 10;
    batch.indices = torch::arange(n);
    const StepOutput output = method->loss({{torch::randn({2, n, 4})}}, batch, {});
    double share = 0;
    for (const auto& [name, metric] : output.metrics) {
      if (name == "false_negative_share") share = metric.item<double>();
    }
    const auto count = static_cast<double>(n);
    CATCH_CHECK(share == Approx((count / 10 - 1) / (count - 1)));
    CATCH_CHECK(share > last);
    last = share;
  }
}

CATCH_TEST_CASE("supcon's losses are those of the paper", "[method]") {
  for (const char* form : {"out", "in"}) {
    CATCH_INFO(form);
    const auto values = values_of({{"type", "supcon"}, {"loss", form}});
    CATCH_CHECK(values.at("loss") == golden("losses", std::string("supcon_") + form));
    CATCH_CHECK(values.at("positive_cosine") == golden("supcon_cosines", "positive"));
    CATCH_CHECK(values.at("negative_cosine") == golden("supcon_cosines", "negative"));
  }
}

CATCH_TEST_CASE("supcon wants labels and two views", "[method]") {
  MethodContext context = tiny_context();
  context.view_groups = {2, 4};
  CATCH_CHECK_THROWS_AS(make_described({{"type", "supcon"}}, context), Error);
  context.view_groups = {2};
  context.classes = 0;
  CATCH_CHECK_THROWS_AS(make_described({{"type", "supcon"}}, context), Error);
}

}  // namespace clr
