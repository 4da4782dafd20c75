// SPDX-License-Identifier: Apache-2.0
// torchvision's results, with the parameters injected; see test/golden/augment/README.md.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>

#include "augment/chains.h"
#include "support/catch.h"

namespace clr {
namespace {

std::string golden_path(const std::string& name) {
  return std::string(CLR_TEST_DATA_DIR) + "/augment/" + name;
}

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  CATCH_REQUIRE(stream.good());
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

/// The numbers of an npy file (version 1) of type T, and its shape as written in the header.
template <class T>
std::vector<T> read_array(const std::string& name, const std::string& type, std::string& header) {
  const std::string bytes = read_file(golden_path(name));
  CATCH_REQUIRE(bytes.substr(0, 8) == std::string("\x93NUMPY\x01\x00", 8));
  const std::size_t begin =
      10 + static_cast<unsigned char>(bytes[8]) + 256 * static_cast<unsigned char>(bytes[9]);
  header = bytes.substr(10, begin - 10);
  CATCH_REQUIRE(header.find("'descr': '" + type + "'") != std::string::npos);
  CATCH_REQUIRE(header.find("'fortran_order': False") != std::string::npos);
  std::vector<T> values((bytes.size() - begin) / sizeof(T));
  std::memcpy(values.data(), bytes.data() + begin, values.size() * sizeof(T));
  return values;
}

Image read_image(const std::string& name) {
  std::string header;
  Image image;
  image.pixels = read_array<std::uint8_t>(name, "|u1", header);
  const auto shape = header.find("'shape': (");
  CATCH_REQUIRE(std::sscanf(header.c_str() + shape, "'shape': (%d, %d, 3)", &image.height,
                            &image.width) == 2);
  CATCH_REQUIRE(image.pixels.size() == static_cast<std::size_t>(3 * image.width * image.height));
  return image;
}

std::vector<float> expected_values(const Json& output) {
  static std::map<std::string, std::vector<float>> files;
  const std::string name = output["file"];
  if (!files.contains(name)) {
    std::string header;
    files[name] = read_array<float>(name, "<f4", header);
  }
  const std::vector<int> shape = output["shape"];
  const auto begin = files[name].begin() + output["offset"].get<std::ptrdiff_t>();
  return {begin, begin + shape[0] * shape[1] * shape[2]};
}

/// A golden step as one of our operations with its parameters.
struct Step {
  Json options;
  OpParameters parameters;
};

Step make_step(const std::string& op, const Json& params, Size in) {
  static const std::map<std::string, std::uint8_t> parts{
      {"brightness", 0}, {"contrast", 1}, {"saturation", 2}, {"hue", 3}};
  Step step;
  OpParameters& p = step.parameters;
  p.out = in;
  if (op == "resized_crop") {
    p.box = {params["left"], params["top"], params["width"], params["height"]};
    p.out = {params["out_width"], params["out_height"]};
    step.options = {{"type", "random_resized_crop"},
                    {"size", p.out.width},
                    {"interpolation", params["interpolation"]}};
  } else if (op == "resize_short_side") {
    step.options = {
        {"type", "resize"}, {"size", params["size"]}, {"interpolation", params["interpolation"]}};
    p = test::make_op(step.options)->sample({Rng(0, {}, OpId::none), in});
  } else if (op == "center_crop") {
    // Our crops are squares: the two directions are asked for in turn.
    const auto one = [&](const char* side) {
      return test::make_op({{"type", "center_crop"}, {"size", params[side]}})
          ->sample({Rng(0, {}, OpId::none), in});
    };
    const OpParameters across = one("width");
    const OpParameters down = one("height");
    p.box = {across.box.x, down.box.y, across.box.width, down.box.height};
    p.out = {across.out.width, down.out.height};
    step.options = {{"type", "center_crop"}, {"size", p.out.width}};
  } else if (op == "color_jitter" || parts.contains(op)) {
    p.values = {1, 1, 1, 0};
    step.options = {{"type", "color_jitter"}};
    if (op == "color_jitter") {
      for (const auto& [name, part] : parts) p.values[part] = params[name].get<float>();
      for (std::size_t i = 0; i < 4; ++i) p.order[i] = parts.at(params["order"][i]);
    } else {
      p.values[parts.at(op)] = params["factor"].get<float>();
    }
  } else if (op == "gaussian_blur") {
    step.options = {{"type", "gaussian_blur"}, {"kernel", params["kernel"]}};
    p.values[0] = params["sigma"].get<float>();
  } else if (op == "solarize") {
    step.options = {{"type", "solarize"}};
    p.values[0] = params["threshold"].get<float>();
  } else if (op == "normalize") {
    step.options = {{"type", "normalize"}, {"mean", params["mean"]}, {"std", params["std"]}};
  } else {
    step.options = {{"type", op}};
  }
  return step;
}

std::vector<float> run_case(const Json& one, const Image& image) {
  const std::string op = one["op"];
  if (op != "chain") {
    const Step step = make_step(op, one["params"], image.size());
    return test::apply_op(*test::make_op(step.options), step.parameters, image).values;
  }
  Json chain = Json::array();
  ViewParameters parameters;
  Size size = image.size();
  for (const Json& part : one["params"]["steps"]) {
    const Step step = make_step(part["op"], part["params"], size);
    size = step.parameters.out;
    chain.push_back(step.options);
    parameters.ops.push_back(step.parameters);
  }
  const Augmenter augmenter = test::make_augmenter(test::views_of(chain));
  return test::render_floats(augmenter, image, 0, parameters);
}

double largest_difference(const std::vector<float>& got, const std::vector<float>& expected) {
  CATCH_REQUIRE(got.size() == expected.size());
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    CATCH_REQUIRE(std::isfinite(got[i]));
    largest = std::max(largest, std::abs(static_cast<double>(got[i]) - expected[i]));
  }
  return largest;
}

CATCH_TEST_CASE("operations and chains give torchvision's results", "[augment]") {
  const std::map<std::string, double> tolerances{
      {"resized_crop", 1e-5},  {"resize_short_side", 1e-5},
      {"center_crop", 0},      {"horizontal_flip", 0},
      {"brightness", 1e-6},    {"contrast", 1e-6},
      {"saturation", 1e-6},    {"hue", 1e-5},
      {"color_jitter", 1e-5},  {"grayscale", 1e-6},
      {"gaussian_blur", 4e-5}, {"solarize", 1e-6},
      {"normalize", 1e-6},     {"chain", 0.05 / 255}};
  const Json cases = Json::parse(read_file(golden_path("cases.json")))["cases"];
  std::map<std::string, int> counts;
  for (const Json& one : cases) {
    CATCH_CAPTURE(one.dump());
    const std::string op = one["op"];
    const Image image = read_image(one["input"]);
    const double difference =
        largest_difference(run_case(one, image), expected_values(one["output"]));
    CATCH_CHECK(difference <= tolerances.at(op));
    ++counts[op];
  }
  for (const auto& [op, tolerance] : tolerances) {
    CATCH_CAPTURE(op);
    CATCH_CHECK(counts[op] > 0);
  }
}

}  // namespace
}  // namespace clr
