// SPDX-License-Identifier: Apache-2.0
// The distributions that operations draw from.
#include <algorithm>
#include <cmath>
#include <map>

#include "augment/chains.h"
#include "support/catch.h"

namespace clr {
namespace {

struct CropStatistics {
  double area = 0;
  double deviation = 0;
  double log_ratio = 0;
  double x = 0;
  double y = 0;
  double smallest = 1;
  double touching = 0;  ///< share of crops as wide or as high as the image
};

CropStatistics crop_statistics(const Json& options, Size in, int count) {
  const auto op = test::make_op(options);
  CropStatistics sum;
  double squares = 0;
  for (int i = 0; i < count; ++i) {
    const Rng rng(5, {static_cast<std::uint64_t>(i), 0, 0}, op->id());
    const Region box = op->sample({rng, in}).box;
    const double area = static_cast<double>(box.width) * box.height / in.width / in.height;
    sum.area += area / count;
    squares += area * area / count;
    sum.log_ratio += std::log(static_cast<double>(box.width) / box.height) / count;
    const auto place = [](int start, int size, int side) {
      return side == size ? 0.5 : static_cast<double>(start) / (side - size);
    };
    sum.x += place(box.x, box.width, in.width) / count;
    sum.y += place(box.y, box.height, in.height) / count;
    sum.smallest = std::min(sum.smallest, area);
    if (box.width == in.width || box.height == in.height) sum.touching += 1.0 / count;
  }
  sum.deviation = std::sqrt(squares - sum.area * sum.area);
  return sum;
}

// The numbers are those of 200,000 calls of torchvision 0.26's RandomResizedCrop.get_params each;
// the margins are five standard errors of the difference, or more.
CATCH_TEST_CASE("random_resized_crop draws as torchvision does", "[augment]") {
  constexpr int kCount = 200000;
  {
    const CropStatistics s = crop_statistics({{"type", "random_resized_crop"}}, {500, 375}, kCount);
    CATCH_CHECK(s.area == Approx(0.43388).margin(0.0035));
    CATCH_CHECK(s.deviation == Approx(0.21679).margin(0.003));
    CATCH_CHECK(s.log_ratio == Approx(0.03081).margin(0.003));
    CATCH_CHECK(s.x == Approx(0.4994).margin(0.005));
    CATCH_CHECK(s.y == Approx(0.5000).margin(0.005));
    CATCH_CHECK(s.smallest == Approx(0.0794).margin(0.001));
    CATCH_CHECK(s.touching == Approx(0.00603).margin(0.0014));
  }
  {
    const CropStatistics s =
        crop_statistics({{"type", "random_resized_crop"}, {"scale", {0.2, 1.0}}}, {32, 32}, kCount);
    CATCH_CHECK(s.area == Approx(0.55138).margin(0.0034));
    CATCH_CHECK(s.deviation == Approx(0.20651).margin(0.003));
    CATCH_CHECK(s.log_ratio == Approx(-0.00072).margin(0.003));
    CATCH_CHECK(s.touching == Approx(0.07612).margin(0.0045));
  }
  {
    const CropStatistics s = crop_statistics({{"type", "random_resized_crop"}}, {120, 40}, kCount);
    CATCH_CHECK(s.area == Approx(0.22660).margin(0.0016));
    CATCH_CHECK(s.log_ratio == Approx(0.04381).margin(0.003));
    CATCH_CHECK(s.touching == Approx(0.09495).margin(0.005));
  }
}

// A crop that always fits has closed forms: the area is uniform, the ratio log-uniform.
CATCH_TEST_CASE("small crops have a uniform area and a log-uniform ratio", "[augment]") {
  constexpr int kCount = 100000;
  const CropStatistics s = crop_statistics(
      {{"type", "random_resized_crop"}, {"scale", {0.05, 0.25}}, {"ratio", {0.5, 3.0}}},
      {2000, 2000}, kCount);
  CATCH_CHECK(s.area == Approx(0.15).margin(5 * 0.2 / std::sqrt(12.0 * kCount)));
  CATCH_CHECK(s.deviation == Approx(0.2 / std::sqrt(12.0)).epsilon(0.01));
  const double span = std::log(6.0);
  CATCH_CHECK(s.log_ratio ==
              Approx(std::log(1.5) / 2).margin(5 * span / std::sqrt(12.0 * kCount) + 1e-3));
  CATCH_CHECK(s.touching == 0.0);
}

CATCH_TEST_CASE("a crop reaches every corner of the image", "[augment]") {
  const auto op =
      test::make_op({{"type", "random_resized_crop"}, {"scale", {0.2, 0.4}}, {"size", 8}});
  bool left = false;
  bool right = false;
  bool top = false;
  bool bottom = false;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const Region box = op->sample({Rng(1, {i, 0, 0}, op->id()), {12, 10}}).box;
    left = left || box.x == 0;
    right = right || box.x + box.width == 12;
    top = top || box.y == 0;
    bottom = bottom || box.y + box.height == 10;
  }
  CATCH_CHECK(left);
  CATCH_CHECK(right);
  CATCH_CHECK(top);
  CATCH_CHECK(bottom);
}

Region only_box(const Json& options, Size in) {
  const auto op = test::make_op(options);
  return op->sample({Rng(1, {0, 0, 0}, op->id()), in}).box;
}

// By hand after torchvision: where ten attempts fail, the largest central crop of a ratio in range.
CATCH_TEST_CASE("shapes that no crop fits get the central one", "[augment]") {
  const Json whole{{"type", "random_resized_crop"}, {"scale", {1.0, 1.0}}};
  CATCH_CHECK(only_box(whole, {1000, 10}) == Region{493, 0, 13, 10});
  CATCH_CHECK(only_box(whole, {10, 1000}) == Region{0, 493, 10, 13});
  CATCH_CHECK(only_box(whole, {1, 1000}) == Region{0, 499, 1, 1});
  CATCH_CHECK(only_box(whole, {1, 1}) == Region{0, 0, 1, 1});
  // 6 / 4 = 1.5 and 10 / 4 = 2.5 are rounded to even.
  const auto of_ratio = [](double ratio) {
    return Json{{"type", "random_resized_crop"}, {"scale", {1, 1}}, {"ratio", {ratio, ratio}}};
  };
  CATCH_CHECK(only_box(of_ratio(4), {6, 100}) == Region{0, 49, 6, 2});
  CATCH_CHECK(only_box(of_ratio(4), {10, 100}) == Region{0, 49, 10, 2});
  // No pixel would be left: one is.
  CATCH_CHECK(only_box(of_ratio(100), {3, 50}) == Region{0, 24, 3, 1});
}

CATCH_TEST_CASE("color_jitter draws its factors evenly and all orders equally often", "[augment]") {
  const auto op = test::make_op({{"type", "color_jitter"},
                                 {"brightness", 0.4},
                                 {"contrast", 1.5},
                                 {"saturation", 0.0},
                                 {"hue", 0.1},
                                 {"p", 1.0}});
  constexpr int kCount = 48000;
  std::map<std::array<std::uint8_t, 4>, int> orders;
  std::array<double, 4> sum{};
  std::array<float, 4> low{9, 9, 9, 9};
  std::array<float, 4> high{-9, -9, -9, -9};
  for (std::uint64_t i = 0; i < kCount; ++i) {
    const OpParameters p = op->sample({Rng(3, {i, 0, 0}, op->id()), {4, 4}});
    ++orders[p.order];
    for (std::size_t k = 0; k < 4; ++k) {
      sum[k] += p.values[k] / kCount;
      low[k] = std::min(low[k], p.values[k]);
      high[k] = std::max(high[k], p.values[k]);
    }
  }
  const double root = std::sqrt(12.0 * kCount);
  CATCH_CHECK(sum[0] == Approx(1.0).margin(5 * 0.8 / root));
  CATCH_CHECK(sum[1] == Approx(1.25).margin(5 * 2.5 / root));  // max(0, 1 - 1.5) to 2.5
  CATCH_CHECK(sum[3] == Approx(0.0).margin(5 * 0.2 / root));
  CATCH_CHECK(low[0] == Approx(0.6).margin(1e-3));
  CATCH_CHECK(high[0] == Approx(1.4).margin(1e-3));
  CATCH_CHECK(low[1] == Approx(0.0).margin(1e-3));
  CATCH_CHECK(high[1] == Approx(2.5).margin(1e-3));
  CATCH_CHECK(low[2] == 1.0F);
  CATCH_CHECK(high[2] == 1.0F);
  CATCH_CHECK(low[3] == Approx(-0.1).margin(1e-3));
  CATCH_CHECK(high[3] == Approx(0.1).margin(1e-3));

  CATCH_CHECK(orders.size() == 24);
  for (const auto& [order, count] : orders) {
    CATCH_CHECK(std::abs(count - kCount / 24) < 5 * std::sqrt(kCount / 24.0));
  }
}

CATCH_TEST_CASE("gaussian_blur draws sigma evenly", "[augment]") {
  const auto op = test::make_op({{"type", "gaussian_blur"}, {"sigma", {0.1, 2.0}}, {"p", 1.0}});
  constexpr int kCount = 20000;
  double sum = 0;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    const float sigma = op->sample({Rng(3, {i, 0, 0}, op->id()), {64, 64}}).values[0];
    CATCH_REQUIRE(sigma >= 0.1F);
    CATCH_REQUIRE(sigma < 2.0F);
    sum += sigma / kCount;
  }
  CATCH_CHECK(sum == Approx(1.05).margin(5 * 1.9 / std::sqrt(12.0 * kCount)));
}

}  // namespace
}  // namespace clr
