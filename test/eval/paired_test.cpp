// SPDX-License-Identifier: Apache-2.0
// SciPy's results; see test/golden/paired/README.md.
#include "clr/eval/paired.h"

#include <cmath>
#include <string>

#include "clr/config/json.h"
#include "clr/io/file.h"
#include "support/catch.h"

namespace clr {
namespace {

Json expected() {
  const std::string path = std::string(CLR_TEST_DATA_DIR) + "/paired/expected.json";
  return parse_json(read_file(path, ErrorKind::data), path);
}

}  // namespace

CATCH_TEST_CASE("bootstrap intervals are SciPy's", "[eval]") {
  const Json golden = expected();
  for (const Json& row : golden["accuracies"]) {
    CATCH_INFO(row.dump());
    const auto found =
        bootstrap_interval(row["correct"].get<std::int64_t>(), row["total"].get<std::int64_t>());
    CATCH_CHECK(found[0] == Approx(row["ci95"][0].get<double>()).margin(1e-9));
    CATCH_CHECK(found[1] == Approx(row["ci95"][1].get<double>()).margin(1e-9));
  }
  CATCH_CHECK(bootstrap_interval(0, 0)[1] == 1.0);
}

CATCH_TEST_CASE("two classifiers are compared as SciPy does", "[eval]") {
  const Json golden = expected();
  for (const Json& row : golden["pairs"]) {
    CATCH_INFO(row.dump());
    const auto counts = row["counts"].get<std::array<std::int64_t, 4>>();
    const PairedCounts paired{counts[0], counts[1], counts[2], counts[3]};
    const PairedComparison found = compare_paired(paired);
    CATCH_CHECK(found.p_value == Approx(row["p_value"].get<double>()).epsilon(1e-9));
    CATCH_CHECK(found.ci95[0] == Approx(row["ci95"][0].get<double>()).margin(1e-9));
    CATCH_CHECK(found.ci95[1] == Approx(row["ci95"][1].get<double>()).margin(1e-9));
    // Exchanged, all is the same the other way round; an interval but for its steps.
    const PairedComparison other = compare_paired({counts[0], counts[2], counts[1], counts[3]});
    CATCH_CHECK(other.difference == -found.difference);
    CATCH_CHECK(other.p_value == Approx(found.p_value));
    CATCH_CHECK(other.ci95[0] ==
                Approx(-found.ci95[1]).margin(2.0 / static_cast<double>(paired.total())));
  }
}

CATCH_TEST_CASE("images that a difference needs to be seen", "[eval]") {
  // 10 % differ, 2 points apart: (1.96 sqrt(0.1) + 0.8416 sqrt(0.0996))^2 / 0.0004.
  const PairedComparison found = compare_paired({800, 60, 40, 100});
  CATCH_CHECK(found.difference == Approx(0.02));
  CATCH_CHECK(found.images_needed ==
              Approx(std::pow(1.95996 * std::sqrt(0.1) + 0.84162 * std::sqrt(0.0996), 2) / 0.0004)
                  .margin(1.0));
  CATCH_CHECK(compare_paired({5, 2, 2, 1}).images_needed == 0);
}

}  // namespace clr
