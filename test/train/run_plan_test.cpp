// SPDX-License-Identifier: Apache-2.0
#include "clr/train/run_plan.h"

#include "train/run_fixtures.h"

namespace clr {

CATCH_TEST_CASE("the largest batch is where the line meets the memory", "[train]") {
  MemoryEstimate estimate;
  estimate.peak_bytes = 2e9;
  estimate.bytes_per_image = 1e6;
  estimate.available_bytes = 10e9;
  // 256 + (9e9 - 2e9) / 1e6 = 7,256.
  CATCH_CHECK(largest_batch(estimate, 256) == 4096);
  estimate.available_bytes = 1e9;
  CATCH_CHECK(largest_batch(estimate, 256) == 2);
  estimate.available_bytes = 2.0e9 / 0.9;
  CATCH_CHECK(largest_batch(estimate, 256) == 256);
}

CATCH_TEST_CASE("advice for small sets", "[train]") {
  const RunConfig config = test::configured(Json::object());
  CATCH_CHECK(!small_set_advice(config, 50000));
  const auto thousands = small_set_advice(config, 5000);
  CATCH_REQUIRE(thousands);
  CATCH_CHECK(thousands->batch_size == 512);
  CATCH_CHECK(thousands->epochs == 1000);  // 9 steps an epoch: bounded
  CATCH_CHECK(thousands->temperature == 0.5);
  const auto many = small_set_advice(config, 49999);
  CATCH_CHECK(many->batch_size == 512);
  CATCH_CHECK(many->epochs == 104);  // 97 steps an epoch
  CATCH_CHECK(many->temperature == 0.2);
  const auto few = small_set_advice(config, 30);
  CATCH_CHECK(few->batch_size == 8);
  CATCH_CHECK(few->epochs == 1000);
  CATCH_CHECK(!few->reasons.empty());
  CATCH_CHECK(!small_set_advice(
      test::configured({{"method", {{"type", "supervised"}, {"temperature", nullptr}}}}), 30));
}

}  // namespace clr
