// SPDX-License-Identifier: Apache-2.0
// The fused executor against the operations one by one, which have golden tests of their own.
#include <algorithm>
#include <cmath>

#include "augment/chains.h"
#include "support/catch.h"

namespace clr {
namespace {

/// What the executor promises over a whole chain, in units of a picture in [0, 1].
constexpr double kChain = 0.05 / 255.0;
constexpr double kOneOp = 1e-4;

struct Pair {
  Augmenter fused;
  Augmenter plain;

  explicit Pair(const Json& chain)
      : fused(test::make_augmenter(test::views_of(chain))),
        plain(test::read_augment(test::views_of(chain)), Place("test"), Rendering::op_by_op) {
    CATCH_REQUIRE(fused.fused(0));
    CATCH_REQUIRE_FALSE(plain.fused(0));
  }

  /// Largest difference over the view, with values on the threshold of solarize left out.
  double difference(const Image& image, const ViewParameters& parameters) const {
    const auto a = test::render_floats(fused, image, 0, parameters);
    const auto b = test::render_floats(plain, image, 0, parameters);
    double most = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      most = std::max(most, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    }
    return most;
  }
};

Json crop(int size, const char* interpolation = "bilinear") {
  return {{"type", "random_resized_crop"}, {"size", size}, {"interpolation", interpolation}};
}
const Json kJitter = {{"type", "color_jitter"}, {"brightness", 0.8}, {"contrast", 0.8},
                      {"saturation", 0.8},      {"hue", 0.2},        {"p", 1.0}};

CATCH_TEST_CASE("the fused resize is the plain one, for all sizes", "[augment][fused]") {
  for (const char* filter : {"bilinear", "bicubic"}) {
    for (const int out : {1, 5, 16, 31, 64, 97}) {
      const Pair pair(Json::array({crop(out, filter), {{"type", "horizontal_flip"}}}));
      std::uint64_t number = 0;
      for (const Size size : {Size{1, 1}, Size{1, 500}, Size{600, 1}, Size{3, 2}, Size{97, 97},
                              Size{211, 64}, Size{50, 300}, Size{700, 480}}) {
        const Image image = test::make_image(size.width, size.height, number++);
        for (std::uint64_t index = 0; index < 6; ++index) {
          ViewParameters parameters = pair.fused.sample(5, {index, 0, 0}, 0, size);
          if (index == 0) parameters.ops[0].box = {0, 0, size.width, size.height};
          CATCH_CAPTURE(filter, out, size.width, size.height, index);
          CATCH_REQUIRE(pair.difference(image, parameters) <= 2e-6);
        }
      }
    }
  }
}

CATCH_TEST_CASE("each operation alone is the plain one", "[augment][fused]") {
  const Image image = test::make_image(61, 47);
  for (const Json& op :
       {Json{{"type", "horizontal_flip"}, {"p", 1.0}}, Json{{"type", "grayscale"}, {"p", 1.0}},
        Json{{"type", "gaussian_blur"}, {"kernel", 23}, {"p", 1.0}}, kJitter,
        Json{{"type", "normalize"}, {"mean", {0, 0, 0}}, {"std", {1, 1, 1}}}}) {
    const Pair pair(Json::array({crop(40), op}));
    for (std::uint64_t index = 0; index < 20; ++index) {
      const ViewParameters parameters = pair.fused.sample(5, {index, 0, 0}, 0, image.size());
      CATCH_CAPTURE(op.dump(), index);
      CATCH_REQUIRE(pair.difference(image, parameters) <= kOneOp);
    }
  }
}

CATCH_TEST_CASE("a whole chain is the plain one, in all orders of the jitter", "[augment][fused]") {
  const Image image = test::make_image(83, 75);
  const Json normalize = {{"type", "normalize"}};
  const Pair pair(Json::array({crop(48),
                               {{"type", "horizontal_flip"}},
                               kJitter,
                               {{"type", "grayscale"}},
                               {{"type", "gaussian_blur"}, {"kernel", 9}},
                               normalize}));
  const double std = 0.224;  // The smallest: what a difference is divided by.
  std::array<std::uint8_t, 4> order{0, 1, 2, 3};
  std::uint64_t index = 0;
  do {
    for (int repeat = 0; repeat < 4; ++repeat) {
      ViewParameters parameters = pair.fused.sample(5, {index++, 0, 0}, 0, image.size());
      parameters.ops[2].order = order;
      CATCH_REQUIRE(pair.difference(image, parameters) <= kChain / std);
    }
  } while (std::next_permutation(order.begin(), order.end()));
  CATCH_CHECK(index == 96);
}

CATCH_TEST_CASE("solarize is the plain one but on its threshold", "[augment][fused]") {
  const Image image = test::make_image(83, 75);
  const Json before = Json::array({crop(48), kJitter});
  Json chain = before;
  chain.push_back({{"type", "solarize"}, {"p", 1.0}});
  const Pair pair(chain);
  const Pair unsolarized(before);
  std::size_t on_threshold = 0;
  for (std::uint64_t index = 0; index < 30; ++index) {
    const ViewParameters parameters = pair.fused.sample(5, {index, 0, 0}, 0, image.size());
    ViewParameters first = parameters;
    first.ops.pop_back();
    const auto input = test::render_floats(unsolarized.plain, image, 0, first);
    const auto a = test::render_floats(pair.fused, image, 0, parameters);
    const auto b = test::render_floats(pair.plain, image, 0, parameters);
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (std::abs(input[i] - 0.5F) < 1e-5F) {
        ++on_threshold;
      } else if (std::abs(a[i] - b[i]) > kOneOp) {
        CATCH_CAPTURE(index, i, input[i], a[i], b[i]);
        CATCH_REQUIRE(false);
      }
    }
  }
  CATCH_CHECK(on_threshold < 100);
}

CATCH_TEST_CASE("only chains in canonical order fuse; others give the same views op by op",
                "[augment][fused]") {
  const auto fuses = [](const Json& chain) {
    return test::make_augmenter(test::views_of(chain)).fused(0);
  };
  const Json flip = {{"type", "horizontal_flip"}};
  const Json gray = {{"type", "grayscale"}};
  const Json center = {{"type", "center_crop"}, {"size", 20}};
  CATCH_CHECK(fuses(test::full_chain()));
  CATCH_CHECK(fuses(Json::array({crop(20)})));
  CATCH_CHECK_FALSE(fuses(Json::array({crop(20), gray, flip})));
  CATCH_CHECK_FALSE(fuses(Json::array({crop(20), gray, gray})));
  CATCH_CHECK_FALSE(fuses(Json::array({crop(24), center})));
  CATCH_CHECK_FALSE(fuses(Json::array({center, flip})));
}

}  // namespace
}  // namespace clr
