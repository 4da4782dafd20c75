// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/augmenter.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>
#include <thread>

#include "augment/chains.h"
#include "support/catch.h"

namespace clr {
namespace {

Json crop_chain(int size) {
  return Json::array({Json{{"type", "random_resized_crop"}, {"size", size}}});
}

std::vector<float> view_of(const Augmenter& augmenter, const Image& image, std::uint64_t index,
                           int view = 0, std::uint32_t epoch = 0) {
  const ViewParameters parameters = augmenter.sample(3, {index, 0, epoch}, view, image.size());
  return test::render_floats(augmenter, image, view, parameters);
}

CATCH_TEST_CASE("views are numbered over the entries, and grouped by size", "[augment]") {
  const Augmenter augmenter = test::make_augmenter(Json::array(
      {Json{{"count", 2}, {"chain", crop_chain(32)}}, Json{{"count", 3}, {"chain", crop_chain(12)}},
       Json{{"chain", crop_chain(32)}}}));
  CATCH_CHECK(augmenter.view_count() == 6);
  CATCH_CHECK(augmenter.view_size(1) == Size{32, 32});
  CATCH_CHECK(augmenter.view_size(2) == Size{12, 12});
  CATCH_CHECK(augmenter.view_size(5) == Size{32, 32});
  CATCH_REQUIRE(augmenter.groups().size() == 2);
  CATCH_CHECK(augmenter.groups()[0].size == Size{32, 32});
  CATCH_CHECK(augmenter.groups()[0].views == std::vector<int>{0, 1, 5});
  CATCH_CHECK(augmenter.groups()[1].size == Size{12, 12});
  CATCH_CHECK(augmenter.groups()[1].views == std::vector<int>{2, 3, 4});
}

CATCH_TEST_CASE("op by op, a rendered view is its operations one by one", "[augment]") {
  const Image image = test::make_image(41, 29);
  const Json chain = test::full_chain();
  const Augmenter augmenter(test::read_augment(test::views_of(chain, 2)), Place("test"),
                            Rendering::op_by_op);
  for (std::uint64_t index = 0; index < 40; ++index) {
    const ViewParameters parameters = augmenter.sample(3, {index, 0, 0}, 1, image.size());
    CATCH_REQUIRE(parameters.ops.size() == chain.size());
    Planes planes = test::to_planes(image, parameters.ops[0].box);
    for (std::size_t i = 0; i < chain.size(); ++i) {
      if (parameters.ops[i].active) test::make_op(chain[i])->apply(parameters.ops[i], planes);
    }
    CATCH_REQUIRE(test::render_floats(augmenter, image, 1, parameters) == planes.values);
  }
}

CATCH_TEST_CASE("views depend on seed, index, view and epoch, and on nothing else", "[augment]") {
  const Image image = test::make_image(32, 32);
  const Augmenter augmenter = test::make_augmenter(test::views_of(test::full_chain(), 2));
  const Augmenter twin = test::make_augmenter(test::views_of(test::full_chain(), 2));
  const auto base = view_of(augmenter, image, 4);
  CATCH_CHECK(view_of(augmenter, image, 5) != base);
  CATCH_CHECK(view_of(augmenter, image, 4, 1) != base);
  CATCH_CHECK(view_of(augmenter, image, 4, 0, 1) != base);
  CATCH_CHECK(view_of(twin, image, 4) == base);
  // The number in the address is the caller's view, which sample() replaces by its own.
  const bool same = twin.sample(3, {4, 99, 0}, 1, image.size()) ==
                    augmenter.sample(3, {4, 0, 0}, 1, image.size());
  CATCH_CHECK(same);
  const bool other_seed =
      twin.sample(4, {4, 0, 0}, 1, image.size()) == augmenter.sample(3, {4, 0, 0}, 1, image.size());
  CATCH_CHECK_FALSE(other_seed);
}

CATCH_TEST_CASE("threads render the same bytes", "[augment]") {
  const Augmenter augmenter = test::make_augmenter(test::views_of(test::full_chain()));
  std::vector<Image> images;
  std::vector<std::vector<float>> expected;
  for (std::uint64_t i = 0; i < 24; ++i) {
    images.push_back(test::make_image(20 + static_cast<int>(i), 50 - static_cast<int>(i), i));
    expected.push_back(view_of(augmenter, images.back(), i));
  }
  std::vector<std::vector<float>> got(images.size());
  std::vector<std::thread> threads;
  for (std::size_t first = 0; first < 3; ++first) {
    threads.emplace_back([&, first] {
      for (std::size_t i = first; i < images.size(); i += 3) {
        got[i] = view_of(augmenter, images[i], i);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CATCH_CHECK(got == expected);
}

CATCH_TEST_CASE("switching an operation off shifts no other's draws", "[augment]") {
  const Json chain = test::full_chain();
  const Augmenter full = test::make_augmenter(test::views_of(chain));
  for (std::size_t off = 1; off < chain.size(); ++off) {
    CATCH_CAPTURE(chain[off]["type"]);
    Json without = chain;
    without.erase(off);
    const Augmenter shorter = test::make_augmenter(test::views_of(without));
    Json silenced = chain;
    if (silenced[off].contains("p")) silenced[off]["p"] = 0.0;
    const Augmenter silent = test::make_augmenter(test::views_of(silenced));
    for (std::uint64_t index = 0; index < 20; ++index) {
      auto ops = full.sample(3, {index, 0, 0}, 0, {40, 30}).ops;
      auto quiet = silent.sample(3, {index, 0, 0}, 0, {40, 30}).ops;
      const auto fewer = shorter.sample(3, {index, 0, 0}, 0, {40, 30}).ops;
      ops.erase(ops.begin() + static_cast<std::ptrdiff_t>(off));
      quiet.erase(quiet.begin() + static_cast<std::ptrdiff_t>(off));
      const bool unshifted = ops == fewer;
      CATCH_REQUIRE(unshifted);
      const bool silenced_unshifted = quiet == fewer;
      CATCH_REQUIRE(silenced_unshifted);
    }
  }
}

CATCH_TEST_CASE("an operation that stands twice in a chain draws twice", "[augment]") {
  Json chain = test::full_chain();
  const Augmenter once = test::make_augmenter(test::views_of(chain));
  chain.push_back(chain[2]);
  const Augmenter twice = test::make_augmenter(test::views_of(chain));
  int same = 0;
  for (std::uint64_t index = 0; index < 50; ++index) {
    const auto ops = twice.sample(3, {index, 0, 0}, 0, {40, 30}).ops;
    CATCH_REQUIRE(ops[2] == once.sample(3, {index, 0, 0}, 0, {40, 30}).ops[2]);
    same += ops[2].values == ops[7].values ? 1 : 0;
  }
  CATCH_CHECK(same == 0);
}

/// The nearest bfloat16 by search, ties to the even one: an independent rounding.
std::uint16_t nearest_bfloat16(float value) {
  const auto down = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
  const auto up = static_cast<std::uint16_t>(down + 1);  // Further from zero, for either sign.
  const auto wide = [](std::uint16_t half) {
    return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16));
  };
  const double to_down = std::abs(wide(down) - static_cast<double>(value));
  const double to_up = std::abs(wide(up) - static_cast<double>(value));
  if (to_down != to_up) return to_down < to_up ? down : up;
  return down % 2 == 0 ? down : up;
}

CATCH_TEST_CASE("bfloat16 and interleaved views hold the same picture", "[augment]") {
  const Image image = test::make_image(33, 27);
  for (const int size : {24, 7, 1}) {
    Json chain = test::full_chain();
    chain[0]["size"] = size;
    if (size < 3) chain.erase(4);  // The blur's kernel would not fit.
    const Augmenter augmenter = test::make_augmenter(test::views_of(chain));
    const auto parameters = augmenter.sample(1, {6, 0, 0}, 0, image.size());
    const std::vector<float> planar = test::render_floats(augmenter, image, 0, parameters);
    const std::size_t pixels = planar.size() / 3;
    std::vector<float> interleaved(planar.size());
    std::vector<std::uint16_t> rounded(planar.size());
    std::vector<std::uint16_t> both(planar.size());
    augmenter.render(image, 0, parameters,
                     {interleaved.data(), PixelType::float32, PixelLayout::interleaved});
    augmenter.render(image, 0, parameters,
                     {rounded.data(), PixelType::bfloat16, PixelLayout::planar});
    augmenter.render(image, 0, parameters,
                     {both.data(), PixelType::bfloat16, PixelLayout::interleaved});
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t i = 0; i < pixels; ++i) {
        const float value = planar[c * pixels + i];
        CATCH_REQUIRE(interleaved[3 * i + c] == value);
        CATCH_REQUIRE(rounded[c * pixels + i] == nearest_bfloat16(value));
        CATCH_REQUIRE(both[3 * i + c] == nearest_bfloat16(value));
      }
    }
  }
}

// A white pixel less these means is 1 + 1/256, 1 + 3/256 and -1 - 1/256: halfway between
// neighbours.
CATCH_TEST_CASE("bfloat16 ties go to the even neighbour", "[augment]") {
  const Json normalize{
      {"type", "normalize"}, {"mean", {-1.0 / 256, -3.0 / 256, 2 + 1.0 / 256}}, {"std", {1, 1, 1}}};
  const Augmenter augmenter = test::make_augmenter(test::views_of({crop_chain(1)[0], normalize}));
  const Image white{1, 1, {255, 255, 255}};
  const ViewParameters parameters = augmenter.sample(0, {}, 0, white.size());
  for (const PixelLayout layout : {PixelLayout::planar, PixelLayout::interleaved}) {
    std::vector<std::uint16_t> view(3);
    augmenter.render(white, 0, parameters, {view.data(), PixelType::bfloat16, layout});
    CATCH_CHECK(view == std::vector<std::uint16_t>{0x3F80, 0x3F82, 0xBF80});
  }
}

CATCH_TEST_CASE("rendering writes its view and not a byte more", "[augment]") {
  const Image image = test::make_image(9, 5);
  const Augmenter augmenter = test::make_augmenter(test::views_of(crop_chain(7)));
  const auto parameters = augmenter.sample(1, {0, 0, 0}, 0, image.size());
  for (const PixelLayout layout : {PixelLayout::planar, PixelLayout::interleaved}) {
    std::vector<std::uint16_t> halves(3 * 49 + 16, 0xABCD);
    augmenter.render(image, 0, parameters, {halves.data(), PixelType::bfloat16, layout});
    CATCH_CHECK(std::count(halves.begin(), halves.end(), 0xABCD) == 16);
    std::vector<float> floats(3 * 49 + 16, -7.0F);
    augmenter.render(image, 0, parameters, {floats.data(), PixelType::float32, layout});
    CATCH_CHECK(std::count(floats.begin(), floats.end(), -7.0F) == 16);
  }
}

CATCH_TEST_CASE("odd sizes and single pixels can be rendered", "[augment]") {
  Json chain = test::full_chain();
  chain[0]["size"] = 9;
  const Augmenter train = test::make_augmenter(test::views_of(chain));
  const Augmenter evaluate = test::make_augmenter(test::views_of(
      Json::parse(R"([{"type": "resize", "size": 9}, {"type": "center_crop", "size": 9}])")));
  for (const Size size : {Size{1, 1}, Size{1, 40}, Size{40, 1}, Size{2, 3}, Size{31, 17}}) {
    const Image image = test::make_image(size.width, size.height);
    for (std::uint64_t index = 0; index < 20; ++index) {
      for (const float value : view_of(train, image, index)) {
        CATCH_REQUIRE(std::isfinite(value));
      }
    }
    for (const float value : view_of(evaluate, image, 0)) {
      CATCH_REQUIRE(value >= 0.0F);
      CATCH_REQUIRE(value <= 1.0F);
    }
  }
  const Image pixel{1, 1, {255, 51, 0}};
  const std::vector<float> enlarged =
      view_of(test::make_augmenter(test::views_of(crop_chain(5))), pixel, 0);
  for (std::size_t i = 0; i < 25; ++i) {
    CATCH_CHECK(enlarged[i] == 1.0F);
    CATCH_CHECK_THAT(enlarged[25 + i], Catch::Matchers::WithinULP(0.2F, 1));
    CATCH_CHECK(enlarged[50 + i] == 0.0F);
  }
}

CATCH_TEST_CASE("center_crop frames a smaller image with zeros", "[augment]") {
  const Image image = test::make_image(3, 8);
  const Augmenter augmenter =
      test::make_augmenter(test::views_of(Json::parse(R"([{"type": "center_crop", "size": 6}])")));
  const std::vector<float> view = view_of(augmenter, image, 0);
  for (int y = 0; y < 6; ++y) {
    for (int x = 0; x < 6; ++x) {
      const bool inside = x >= 1 && x < 4;
      const auto from = static_cast<std::size_t>(3 * ((y + 1) * 3 + x - 1));
      const float expected = inside ? static_cast<float>(image.pixels[from]) / 255.0F : 0.0F;
      CATCH_CHECK(view[static_cast<std::size_t>(6 * y + x)] == expected);
    }
  }
}

CATCH_TEST_CASE("a crop after other operations takes its part of what they leave", "[augment]") {
  const Image image = test::make_image(50, 20);
  const Json chain = Json::parse(
      R"([{"type": "horizontal_flip", "p": 1.0}, {"type": "resize", "size": 10},
          {"type": "center_crop", "size": 7}])");
  const Augmenter augmenter = test::make_augmenter(test::views_of(chain));
  const auto parameters = augmenter.sample(0, {}, 0, image.size());
  CATCH_CHECK(parameters.ops[1].out == Size{25, 10});
  CATCH_CHECK(parameters.ops[2].box == Region{9, 2, 7, 7});
  Planes planes = test::to_planes(image, {0, 0, 50, 20});
  test::make_op(chain[0])->apply(parameters.ops[0], planes);
  test::make_op(chain[1])->apply(parameters.ops[1], planes);
  const std::vector<float> view = test::render_floats(augmenter, image, 0, parameters);
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < 7; ++y) {
      for (int x = 0; x < 7; ++x) {
        CATCH_REQUIRE(view[static_cast<std::size_t>(49 * c + 7 * y + x)] ==
                      planes.plane(c)[25 * (y + 2) + x + 9]);
      }
    }
  }
}

/// The message of the Error{config} that an `augment` section throws.
std::string message_of(const Json& views) {
  try {
    test::make_augmenter(views);
  } catch (const Error& error) {
    CATCH_CHECK(error.kind() == ErrorKind::config);
    return error.what();
  }
  return "";
}

CATCH_TEST_CASE("mistakes in a chain name their place", "[augment]") {
  const auto check = [](const Json& views, const std::string& start) {
    const std::string message = message_of(views);
    CATCH_CAPTURE(views.dump(), message);
    CATCH_CHECK(message.rfind(start, 0) == 0);
    CATCH_CHECK(message.find('\n') == std::string::npos);
  };
  check(Json::array(), "test: /augment/views: expected at least one group of views");
  check(test::views_of(Json::array()), "test: /augment/views/0/chain: expected a chain that fixes");
  check(test::views_of(Json::parse(R"([{"type": "resize", "size": 32}])")),
        "test: /augment/views/0/chain: expected a chain that fixes");
  const Json crop = crop_chain(11)[0];
  const auto blur = [](int kernel) { return Json{{"type", "gaussian_blur"}, {"kernel", kernel}}; };
  check(test::views_of({crop, blur(23)}),
        "test: /augment/views/0/chain/1/kernel: expected at most 21");
  check(Json::array({Json{{"chain", crop_chain(32)}}, Json{{"chain", {crop, blur(23)}}}}),
        "test: /augment/views/1/chain/1/kernel: expected at most 21");
  CATCH_CHECK(message_of(test::views_of({crop, blur(21)})).empty());
  // Before a crop the size is the image's: nothing can be said.
  CATCH_CHECK(message_of(test::views_of({blur(23), crop})).empty());
  check(Json::array({Json{{"count", 255}, {"chain", {crop}}}, Json{{"chain", {crop}}}}),
        "test: /augment/views: expected at most 255 views");
}

CATCH_TEST_CASE("a resize to a monstrous strip is refused as bad data", "[augment]") {
  const Augmenter augmenter = test::make_augmenter(test::views_of(
      Json::parse(R"([{"type": "resize", "size": 256}, {"type": "center_crop", "size": 224}])")));
  try {
    augmenter.sample(0, {}, 0, {60000, 1});
    CATCH_FAIL("no error");
  } catch (const Error& error) {
    CATCH_CHECK(error.kind() == ErrorKind::data);
  }
}

CATCH_TEST_CASE("parameters of another image are refused, not read beyond its end", "[augment]") {
  const Augmenter augmenter = test::make_augmenter(test::views_of(crop_chain(8)));
  const Image small = test::make_image(6, 6);
  ViewParameters parameters = augmenter.sample(0, {}, 0, {300, 300});
  std::vector<float> view(3 * 64);
  const Destination destination{view.data(), PixelType::float32, PixelLayout::planar};
  CATCH_CHECK_THROWS_AS(augmenter.render(small, 0, parameters, destination), std::logic_error);
  parameters.ops.clear();
  CATCH_CHECK_THROWS_AS(augmenter.render(small, 0, parameters, destination), std::logic_error);
}

CATCH_TEST_CASE("a view's parameters are described operation by operation", "[augment]") {
  const Json chain = test::full_chain();
  const Augmenter augmenter = test::make_augmenter(test::views_of(chain, 2));
  int left_out = 0;
  for (std::uint64_t index = 0; index < 30; ++index) {
    const ViewParameters parameters = augmenter.sample(3, {index, 0, 0}, 1, {40, 30});
    const Json said = augmenter.describe(1, parameters);
    CATCH_REQUIRE(said.size() == chain.size());
    for (std::size_t i = 0; i < chain.size(); ++i) {
      CATCH_REQUIRE(said[i].at("type") == chain[i].at("type"));
      CATCH_REQUIRE(said[i].at("applied") == parameters.ops[i].active);
      if (parameters.ops[i].active) continue;
      CATCH_REQUIRE(said[i].size() == 2);
      ++left_out;
    }
    CATCH_REQUIRE(said[0].at("box").at("width") == parameters.ops[0].box.width);
  }
  CATCH_CHECK(left_out > 30);
  CATCH_CHECK_THROWS_AS(augmenter.describe(1, ViewParameters{}), std::logic_error);
}

}  // namespace
}  // namespace clr
