// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/feature_cache.h"

#include <ATen/Functions.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "clr/data/dataset.h"
#include "support/catch.h"
#include "support/temporary_folder.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

/// Records of given bytes; an empty one cannot be read.
class BytesDataset final : public Dataset {
 public:
  explicit BytesDataset(std::vector<std::string> records) : records_(std::move(records)) {}
  std::int64_t size() const override { return static_cast<std::int64_t>(records_.size()); }
  Record get(std::int64_t index) const override {
    const std::string& text = records_.at(static_cast<std::size_t>(index));
    if (text.empty()) throw Error(ErrorKind::data, "gone");
    return std::vector<std::uint8_t>(text.begin(), text.end());
  }
  std::int64_t label(std::int64_t) const override { return -1; }
  std::string name(std::int64_t index) const override { return std::to_string(index); }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string fingerprint() const override { return "0"; }

 private:
  std::vector<std::string> records_;
  std::vector<std::string> classes_;
};

Features some_features(std::int64_t seed) {
  Features features;
  features.values = at::arange(6, torch::kFloat32).view({3, 2}) + seed;
  features.labels = at::arange(3);
  features.indices = at::tensor({0, 2, 3}, torch::kInt64);
  features.bad = {{1, "b.jpg", "is broken \"really\""}};
  return features;
}

std::int64_t files_in(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

}  // namespace

CATCH_TEST_CASE("features are found again by all that they depend on", "[eval]") {
  const TemporaryFolder folder;
  const FeatureCache cache(folder.path() / "features", {{"encoder", "a"}});
  CATCH_CHECK(!cache.find());
  cache.keep(some_features(7));
  const auto found = cache.find();
  CATCH_REQUIRE(found);
  CATCH_CHECK(at::equal(found->values, some_features(7).values));
  CATCH_CHECK(at::equal(found->indices, some_features(7).indices));
  CATCH_REQUIRE(found->bad.size() == 1);
  CATCH_CHECK(found->bad[0].index == 1);
  CATCH_CHECK(found->bad[0].reason == "is broken \"really\"");
  CATCH_CHECK(!FeatureCache(folder.path() / "features", {{"encoder", "b"}}).find());
}

CATCH_TEST_CASE("a damaged or exchanged file of features is not used", "[eval]") {
  const TemporaryFolder folder;
  const fs::path place = folder.path() / "features";
  const FeatureCache a(place, {{"encoder", "a"}});
  a.keep(some_features(1));
  const fs::path file = fs::directory_iterator(place)->path();
  const FeatureCache b(folder.path() / "other", {{"encoder", "b"}});
  b.keep(some_features(2));
  const fs::path other = fs::directory_iterator(folder.path() / "other")->path();
  // The name is right, the key inside is another's.
  fs::copy_file(other, file, fs::copy_options::overwrite_existing);
  CATCH_CHECK(!a.find());
  a.keep(some_features(1));
  CATCH_CHECK(a.find());
  fs::resize_file(file, fs::file_size(file) - 3);
  CATCH_CHECK(!a.find());
}

CATCH_TEST_CASE("eight files of features are kept", "[eval]") {
  const TemporaryFolder folder;
  for (int i = 0; i < 12; ++i) FeatureCache(folder.path(), {{"encoder", i}}).keep(some_features(i));
  CATCH_CHECK(files_in(folder.path()) == 8);
  CATCH_CHECK(FeatureCache(folder.path(), {{"encoder", 11}}).find());
}

CATCH_TEST_CASE("a content hash sees every byte, the order, and what cannot be read", "[eval]") {
  const auto hash = [](std::vector<std::string> records, int threads = 1) {
    return content_hash(BytesDataset(std::move(records)), threads);
  };
  const std::string plain = hash({"one", "two", "three"});
  CATCH_CHECK(hash({"one", "two", "three"}, 3) == plain);
  CATCH_CHECK(hash({"one", "twO", "three"}) != plain);
  CATCH_CHECK(hash({"two", "one", "three"}) != plain);
  CATCH_CHECK(hash({"one", "two", ""}) != plain);
  CATCH_CHECK(hash({"onetwo", "three"}) != plain);
}

}  // namespace clr
