// SPDX-License-Identifier: Apache-2.0
// Results of torchvision on tensors and on Pillow images, and of TensorFlow, with the parameters
// injected; see the READMEs in test/golden/augment, augment_pil and augment_tf.
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

/// `name` is a path below test/golden.
std::string golden_path(const std::string& name) {
  return std::string(CLR_TEST_DATA_DIR) + "/" + name;
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
  image.pixels = read_array<std::uint8_t>("augment/" + name, "|u1", header);
  const auto shape = header.find("'shape': (");
  CATCH_REQUIRE(std::sscanf(header.c_str() + shape, "'shape': (%d, %d, 3)", &image.height,
                            &image.width) == 2);
  CATCH_REQUIRE(image.pixels.size() == static_cast<std::size_t>(3 * image.width * image.height));
  return image;
}

std::vector<float> read_values(const std::string& name, AugmentCompat compat) {
  std::string header;
  if (compat != AugmentCompat::pil) return read_array<float>(name, "<f4", header);
  std::vector<float> values;
  for (const std::uint8_t byte : read_array<std::uint8_t>(name, "|u1", header)) {
    values.push_back(static_cast<float>(byte) / 255.0F);
  }
  return values;
}

std::string folder_of(AugmentCompat compat) {
  switch (compat) {
    case AugmentCompat::torchvision:
      return "augment";
    case AugmentCompat::pil:
      return "augment_pil";
    case AugmentCompat::simclr_tf:
      return "augment_tf";
  }
  return "";
}

std::vector<float> expected_values(const Json& output, AugmentCompat compat) {
  static std::map<std::string, std::vector<float>> files;
  const std::string name = folder_of(compat) + "/" + output["file"].get<std::string>();
  if (!files.contains(name)) files[name] = read_values(name, compat);
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

std::unique_ptr<Augmentation> make_op(const Json& options, AugmentCompat compat) {
  auto op = test::make_op(options);
  auto other = op->as(compat);
  return other ? std::move(other) : std::move(op);
}

std::vector<float> run_case(const Json& one, const Image& image, AugmentCompat compat) {
  const std::string op = one["op"];
  if (op != "chain") {
    const Step step = make_step(op, one["params"], image.size());
    return test::apply_op(*make_op(step.options, compat), step.parameters, image).values;
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
  if (compat == AugmentCompat::simclr_tf) {  // whose chains end with a clip here
    OpParameters clip;
    clip.out = size;
    parameters.ops.push_back(clip);
  }
  AugmentConfig config = test::read_augment(test::views_of(chain));
  config.compat = compat;
  const Augmenter augmenter(config);
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

/// Holds every case of a folder to the tolerance of its operation; each must have cases.
void check_cases(AugmentCompat compat, const std::map<std::string, double>& tolerances) {
  const Json cases =
      Json::parse(read_file(golden_path(folder_of(compat) + "/cases.json")))["cases"];
  std::map<std::string, int> counts;
  for (const Json& one : cases) {
    CATCH_CAPTURE(one.dump());
    const std::string op = one["op"];
    const Image image = read_image(one["input"]);
    const double difference =
        largest_difference(run_case(one, image, compat), expected_values(one["output"], compat));
    CATCH_CHECK(difference <= tolerances.at(op));
    ++counts[op];
  }
  for (const auto& [op, tolerance] : tolerances) {
    CATCH_CAPTURE(op);
    CATCH_CHECK(counts[op] > 0);
  }
}

CATCH_TEST_CASE("operations and chains give torchvision's results", "[augment]") {
  check_cases(AugmentCompat::torchvision, {{"resized_crop", 1e-5},
                                           {"resize_short_side", 1e-5},
                                           {"center_crop", 0},
                                           {"horizontal_flip", 0},
                                           {"brightness", 1e-6},
                                           {"contrast", 1e-6},
                                           {"saturation", 1e-6},
                                           {"hue", 1e-5},
                                           {"color_jitter", 1e-5},
                                           {"grayscale", 1e-6},
                                           {"gaussian_blur", 4e-5},
                                           {"solarize", 1e-6},
                                           {"normalize", 1e-6},
                                           {"chain", 0.05 / 255}});
}

CATCH_TEST_CASE("augment.compat = pil gives torchvision's results on Pillow images",
                "[augment][compat]") {
  // To the bit, but where the blur's float sum lies half-way between two bytes.
  constexpr double kOneByte = 1.0 / 255 + 1e-6;
  check_cases(AugmentCompat::pil, {{"resized_crop", 0},
                                   {"resize_short_side", 0},
                                   {"center_crop", 0},
                                   {"horizontal_flip", 0},
                                   {"brightness", 0},
                                   {"contrast", 0},
                                   {"saturation", 0},
                                   {"hue", 0},
                                   {"color_jitter", 0},
                                   {"grayscale", 0},
                                   {"solarize", 0},
                                   {"gaussian_blur", kOneByte},
                                   {"chain", kOneByte}});
}

CATCH_TEST_CASE("augment.compat = simclr-tf gives TensorFlow's results", "[augment][compat]") {
  check_cases(AugmentCompat::simclr_tf, {{"resized_crop", 1e-5},
                                         {"color_jitter", 2e-5},
                                         {"grayscale", 1e-6},
                                         {"gaussian_blur", 4e-5},
                                         {"chain", 0.05 / 255}});
}

CATCH_TEST_CASE("augment.compat = simclr-tf draws crops as TensorFlow does", "[augment][compat]") {
  const Json golden = Json::parse(read_file(golden_path("augment_tf/cases.json")))["crops"];
  const auto op =
      make_op({{"type", "random_resized_crop"}, {"size", 32}}, AugmentCompat::simclr_tf);
  constexpr std::uint64_t kDraws = 20000;
  for (const Json& expected : golden) {
    CATCH_CAPTURE(expected.dump());
    const Size in{expected["width"], expected["height"]};
    const double whole = static_cast<double>(in.width) * in.height;
    std::vector<double> areas;
    std::map<std::string, double> sums;
    for (std::uint64_t i = 0; i < kDraws; ++i) {
      const Region box = op->sample({Rng(9, {i, 0, 0}, op->id()), in}).box;
      areas.push_back(static_cast<double>(box.width) * box.height / whole);
      sums["mean_area"] += areas.back();
      sums["mean_top"] += box.y;
      sums["mean_left"] += box.x;
      sums["mean_crop_height"] += box.height;
      sums["mean_crop_width"] += box.width;
    }
    std::sort(areas.begin(), areas.end());
    // Two samples of 20,000: six standard errors of a mean are below 1.5 % of the range.
    const auto near = [&](const std::string& key, double got, double range) {
      CATCH_CAPTURE(key, got);
      CATCH_CHECK(std::abs(got - expected[key].get<double>()) <= 0.015 * range);
    };
    near("mean_area", sums["mean_area"] / kDraws, 1);
    near("median_area", areas[kDraws / 2], 1.5);
    near("mean_top", sums["mean_top"] / kDraws, in.height);
    near("mean_left", sums["mean_left"] / kDraws, in.width);
    near("mean_crop_height", sums["mean_crop_height"] / kDraws, in.height);
    near("mean_crop_width", sums["mean_crop_width"] / kDraws, in.width);
    CATCH_CHECK(areas.front() >= 0.1);
    near("least_area", areas.front(), 1);
    near("largest_area", areas.back(), 1);
  }
}

}  // namespace
}  // namespace clr
