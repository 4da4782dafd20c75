// SPDX-License-Identifier: Apache-2.0
#include "clr/data/shapes.h"

#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <set>

#include "clr/core/error.h"
#include "clr/data/dataset.h"
#include "clr/data/decode.h"
#include "clr/eval/linear_probe.h"
#include "clr/io/drawing.h"
#include "data/files.h"
#include "support/catch.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

using test::contains;
using test::error_of;

constexpr int kClasses = 10;

std::vector<DrawnShape> draw_many(std::int64_t count) {
  const ShapeArtist artist(48, kClasses, 3);
  std::vector<DrawnShape> drawn;
  for (std::int64_t i = 0; i < count; ++i) drawn.push_back(artist.draw(ShapesSplit::train, i));
  return drawn;
}

/// Shares of the 4 x 4 x 4 boxes of the colour cube, then area and centroid of the object.
torch::Tensor plain_features(const std::vector<DrawnShape>& images) {
  const auto rows = static_cast<std::int64_t>(images.size());
  torch::Tensor features = torch::zeros({rows, 67});
  for (std::int64_t i = 0; i < rows; ++i) {
    const DrawnShape& drawn = images[static_cast<std::size_t>(i)];
    float* row = features.data_ptr<float>() + 67 * i;
    const auto& pixels = drawn.image.pixels;
    for (std::size_t p = 0; p < pixels.size(); p += 3) {
      row[pixels[p] / 64 * 16 + pixels[p + 1] / 64 * 4 + pixels[p + 2] / 64] +=
          3.0F / static_cast<float>(pixels.size());
    }
    row[64] = static_cast<float>(drawn.area);
    row[65] = static_cast<float>(drawn.center_x);
    row[66] = static_cast<float>(drawn.center_y);
  }
  return features;
}

/// Accuracy of logistic regression, fitted on the first two thirds, on the rest.
double linear_accuracy(const std::vector<DrawnShape>& images) {
  const torch::Tensor features = plain_features(images);
  std::vector<std::int64_t> numbers;
  for (const DrawnShape& drawn : images) numbers.push_back(drawn.label);
  const torch::Tensor labels = torch::tensor(numbers);
  const auto rows = static_cast<std::int64_t>(images.size());
  const std::int64_t fitted = rows * 2 / 3;
  ProbeConfig config;
  config.l2 = {false, 1e-2};
  config.max_iterations = 60;
  const ProbeFit fit = fit_linear_probe(features.slice(0, 0, fitted), labels.slice(0, 0, fitted),
                                        kClasses, config, 0);
  const torch::Tensor predicted =
      predict_probabilities(fit.head, features.slice(0, fitted)).argmax(1);
  return predicted.eq(labels.slice(0, fitted)).to(torch::kFloat64).mean().item<double>();
}

CATCH_TEST_CASE("colour, area and place tell nothing of a shape's class", "[data]") {
  if (!drawing_available()) {
    CATCH_SUCCEED("this build cannot draw");
    return;
  }
  std::vector<DrawnShape> images = draw_many(4500);
  const double accuracy = linear_accuracy(images);
  CATCH_CAPTURE(accuracy);
  CATCH_CHECK(accuracy <= 1.0 / kClasses + 0.05);

  // The same classifier finds a tint that goes with the class, and an area that does.
  std::vector<DrawnShape> tinted = images;
  for (DrawnShape& drawn : tinted) {
    for (std::size_t p = 0; p < drawn.image.pixels.size(); p += 3) {
      drawn.image.pixels[p] =
          static_cast<std::uint8_t>((drawn.image.pixels[p] * 3 + 25 * drawn.label) / 4);
    }
  }
  CATCH_CHECK(linear_accuracy(tinted) > 0.3);
  for (DrawnShape& drawn : images) drawn.area *= 1.0 + 0.1 * drawn.label;
  CATCH_CHECK(linear_accuracy(images) > 0.2);
}

CATCH_TEST_CASE("every class has as many images, before each background as many", "[data]") {
  if (!drawing_available()) {
    CATCH_SUCCEED("this build cannot draw");
    return;
  }
  const int rounds = 3;
  std::map<std::pair<int, int>, int> counts;
  for (const DrawnShape& drawn : draw_many(rounds * kClasses * kShapeBackgrounds)) {
    ++counts[{drawn.label, drawn.background}];
  }
  CATCH_CHECK(counts.size() == static_cast<std::size_t>(kClasses * kShapeBackgrounds));
  CATCH_CHECK(std::all_of(counts.begin(), counts.end(),
                          [&](const auto& entry) { return entry.second == rounds; }));
}

CATCH_TEST_CASE("the object lies in the image, of the area that is said", "[data]") {
  if (!drawing_available()) {
    CATCH_SUCCEED("this build cannot draw");
    return;
  }
  const ShapeArtist artist(64, kMostShapeClasses, 1);
  std::map<int, double> mean_area;
  constexpr int kRounds = 200;
  for (std::int64_t i = 0; i < kRounds * kMostShapeClasses; ++i) {
    const DrawnShape drawn = artist.draw(ShapesSplit::test, i);
    CATCH_REQUIRE(drawn.image.size() == Size{64, 64});
    CATCH_REQUIRE(drawn.label == i % kMostShapeClasses);
    mean_area[drawn.label] += drawn.area / kRounds;
    // It is brighter than what is behind it.
    int bright = 0;
    for (std::size_t p = 0; p < drawn.image.pixels.size(); p += 3) {
      const auto* pixel = &drawn.image.pixels[p];
      bright += pixel[0] + pixel[1] + pixel[2] > 3 * 78 ? 1 : 0;
    }
    CATCH_REQUIRE(bright < 1.25 * drawn.area);
    CATCH_REQUIRE(bright > 0.85 * drawn.area);
  }
  const auto [least, most] =
      std::minmax_element(mean_area.begin(), mean_area.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; });
  CATCH_CAPTURE(least->second, most->second);
  CATCH_CHECK(most->second < 1.06 * least->second);
}

CATCH_TEST_CASE("classes have names of their own", "[data]") {
  if (!drawing_available()) {
    CATCH_SUCCEED("this build cannot draw");
    return;
  }
  const auto names = shape_class_names(kMostShapeClasses);
  CATCH_CHECK(std::set<std::string>(names.begin(), names.end()).size() == 24);
  CATCH_CHECK(names[0] == "circle_striped");
  CATCH_CHECK(names[9] == "cross_dotted");
  CATCH_CHECK(shape_class_names(10).size() == 10);
}

/// Every file of a folder, by its path in there.
std::map<std::string, test::Bytes> files_below(const fs::path& folder) {
  std::map<std::string, test::Bytes> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files[entry.path().lexically_relative(folder).string()] =
          test::read_all(entry.path().string());
    }
  }
  return files;
}

CATCH_TEST_CASE("a set of shapes is the same for a seed, with any number of threads", "[data]") {
  if (!drawing_available()) {
    CATCH_SUCCEED("this build cannot draw");
    return;
  }
  const test::TempFolder folder;
  ShapesOptions options;
  options.train = 63;
  options.test = 21;
  options.size = 24;
  options.seed = 5;
  write_shapes(folder / "one", options, 1);
  std::int64_t watched = 0;
  write_shapes(folder / "three", options, 3, [&](std::int64_t done) { watched = done; });
  options.seed = 6;
  write_shapes(folder / "other", options, 2);
  const auto one = files_below(folder / "one");
  CATCH_CHECK(watched == 84);
  CATCH_CHECK(one.size() == 84);
  CATCH_CHECK((one == files_below(folder / "three")));
  const auto other = files_below(folder / "other");
  CATCH_CHECK(other.size() == one.size());
  CATCH_CHECK(std::none_of(one.begin(), one.end(),
                           [&](const auto& file) { return other.at(file.first) == file.second; }));
  std::set<test::Bytes> contents;
  for (const auto& [name, bytes] : one) contents.insert(bytes);
  CATCH_CHECK(contents.size() == 84);

  const auto train = open_dataset(folder / "one/train", {});
  const auto test = open_dataset(folder / "one/test", {});
  CATCH_CHECK(train->size() == 63);
  CATCH_CHECK(test->size() == 21);
  std::vector<std::string> sorted = shape_class_names(10);
  std::sort(sorted.begin(), sorted.end());
  CATCH_CHECK((train->classes() == sorted));
  CATCH_CHECK((test->classes() == sorted));
  const ShapeArtist artist(24, 10, 5);
  const DrawnShape drawn = artist.draw(ShapesSplit::train, 31);
  const Image read = decode(one.at("train/circle_dotted/000031.png"), {});
  CATCH_CHECK((read.pixels == drawn.image.pixels));
}

CATCH_TEST_CASE("shapes are drawn into an empty folder, all or none", "[data]") {
  if (!drawing_available()) {
    CATCH_SUCCEED("this build cannot draw");
    return;
  }
  const test::TempFolder folder;
  ShapesOptions options;
  options.train = 12;
  options.test = 10;
  options.size = 16;
  folder.write("full/note.txt", std::string("mine"));
  CATCH_CHECK(contains(
      error_of([&] { write_shapes(folder / "full", options, 1); }, ErrorKind::usage), "note.txt"));
  CATCH_CHECK(contains(
      error_of([&] { write_shapes(folder / "full/note.txt", options, 1); }, ErrorKind::output),
      "note.txt: expected a folder"));
  // What an interrupted call has left.
  folder.write("left/.partial/train/circle_striped/999999.png", std::string("half"));
  write_shapes(folder / "left", options, 1);
  CATCH_CHECK(files_below(folder / "left").size() == 22);
  CATCH_CHECK(!fs::exists(folder / "left/.partial"));
}

}  // namespace
}  // namespace clr
