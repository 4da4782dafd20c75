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
  RunRecord add(const std::string& name, std::int64_t seed, const std::vector<double>& losses,
                double temperature = 0.1) {
    const fs::path folder = folder_.path() / name;
    fs::create_directories(folder);
    std::ofstream rows(folder / "metrics.jsonl");
    rows << Json({{"kind", "start"}, {"epoch", 0}, {"z_rank", 3.0}}).dump() << "\n";
    for (std::size_t epoch = 0; epoch < losses.size(); ++epoch) {
      rows << Json({{"kind", "step"}, {"epoch", epoch}, {"loss", 99.0}}).dump() << "\n";
      rows << Json({{"kind", "epoch"},
                    {"epoch", epoch},
                    {"loss", losses[epoch]},
                    {"momentum", 0.99 + 1e-7 * static_cast<double>(epoch)},
                    {"images_per_s", 1000.0 * static_cast<double>(seed)}})
                  .dump()
           << "\n";
    }
    std::ofstream(folder / "config.json")
        << Json({{"method", {{"temperature", temperature}}},
                 {"train", {{"seed", seed}, {"compute_threads", seed}}}})
               .dump();
    std::ofstream(folder / "result.json") << Json({{"loss", 1.0}, {"images_per_s", 9.0}}).dump();
    return read_run_records({folder.string()}).front();
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
  const ReferenceBand band = make_reference_band(
      {runs.add("a", 1, {4.0, 3.0}), runs.add("b", 2, {5.0, 3.2}), runs.add("c", 3, {6.0, 3.4})},
      "three");
  CATCH_REQUIRE(band.metrics.size() == 1);
  const auto& loss = band.metrics.at("loss");
  CATCH_REQUIRE(loss.size() == 2);
  // Variances 1 and 0.04; scipy.stats.t.ppf(0.995, 2).
  const double half = 9.92484320091807 * std::sqrt((1.0 + 0.04) / 2) * std::sqrt(1.0 + 1.0 / 3);
  CATCH_CHECK(loss[0].mean == Catch::Detail::Approx(5.0));
  CATCH_CHECK(loss[1].mean == Catch::Detail::Approx(3.2));
  CATCH_CHECK(loss[0].high == Catch::Detail::Approx(5.0 + half).epsilon(1e-8));
  CATCH_CHECK(loss[1].low == Catch::Detail::Approx(3.2 - half).epsilon(1e-8));
  CATCH_CHECK(band.seeds == std::vector<std::int64_t>{1, 2, 3});

  write_reference_band(band, runs.file("three.band"));
  const ReferenceBand again = read_reference_band(runs.file("three.band"));
  CATCH_CHECK(again.config == band.config);
  CATCH_CHECK(again.metrics.at("loss")[1].low == Catch::Detail::Approx(loss[1].low).epsilon(1e-4));
  CATCH_CHECK(config_differences(runs.add("d", 4, {5.0}), again).empty());
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
      config_differences(other, make_reference_band({a, b, runs.add("e", 4, {4.0})}, "x"));
  CATCH_REQUIRE(differences.size() == 1);
  CATCH_CHECK(differences[0].key == "method.temperature");
  CATCH_CHECK(differences[0].run == 0.2);

  std::ofstream(runs.file("no.band")) << R"({"format": 1, "name": 3})";
  CATCH_CHECK_THROWS_AS(read_reference_band(runs.file("no.band")), Error);
}

}  // namespace clr
