// SPDX-License-Identifier: Apache-2.0
// What the tests of the loader share: options, a stream to its end, and whether two are the same.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "clr/data/loader.h"

namespace clr::test {

/// Two random views of 12 x 12, one of 8 x 8, and another of 12 x 12 without draws.
inline std::shared_ptr<const Augmenter> make_views() {
  const Json views = Json::parse(R"([
    {"count": 2, "chain": [{"type": "random_resized_crop", "size": 12, "scale": [0.2, 1.0]},
                           {"type": "horizontal_flip", "p": 0.5},
                           {"type": "color_jitter", "brightness": 0.4, "contrast": 0.4, "p": 0.8}]},
    {"count": 1, "chain": [{"type": "random_resized_crop", "size": 8, "scale": [0.1, 0.5]}]},
    {"count": 1, "chain": [{"type": "center_crop", "size": 12}]}])");
  AugmentConfig config;
  read_value(Json{{"views", views}}, Place("test") / "augment", config);
  return std::make_shared<const Augmenter>(config);
}

inline LoaderOptions make_options(int threads = 2) {
  LoaderOptions options;
  options.seed = 5;
  options.batch_size = 8;
  options.shuffle = true;
  options.epochs = 3;
  options.threads = threads;
  options.data.cache = CacheMode::none;
  return options;
}

inline std::vector<Batch> rest_of(Loader& loader) {
  std::vector<Batch> batches;
  while (true) {
    Batch batch = loader.next();
    if (batch.groups.empty()) return batches;
    batches.push_back(std::move(batch));
  }
}

inline std::vector<Batch> stream(const std::shared_ptr<const Dataset>& dataset,
                                 const LoaderOptions& options, std::int64_t epoch = 0,
                                 std::int64_t step = 0) {
  const auto loader = make_thread_loader(dataset, make_views(), options);
  loader->start(epoch, step);
  return rest_of(*loader);
}

inline std::vector<std::pair<std::int64_t, std::string>> bad_of(const Batch& batch) {
  std::vector<std::pair<std::int64_t, std::string>> result;
  for (const BadImage& bad : batch.bad)
    result.emplace_back(bad.index, bad.name + ": " + bad.reason);
  return result;
}

inline bool same(const Batch& a, const Batch& b) {
  if (a.epoch != b.epoch || a.step != b.step || a.groups.size() != b.groups.size()) return false;
  for (std::size_t g = 0; g < a.groups.size(); ++g) {
    if (!at::equal(a.groups[g], b.groups[g])) return false;
  }
  return at::equal(a.indices, b.indices) && at::equal(a.labels, b.labels) && bad_of(a) == bad_of(b);
}

inline bool same(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(),
                    [](const Batch& x, const Batch& y) { return same(x, y); });
}

}  // namespace clr::test
