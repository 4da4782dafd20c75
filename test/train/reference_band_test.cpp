// SPDX-License-Identifier: Apache-2.0
#include "clr/train/reference_band.h"

#include <cmath>
#include <fstream>
#include <random>

#include "support/catch.h"
#include "support/temporary_folder.h"

namespace clr {
namespace {

namespace fs = std::filesystem;

/// Runs as folders, without training: rows are what a test says.
class Runs {
 public:
  /// `more`: further metrics, by epoch; NaN: the row has none.
  RunRecord add(const std::string& name, std::int64_t seed, const std::vector<double>& losses,
                double temperature = 0.1,
                const std::map<std::string, std::vector<double>>& more = {}) {
    const fs::path folder = folder_.path() / name;
    fs::create_directories(folder);
    std::ofstream rows(folder / "metrics.jsonl");
    rows << Json({{"kind", "start"}, {"epoch", 0}, {"z_rank", 3.0}}).dump() << "\n";
    for (std::size_t epoch = 0; epoch < losses.size(); ++epoch) {
      rows << Json({{"kind", "step"}, {"epoch", epoch}, {"loss", 99.0}}).dump() << "\n";
      Json row = {{"kind", "epoch"},
                  {"epoch", epoch},
                  {"loss", losses[epoch]},
                  {"images_per_s", 1000.0 * static_cast<double>(seed)}};
      for (const auto& [metric, values] : more) {
        if (!std::isnan(values.at(epoch))) row[metric] = values[epoch];
      }
      rows << row.dump() << "\n";
    }
    std::ofstream(folder / "config.json")
        << Json({{"method", {{"temperature", temperature}}},
                 {"train", {{"seed", seed}, {"compute_threads", seed}}}})
               .dump();
    std::ofstream(folder / "result.json") << Json({{"loss", 1.0}, {"images_per_s", 9.0}}).dump();
    RunRecord run = read_run_records({folder.string()}).front();
    run.config["data"]["fingerprint"] = "f00d";
    return run;
  }

  fs::path file(const std::string& name) const { return folder_.path() / name; }

 private:
  TemporaryFolder folder_;
};

/// A loss of twenty epochs that falls, with noise of its own.
std::vector<double> noisy(std::uint32_t seed, double shift = 0.0) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> noise(0.0, 0.02);
  std::vector<double> losses;
  for (int epoch = 0; epoch < 20; ++epoch)
    losses.push_back(5.0 - 0.1 * epoch + shift + noise(generator));
  return losses;
}

}  // namespace

CATCH_TEST_CASE("a band is Student's prediction interval, pooled over neighbours", "[train]") {
  Runs runs;
  const auto add = [&runs](const std::string& name, std::int64_t seed, double first, double second,
                           double uniformity) {
    return runs.add(name, seed, {first, second}, 0.1,
                    {{"momentum", {0.99, 0.99}}, {"h_uniformity", {std::nan(""), uniformity}}});
  };
  const ReferenceBand band = make_reference_band(
      {add("a", 1, 4.0, 3.0, -1.0), add("b", 2, 5.0, 3.2, -2.0), add("c", 3, 6.0, 3.4, -3.0)},
      "three");
  CATCH_REQUIRE(band.metrics.size() == 3);
  // Three metrics: scipy.stats.t.ppf(1 - 0.05 / 6, 2) = 7.649.
  const double factor = 7.64880394 * std::sqrt(1.0 + 1.0 / 3);
  const auto variance = [](double a, double b, double c) {
    const double mean = (a + b + c) / 3;
    return ((a - mean) * (a - mean) + (b - mean) * (b - mean) + (c - mean) * (c - mean)) / 2;
  };
  using Catch::Detail::Approx;
  const auto& loss = band.metrics.at("loss");
  CATCH_REQUIRE(loss.size() == 2);
  const double half = factor * std::sqrt((variance(std::log(4.0), std::log(5.0), std::log(6.0)) +
                                          variance(std::log(3.0), std::log(3.2), std::log(3.4))) /
                                         2);
  CATCH_CHECK(loss[0].mean == Approx(5.0));
  CATCH_CHECK(loss[1].mean == Approx(3.2));
  CATCH_CHECK(loss[0].high == Approx(std::cbrt(120.0) * std::exp(half)).epsilon(1e-5));
  CATCH_CHECK(loss[1].low == Approx(std::cbrt(32.64) * std::exp(-half)).epsilon(1e-5));
  // What may be negative as it is; what is the same in all runs 1 % to either side.
  const auto& uniformity = band.metrics.at("h_uniformity");
  CATCH_REQUIRE(uniformity.size() == 1);
  CATCH_CHECK(uniformity[0].epoch == 1);
  CATCH_CHECK(uniformity[0].low == Approx(-2.0 - factor).epsilon(1e-5));
  CATCH_CHECK(uniformity[0].high == Approx(-2.0 + factor).epsilon(1e-5));
  CATCH_CHECK(band.metrics.at("momentum")[0].low == Approx(0.99 * 0.99));
  CATCH_CHECK(band.seeds == std::vector<std::int64_t>{1, 2, 3});
  CATCH_CHECK(!band.within_others);

  write_reference_band(band, runs.file("again.band"));
  const ReferenceBand again = read_reference_band(runs.file("again.band"));
  CATCH_CHECK(again.name == "again");
  CATCH_CHECK(again.config == band.config);
  CATCH_CHECK(again.metrics.at("loss")[1].low == Approx(loss[1].low).epsilon(1e-4));
  const auto short_run = runs.add("d", 4, {5.0});
  CATCH_CHECK(config_differences(short_run.config, again).empty());
  CATCH_CHECK(of_same_images(short_run, again) == true);
  const auto verdict = verify_run(short_run, again);
  CATCH_CHECK(verdict.metrics.size() == 1);
  CATCH_CHECK(verdict.missing == std::vector<std::string>{"h_uniformity", "momentum"});
}

CATCH_TEST_CASE("limits of shares are shares, those of cosines are cosines", "[train]") {
  Runs runs;
  std::vector<RunRecord> reference;
  for (const double top1 : {0.90, 0.94, 0.98}) {
    const auto seed = static_cast<std::int64_t>(reference.size());
    reference.push_back(runs.add("r" + std::to_string(seed), seed, {5.0}, 0.1,
                                 {{"knn_top1", {top1}},
                                  {"false_negative_share", {0.0}},
                                  {"top1", {1.0}},
                                  {"positive_cosine", {top1}},
                                  {"negative_cosine", {10 * (top1 - 0.94)}}}));
  }
  const ReferenceBand band = make_reference_band(reference, "shares");
  CATCH_CHECK(band.metrics.at("positive_cosine").at(0).high == 1.0);
  CATCH_CHECK(band.metrics.at("negative_cosine").at(0).low == -1.0);
  CATCH_CHECK(band.metrics.at("negative_cosine").at(0).high == 1.0);
  CATCH_CHECK(band.metrics.at("loss").at(0).low < 5.0);
  {
    // Also those of a file that was written without them.
    write_reference_band(band, runs.file("shares.band"));
    Json json = Json::parse(std::ifstream(runs.file("shares.band")));
    json["metrics"]["positive_cosine"]["high"] = Json::array({1.3});
    std::ofstream(runs.file("wide.band")) << json.dump();
    CATCH_CHECK(
        read_reference_band(runs.file("wide.band")).metrics.at("positive_cosine").at(0).high ==
        1.0);
  }
  const BandEpoch& knn = band.metrics.at("knn_top1").at(0);
  CATCH_CHECK(knn.low > 0.0);
  CATCH_CHECK(knn.low < 0.5);
  CATCH_CHECK(knn.high < 1.0);
  CATCH_CHECK(knn.high > 0.99);
  CATCH_CHECK(band.metrics.at("top1").at(0).high == 1.0);
  CATCH_CHECK(band.metrics.at("top1").at(0).low == 0.99);
  CATCH_CHECK(band.metrics.at("false_negative_share").at(0).low == 0.0);
  const auto same =
      runs.add("same", 9, {5.0}, 0.1,
               {{"knn_top1", {0.97}}, {"false_negative_share", {0.0}}, {"top1", {1.0}}});
  CATCH_CHECK(!verify_run(same, band).left_at);
}

CATCH_TEST_CASE("runs of one distribution stay within their band, one that strays has left it",
                "[train]") {
  Runs runs;
  std::vector<RunRecord> reference;
  for (std::uint32_t seed = 0; seed < 6; ++seed)
    reference.push_back(runs.add("r" + std::to_string(seed), seed, noisy(seed)));
  const ReferenceBand band = make_reference_band(reference, "six");
  int within = 0;
  for (std::uint32_t seed = 100; seed < 200; ++seed) {
    const auto verdict = verify_run(runs.add("new", seed, noisy(seed)), band);
    within += verdict.left_at ? 0 : 1;
  }
  CATCH_CHECK(within >= 95);
  CATCH_CHECK(band.within_others == 6);

  std::vector<double> stray = noisy(300);
  for (std::size_t epoch = 7; epoch < stray.size(); ++epoch) stray[epoch] += 0.5;
  const auto left = verify_run(runs.add("stray", 300, stray), band);
  CATCH_REQUIRE(left.left_at.has_value());
  CATCH_CHECK(*left.left_at == 7);
  CATCH_CHECK(left.metrics.at(0).outside == 13);

  // One epoch alone is chance; a loss that is not finite is not.
  std::vector<double> once = noisy(301);
  once[5] += 0.5;
  CATCH_CHECK(!verify_run(runs.add("once", 301, once), band).left_at);
  std::vector<double> broken = noisy(302);
  broken[18] = broken[19] = std::nan("");
  CATCH_CHECK(verify_run(runs.add("broken", 302, broken), band).left_at == 18);

  // The end is what a run is for: there one epoch is enough.
  std::vector<double> end = noisy(305);
  end[19] += 0.5;
  CATCH_CHECK(verify_run(runs.add("end", 305, end), band).left_at == 19);

  // Unfinished runs are held against as much as they have.
  const auto begun = verify_run(runs.add("begun", 303, {noisy(303)[0], noisy(303)[1]}), band);
  CATCH_CHECK(begun.epochs == 2);
  CATCH_CHECK(begun.metrics.at(0).compared == 2);
  CATCH_CHECK_THROWS_AS(verify_run(runs.add("none", 304, {}), band), Error);
}

CATCH_TEST_CASE("a band is made of runs that differ in the seed alone", "[train]") {
  Runs runs;
  const auto a = runs.add("a", 1, {4.0});
  const auto b = runs.add("b", 2, {4.0});
  CATCH_CHECK_THROWS_WITH(make_reference_band({a, b}, "x"), Catch::Contains("at least 3 runs"));
  CATCH_CHECK_THROWS_WITH(make_reference_band({a, b, runs.add("c", 2, {4.0})}, "x"),
                          Catch::Contains("a seed of its own, got 2 again"));
  const auto other = runs.add("d", 3, {4.0}, 0.2);
  CATCH_CHECK_THROWS_WITH(make_reference_band({a, b, other}, "x"),
                          Catch::Contains("method.temperature: expected 0.1"));
  const auto differences =
      config_differences(other.config, make_reference_band({a, b, runs.add("e", 4, {4.0})}, "x"));
  CATCH_REQUIRE(differences.size() == 1);
  CATCH_CHECK(differences[0].key == "method.temperature");
  CATCH_CHECK(differences[0].run == 0.2);

  auto unknown = runs.add("f", 5, {4.0});
  unknown.config["data"].erase("fingerprint");
  CATCH_CHECK_THROWS_WITH(make_reference_band({a, b, unknown}, "x"),
                          Catch::Contains("says of which images"));
  CATCH_CHECK(!of_same_images(unknown, make_reference_band({a, b, runs.add("e", 4, {4.0})}, "x")));
  CATCH_CHECK_THROWS_WITH(
      make_reference_band({runs.add("g", 6, {}), runs.add("h", 7, {}), runs.add("i", 8, {})}, "x"),
      Catch::Contains("expected runs with epochs"));

  std::ofstream(runs.file("no.band")) << R"({"format": 1, "name": 3})";
  CATCH_CHECK_THROWS_AS(read_reference_band(runs.file("no.band")), Error);
}

}  // namespace clr
