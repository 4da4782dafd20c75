// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/features.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>

#include <limits>
#include <string>
#include <vector>

#include "clr/core/error.h"
#include "support/catch.h"

namespace clr {
namespace {

class NumberedImages : public Dataset {
 public:
  explicit NumberedImages(std::int64_t size) : size_(size) {}
  std::int64_t size() const override { return size_; }
  Record get(std::int64_t) const override { return Image{}; }
  std::int64_t label(std::int64_t index) const override { return index % 3; }
  std::string name(std::int64_t index) const override { return "image_" + std::to_string(index); }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string fingerprint() const override { return "0123456789abcdef"; }

 private:
  std::int64_t size_;
  std::vector<std::string> classes_{"a", "b", "c"};
};

/// Batches of four whose pixels say which image they are; images in `bad` are left out.
class NumberedLoader : public Loader {
 public:
  LoaderTimes times() const override { return {}; }
  NumberedLoader(const Dataset& dataset, std::vector<std::int64_t> bad)
      : dataset_(dataset), bad_(std::move(bad)) {}
  std::int64_t steps_per_epoch() const override { return (dataset_.size() + 3) / 4; }
  std::int64_t parts(std::int64_t) const override { return 1; }
  void start(std::int64_t, std::int64_t step) override { step_ = step; }
  Batch next() override {
    Batch batch;
    std::vector<std::int64_t> indices;
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 4 * step_; i < std::min(4 * step_ + 4, dataset_.size()); ++i) {
      if (std::find(bad_.begin(), bad_.end(), i) != bad_.end()) {
        batch.bad.push_back({i, dataset_.name(i), "damaged"});
        continue;
      }
      indices.push_back(i);
      labels.push_back(dataset_.label(i));
    }
    ++step_;
    batch.indices = at::tensor(indices, torch::kInt64);
    batch.labels = at::tensor(labels, torch::kInt64);
    if (!indices.empty()) {
      batch.groups = {batch.indices.to(torch::kFloat32)
                          .reshape({1, -1, 1, 1, 1})
                          .expand({1, -1, 3, 2, 2})
                          .contiguous()};
    }
    return batch;
  }
  Batch produce(std::int64_t, std::int64_t, std::int64_t, std::int64_t) override { return {}; }

 private:
  const Dataset& dataset_;
  std::vector<std::int64_t> bad_;
  std::int64_t step_ = 0;
};

torch::Tensor encode(const torch::Tensor& pixels) {
  CATCH_CHECK_FALSE(c10::GradMode::is_enabled());
  CATCH_CHECK(pixels.dim() == 4);
  const torch::Tensor number = pixels.mean({1, 2, 3});
  return at::stack({number, number * 10}, 1);
}

}  // namespace

CATCH_TEST_CASE("features of a whole set come in its order", "[eval]") {
  const NumberedImages images(10);
  NumberedLoader loader(images, {});
  std::vector<std::int64_t> progress;
  const Features features = extract_features(loader, images, torch::kCPU, encode,
                                             [&](std::int64_t done) { progress.push_back(done); });
  CATCH_CHECK(at::equal(features.indices, at::arange(10)));
  CATCH_CHECK(at::equal(features.labels, at::arange(10).remainder(3)));
  CATCH_CHECK(features.values.sizes() == torch::IntArrayRef({10, 2}));
  CATCH_CHECK(at::equal(features.values.select(1, 1), at::arange(0, 100, 10, torch::kFloat32)));
  CATCH_CHECK(features.bad.empty());
  CATCH_CHECK(progress == std::vector<std::int64_t>{4, 8, 10});
}

CATCH_TEST_CASE("bad images are left out and listed, whole batches of them too", "[eval]") {
  const NumberedImages images(10);
  NumberedLoader loader(images, {1, 4, 5, 6, 7});
  const Features features = extract_features(loader, images, torch::kCPU, encode);
  CATCH_CHECK(at::equal(features.indices, at::tensor({0, 2, 3, 8, 9}, torch::kInt64)));
  CATCH_CHECK(at::equal(features.values.select(1, 0), features.indices.to(torch::kFloat32)));
  CATCH_REQUIRE(features.bad.size() == 5);
  CATCH_CHECK(features.bad[0].name == "image_1");
  CATCH_CHECK(features.bad[4].index == 7);
}

CATCH_TEST_CASE("a feature that is not finite names its image", "[eval]") {
  const NumberedImages images(10);
  NumberedLoader loader(images, {});
  try {
    extract_features(loader, images, torch::kCPU, [](const torch::Tensor& pixels) {
      const torch::Tensor values = encode(pixels);
      return values.masked_fill(values == 60, std::numeric_limits<float>::infinity());
    });
    CATCH_FAIL("nothing thrown");
  } catch (const Error& error) {
    CATCH_CHECK(error.kind() == ErrorKind::diverged);
    CATCH_CHECK(std::string(error.what()).starts_with("image_6: "));
  }
}

}  // namespace clr
