// SPDX-License-Identifier: Apache-2.0
// What must hold of every operation, those that are not written yet included.
#include <algorithm>
#include <cmath>
#include <set>

#include "augment/chains.h"
#include "clr/augment/resample.h"
#include "support/catch.h"

namespace clr {
namespace {

/// The default options of an operation, with the probability given where it has one.
Json options_of(const ComponentInfo& info, double p = 1.0) {
  Json json = info.resolve({{"type", info.name}}, Place("test"));
  if (json.contains("p")) json["p"] = p;
  json["type"] = info.name;
  return json;
}

SampleContext context_of(const Augmentation& op, std::uint64_t index, std::uint32_t view, Size in) {
  return {Rng(11, {index, view, 2}, op.id()), in};
}

const std::vector<Size>& sizes() {
  static const std::vector<Size> sizes{{1, 1},   {1, 7},   {9, 1},   {5, 3},
                                       {32, 32}, {61, 40}, {37, 300}};
  return sizes;
}

CATCH_TEST_CASE("every operation's draws have an owner of their own", "[augment]") {
  std::set<OpId> ids;
  std::set<std::string> names;
  for (const ComponentInfo* info : augmentations().infos()) {
    CATCH_CAPTURE(info->name);
    CATCH_CHECK(names.insert(info->name).second);
    CATCH_CHECK(!info->help.empty());
    const OpId id = test::make_op({{"type", info->name}})->id();
    const auto number = static_cast<std::uint32_t>(id);
    CATCH_CHECK(number < 64);
    if (id != OpId::none) CATCH_CHECK(ids.insert(id).second);
  }
  CATCH_CHECK(names.size() >= 9);
}

CATCH_TEST_CASE("every operation leaves the size it says, and finite values", "[augment]") {
  for (const ComponentInfo* info : augmentations().infos()) {
    const auto op = test::make_op(options_of(*info));
    for (const Size in : sizes()) {
      CATCH_CAPTURE(info->name, in.width, in.height);
      const Image image = test::make_image(in.width, in.height);
      for (std::uint64_t index = 0; index < 5; ++index) {
        const OpParameters parameters = op->sample(context_of(*op, index, 0, in));
        CATCH_REQUIRE(parameters.active);
        const Planes planes = test::apply_op(*op, parameters, image);
        CATCH_REQUIRE(planes.size() == parameters.out);
        CATCH_REQUIRE(planes.values.size() == 3 * planes.plane_size());
        const auto [low, high] = std::minmax_element(planes.values.begin(), planes.values.end());
        CATCH_REQUIRE(std::all_of(planes.values.begin(), planes.values.end(),
                                  [](float x) { return std::isfinite(x); }));
        if (info->name == "normalize") continue;
        CATCH_REQUIRE(*low >= 0.0F);
        CATCH_REQUIRE(*high <= 1.0F);
      }
    }
  }
}

CATCH_TEST_CASE("what an operation reads lies inside its input", "[augment]") {
  for (const ComponentInfo* info : augmentations().infos()) {
    const auto op = test::make_op(options_of(*info));
    for (const Size in : sizes()) {
      CATCH_CAPTURE(info->name, in.width, in.height);
      for (std::uint64_t index = 0; index < 200; ++index) {
        const OpParameters parameters = op->sample(context_of(*op, index, 0, in));
        const Region region = op->source(parameters).value_or(Region{0, 0, in.width, in.height});
        CATCH_REQUIRE(region.x >= 0);
        CATCH_REQUIRE(region.y >= 0);
        CATCH_REQUIRE(region.width >= 1);
        CATCH_REQUIRE(region.height >= 1);
        CATCH_REQUIRE(region.x + region.width <= in.width);
        CATCH_REQUIRE(region.y + region.height <= in.height);
      }
    }
  }
}

CATCH_TEST_CASE("the size known from the configuration is the size drawn", "[augment]") {
  for (const ComponentInfo* info : augmentations().infos()) {
    CATCH_CAPTURE(info->name);
    const auto op = test::make_op(options_of(*info));
    const Size in{40, 52};
    const OpParameters parameters = op->sample(context_of(*op, 3, 1, in));
    CATCH_CHECK(op->output_size(in, Place("test")) == parameters.out);
    const auto blind = op->output_size(std::nullopt, Place("test"));
    if (blind) CATCH_CHECK(*blind == parameters.out);
  }
}

CATCH_TEST_CASE("an operation of probability 0 is never active, of 1 always", "[augment]") {
  int with_probability = 0;
  for (const ComponentInfo* info : augmentations().infos()) {
    if (!options_of(*info).contains("p")) continue;
    CATCH_CAPTURE(info->name);
    ++with_probability;
    const auto never = test::make_op(options_of(*info, 0.0));
    const auto always = test::make_op(options_of(*info, 1.0));
    const auto sometimes = test::make_op(options_of(*info, 0.3));
    int active = 0;
    constexpr int kCount = 5000;
    for (std::uint64_t index = 0; index < kCount; ++index) {
      const SampleContext context = context_of(*never, index, 0, {8, 6});
      const OpParameters parameters = never->sample(context);
      CATCH_REQUIRE(!parameters.active);
      CATCH_REQUIRE(parameters.out == Size{8, 6});
      CATCH_REQUIRE(always->sample(context).active);
      active += sometimes->sample(context).active ? 1 : 0;
    }
    CATCH_CHECK(std::abs(active - 0.3 * kCount) < 5 * std::sqrt(0.3 * 0.7 * kCount));
  }
  CATCH_CHECK(with_probability >= 5);
}

CATCH_TEST_CASE("a draw depends on its address alone", "[augment]") {
  const Image image = test::make_image(30, 26);
  for (const ComponentInfo* info : augmentations().infos()) {
    CATCH_CAPTURE(info->name);
    Json options = options_of(*info, 0.5);
    if (info->name == "random_resized_crop") options["size"] = 20;
    const auto op = test::make_op(options);
    const auto twin = test::make_op(options);
    std::vector<OpParameters> drawn;
    for (std::uint64_t index = 0; index < 64; ++index) {
      drawn.push_back(op->sample(context_of(*op, index, 0, image.size())));
    }
    int same_in_other_view = 0;
    for (std::uint64_t index = 64; index-- > 0;) {  // The other way round, by another object.
      CATCH_REQUIRE(twin->sample(context_of(*op, index, 0, image.size())) == drawn[index]);
      const OpParameters other = twin->sample(context_of(*op, index, 1, image.size()));
      same_in_other_view += other == drawn[index] ? 1 : 0;
    }
    if (op->id() == OpId::none) {
      CATCH_CHECK(same_in_other_view == 64);
    } else {
      CATCH_CHECK(same_in_other_view < 56);
    }
    const Planes once = test::apply_op(*op, drawn[0], image);
    const Planes again = test::apply_op(*twin, drawn[0], image);
    CATCH_CHECK(once.values == again.values);
  }
}

/// Whether every number in it is finite.
bool all_finite(const Json& json) {
  if (json.is_number()) return std::isfinite(json.get<double>());
  return std::all_of(json.begin(), json.end(), [](const Json& part) {
    return part.is_structured() || part.is_number() ? all_finite(part) : true;
  });
}

CATCH_TEST_CASE("every operation says all that it drew", "[augment]") {
  for (const ComponentInfo* info : augmentations().infos()) {
    CATCH_CAPTURE(info->name);
    Json options = options_of(*info);
    if (info->name == "color_jitter") {
      for (const char* key : {"brightness", "contrast", "saturation", "hue"}) options[key] = 0.3;
    }
    const auto op = test::make_op(options);
    const auto twin = test::make_op(options);
    std::vector<OpParameters> drawn;
    for (std::uint64_t index = 0; index < 40; ++index) {
      drawn.push_back(op->sample(context_of(*op, index, 0, {40, 52})));
    }
    bool complete = true;
    for (const OpParameters& one : drawn) {
      const Json said = op->describe(one);
      CATCH_REQUIRE(said.is_object());
      CATCH_REQUIRE(!said.contains("type"));
      CATCH_REQUIRE(!said.contains("applied"));
      CATCH_REQUIRE(all_finite(said));
      CATCH_REQUIRE(said == twin->describe(one));
      // Who draws something else says something else.
      for (const OpParameters& other : drawn) {
        complete = complete && (said == op->describe(other)) == (one == other);
      }
    }
    CATCH_CHECK(complete);
  }
}

CATCH_TEST_CASE("the box that a crop describes is what it crops", "[augment]") {
  const Image image = test::make_image(61, 40);
  for (const char* name : {"random_resized_crop", "center_crop"}) {
    CATCH_CAPTURE(name);
    const auto op = test::make_op({{"type", name}, {"size", 24}});
    for (std::uint64_t index = 0; index < 50; ++index) {
      const OpParameters parameters = op->sample(context_of(*op, index, 0, image.size()));
      const Json said = op->describe(parameters);
      const auto number = [&](const char* key) { return said.at("box").at(key).get<int>(); };
      const Region box{number("x"), number("y"), number("width"), number("height")};
      Planes expected = test::to_planes(image, box);
      resample(expected, {said.at("size").at(0), said.at("size").at(1)}, Interpolation::bilinear);
      const Planes cropped = test::apply_op(*op, parameters, image);
      CATCH_REQUIRE(cropped.size() == expected.size());
      CATCH_REQUIRE((cropped.values == expected.values));
    }
  }
}

/// The message of the error that reading `json` as an operation throws.
std::string message_of(const Json& json) {
  try {
    Component<Augmentation> component;
    component.read(json, Place("c.json") / "chain" / 0);
  } catch (const Error& error) {
    CATCH_CHECK(error.kind() == ErrorKind::config);
    return error.what();
  }
  return "";
}

CATCH_TEST_CASE("mistakes in an operation's options name their place", "[augment]") {
  const auto check = [](const char* json, const std::string& place) {
    const std::string message = message_of(Json::parse(json));
    CATCH_CAPTURE(json, message);
    CATCH_CHECK(message.rfind("c.json: /chain/0" + place + ": ", 0) == 0);
    CATCH_CHECK(message.find('\n') == std::string::npos);
  };
  check(R"({"type": "random_resized_crop", "scale": [0.9, 0.1]})", "/scale");
  check(R"({"type": "random_resized_crop", "scale": [0.1, 1.5]})", "/scale/1");
  check(R"({"type": "random_resized_crop", "scale": [0.1]})", "/scale");
  check(R"({"type": "random_resized_crop", "ratio": [2, 1]})", "/ratio");
  check(R"({"type": "random_resized_crop", "ratio": [0, 1]})", "/ratio/0");
  check(R"({"type": "random_resized_crop", "size": 0})", "/size");
  check(R"({"type": "random_resized_crop", "interpolation": "nearest"})", "/interpolation");
  check(R"({"type": "horizontal_flip", "p": 1.5})", "/p");
  check(R"({"type": "horizontal_flip", "q": 1.5})", "/q");
  check(R"({"type": "color_jitter", "hue": 0.6})", "/hue");
  check(R"({"type": "color_jitter", "contrast": -0.1})", "/contrast");
  check(R"({"type": "gaussian_blur", "kernel": 4})", "/kernel");
  check(R"({"type": "gaussian_blur", "sigma": [2, 1]})", "/sigma");
  check(R"({"type": "gaussian_blur", "sigma": [0, 1]})", "/sigma/0");
  check(R"({"type": "solarize", "threshold": 128})", "/threshold");
  check(R"({"type": "normalize", "std": [0.2, 0, 0.2]})", "/std/1");
  check(R"({"type": "center_crop", "size": 3.5})", "/size");
  check(R"({"type": "colour_jitter"})", "/type");
  CATCH_CHECK(message_of({{"type", "gaussian_blur"}, {"kernel", 5}}).empty());
  CATCH_CHECK(message_of({{"type", "colour_jitter"}}).find("did you mean \"color_jitter\"?") !=
              std::string::npos);
}

}  // namespace
}  // namespace clr
