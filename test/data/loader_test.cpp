// SPDX-License-Identifier: Apache-2.0
#include "clr/data/loader.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "clr/core/error.h"
#include "clr/core/memory.h"
#include "clr/data/bad_images.h"
#include "clr/data/decode.h"
#include "clr/data/record_cache.h"
#include "clr/data/stream_plan.h"
#include "clr/data/view_preview.h"
#include "data/files.h"
#include "data/loading.h"
#include "support/catch.h"

namespace clr {
namespace {

using test::bad_of;
using test::contains;
using test::error_of;
using test::make_options;
using test::make_views;
using test::rest_of;
using test::same;
using test::stream;

/// JPEGs of several sizes in memory, some of them cut off; counts how often each is read.
class MemoryDataset final : public Dataset {
 public:
  explicit MemoryDataset(int count, const std::set<int>& bad = {})
      : reads_(static_cast<std::size_t>(count)) {
    for (int i = 0; i < count; ++i) {
      images_.push_back(test::numbered_jpeg(i, 16 + i % 5, 12 + i % 7));
      if (bad.contains(i)) images_.back().resize(images_.back().size() / 2);
    }
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(images_.size()); }
  Record get(std::int64_t index) const override {
    ++reads_[static_cast<std::size_t>(index)];
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
    return images_.at(static_cast<std::size_t>(index));
  }
  std::int64_t label(std::int64_t index) const override { return index % 3; }
  std::string name(std::int64_t index) const override { return "image " + std::to_string(index); }
  std::string location(std::int64_t index) const override { return "memory/" + name(index); }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string fingerprint() const override { return "0000000000000000"; }

  int reads(std::int64_t index) const { return reads_[static_cast<std::size_t>(index)]; }

  std::chrono::milliseconds delay{0};

 private:
  std::vector<test::Bytes> images_;
  mutable std::vector<std::atomic<int>> reads_;
  std::vector<std::string> classes_ = {"a", "b", "c"};
};

std::vector<std::int64_t> indices_of(const Batch& batch) {
  const auto* values = batch.indices.data_ptr<std::int64_t>();
  return {values, values + batch.size()};
}

CATCH_TEST_CASE("batches have the shapes and content that the data set and augmenter give",
                "[data]") {
  const auto dataset = std::make_shared<const MemoryDataset>(21);
  const auto augmenter = make_views();
  const LoaderOptions options = make_options();
  const auto batches = stream(dataset, options);
  CATCH_REQUIRE(batches.size() == 9);
  for (const Batch& batch : batches) {
    const std::int64_t rows = batch.step == 2 ? 5 : 8;
    CATCH_REQUIRE(batch.groups.size() == 2);
    CATCH_CHECK(batch.groups[0].sizes() == at::IntArrayRef{3, rows, 3, 12, 12});
    CATCH_CHECK(batch.groups[1].sizes() == at::IntArrayRef{1, rows, 3, 8, 8});
    CATCH_CHECK(batch.groups[0].is_contiguous());
    CATCH_CHECK(batch.size() == rows);
    CATCH_CHECK(batch.bad.empty());
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t index = indices_of(batch)[static_cast<std::size_t>(row)];
      CATCH_CHECK(batch.labels[row].item<std::int64_t>() == index % 3);
      // Rendered by hand: view 3 is the third of group 0, view 2 the only one of group 1.
      const Image image = decode(std::get<test::Bytes>(dataset->get(index)), {});
      const std::vector<std::pair<std::size_t, std::int64_t>> places = {
          {0, 0}, {0, 1}, {1, 0}, {0, 2}};
      for (int view = 0; view < 4; ++view) {
        const auto [group, position] = places[static_cast<std::size_t>(view)];
        const Size size = augmenter->view_size(view);
        const RngAddress address{static_cast<std::uint64_t>(index), 0,
                                 static_cast<std::uint32_t>(batch.epoch)};
        torch::Tensor expected = at::empty({3, size.height, size.width});
        augmenter->render(image, view, augmenter->sample(options.seed, address, view, image.size()),
                          {expected.data_ptr(), PixelType::float32, PixelLayout::planar});
        CATCH_CHECK(at::equal(batch.groups[group][position][row], expected));
      }
    }
  }
}

CATCH_TEST_CASE("each epoch is a permutation of its own; evaluation keeps the order", "[data]") {
  const auto dataset = std::make_shared<const MemoryDataset>(21);
  std::vector<std::vector<std::int64_t>> orders(3);
  for (const Batch& batch : stream(dataset, make_options())) {
    auto& order = orders[static_cast<std::size_t>(batch.epoch)];
    for (const std::int64_t index : indices_of(batch)) order.push_back(index);
  }
  std::vector<std::int64_t> all(21);
  std::iota(all.begin(), all.end(), 0);
  CATCH_CHECK(orders[0] != orders[1]);
  CATCH_CHECK(orders[1] != orders[2]);
  for (auto& order : orders) {
    CATCH_CHECK(order != all);
    std::sort(order.begin(), order.end());
    CATCH_CHECK(order == all);
  }

  LoaderOptions options = make_options();
  options.shuffle = false;
  const auto batches = stream(dataset, options);
  CATCH_CHECK(indices_of(batches[1]) == std::vector<std::int64_t>{8, 9, 10, 11, 12, 13, 14, 15});
  CATCH_CHECK(at::equal(batches[1].groups[0], batches[4].groups[0]));
}

CATCH_TEST_CASE("bytes do not depend on threads, prefetching or where the stream began", "[data]") {
  const auto dataset = std::make_shared<const MemoryDataset>(21);
  const auto whole = stream(dataset, make_options(1));
  CATCH_REQUIRE(whole.size() == 9);
  CATCH_CHECK_FALSE(at::equal(whole[0].groups[0], whole[3].groups[0]));
  for (const int threads : {2, 5}) {
    for (const int prefetch : {1, 4}) {
      CATCH_CAPTURE(threads, prefetch);
      LoaderOptions options = make_options(threads);
      options.prefetch = prefetch;
      CATCH_CHECK(same(stream(dataset, options), whole));
    }
  }
  for (std::int64_t first = 0; first <= 9; ++first) {
    CATCH_CAPTURE(first);
    const auto rest = stream(dataset, make_options(3), first / 3, first % 3);
    CATCH_CHECK(same(rest, {whole.begin() + first, whole.end()}));
  }
  CATCH_CHECK(stream(dataset, make_options(), 7, 1).empty());

  const auto loader = make_thread_loader(dataset, make_views(), make_options(2));
  CATCH_CHECK(loader->next().groups.empty());
  loader->start(0, 0);
  CATCH_CHECK(same(loader->next(), whole[0]));
  loader->start(1, 1);
  CATCH_CHECK(same(loader->next(), whole[4]));
  loader->start(0, 2);
  CATCH_CHECK(same(rest_of(*loader), {whole.begin() + 2, whole.end()}));
  CATCH_CHECK(loader->next().groups.empty());
}

CATCH_TEST_CASE("rows can be produced again", "[data]") {
  const auto dataset = std::make_shared<const MemoryDataset>(21);
  const auto whole = stream(dataset, make_options());
  const auto loader = make_thread_loader(dataset, make_views(), make_options());
  loader->start(0, 0);
  for (const auto& [ordinal, first, count] :
       {std::array<std::int64_t, 3>{0, 0, 8}, {4, 3, 2}, {5, 0, 5}, {8, 4, 1}, {1, 2, 0}}) {
    CATCH_CAPTURE(ordinal, first, count);
    const Batch& batch = whole[static_cast<std::size_t>(ordinal)];
    const Batch part = loader->produce(batch.epoch, batch.step, first, count);
    CATCH_CHECK(part.size() == count);
    CATCH_CHECK(at::equal(part.indices, batch.indices.narrow(0, first, count)));
    CATCH_CHECK(at::equal(part.labels, batch.labels.narrow(0, first, count)));
    for (std::size_t g = 0; g < 2; ++g) {
      CATCH_CHECK(at::equal(part.groups[g], batch.groups[g].narrow(1, first, count)));
    }
  }
  CATCH_CHECK(same(rest_of(*loader), whole));
  CATCH_CHECK_THROWS_AS(loader->produce(0, 2, 4, 2), std::out_of_range);
  CATCH_CHECK_THROWS_AS(loader->produce(0, 3, 0, 1), std::out_of_range);
  CATCH_CHECK_THROWS_AS(loader->produce(0, 0, -1, 1), std::out_of_range);
}

CATCH_TEST_CASE("steps are counted with and without the last partial batch", "[data]") {
  LoaderOptions options = make_options();
  for (const auto& [images, drop, steps] : {std::tuple{21, false, 3},
                                            {21, true, 2},
                                            {24, false, 3},
                                            {24, true, 3},
                                            {5, false, 1},
                                            {5, true, 0}}) {
    CATCH_CAPTURE(images, drop);
    options.drop_last = drop;
    const auto dataset = std::make_shared<const MemoryDataset>(images);
    const auto loader = make_thread_loader(dataset, make_views(), options);
    CATCH_CHECK(loader->steps_per_epoch() == steps);
    loader->start(0, 0);
    const auto batches = rest_of(*loader);
    CATCH_CHECK(batches.size() == static_cast<std::size_t>(3 * steps));
    if (drop) {
      for (const Batch& batch : batches) CATCH_CHECK(batch.size() == 8);
    }
  }
  for (const auto change :
       {+[](LoaderOptions& o) { o.batch_size = 0; }, +[](LoaderOptions& o) { o.threads = 0; },
        +[](LoaderOptions& o) { o.prefetch = 0; }, +[](LoaderOptions& o) { o.passes = 0; },
        +[](LoaderOptions& o) { o.micro_batch = -1; }}) {
    LoaderOptions wrong = make_options();
    change(wrong);
    const auto dataset = std::make_shared<const MemoryDataset>(2);
    CATCH_CHECK(
        error_of([&] { make_thread_loader(dataset, make_views(), wrong); }, ErrorKind::config));
  }
}

CATCH_TEST_CASE("layouts and pixel types hold the same values", "[data]") {
  const auto dataset = std::make_shared<const MemoryDataset>(21);
  const auto plain = stream(dataset, make_options());
  for (const auto layout : {PixelLayout::planar, PixelLayout::interleaved}) {
    for (const auto type : {PixelType::float32, PixelType::bfloat16}) {
      CATCH_CAPTURE(static_cast<int>(layout), static_cast<int>(type));
      LoaderOptions options = make_options();
      options.layout = layout;
      options.pixel_type = type;
      const auto batches = stream(dataset, options);
      CATCH_REQUIRE(batches.size() == plain.size());
      for (std::size_t i = 0; i < plain.size(); ++i) {
        for (std::size_t g = 0; g < 2; ++g) {
          const torch::Tensor& group = batches[i].groups[g];
          CATCH_CHECK(group.sizes() == plain[i].groups[g].sizes());
          const auto expected = type == PixelType::bfloat16 ? plain[i].groups[g].to(at::kBFloat16)
                                                            : plain[i].groups[g];
          CATCH_CHECK(at::equal(group, expected));
          const torch::Tensor flat = group.flatten(0, 1);
          CATCH_CHECK(flat.data_ptr() == group.data_ptr());
          CATCH_CHECK(flat.is_contiguous(layout == PixelLayout::planar
                                             ? at::MemoryFormat::Contiguous
                                             : at::MemoryFormat::ChannelsLast));
        }
      }
    }
  }
}

CATCH_TEST_CASE("batches that are kept stay as they were", "[data]") {
  const auto dataset = std::make_shared<const MemoryDataset>(21);
  const auto loader = make_thread_loader(dataset, make_views(), make_options());
  loader->start(0, 0);
  std::vector<torch::Tensor> kept;
  std::vector<torch::Tensor> copies;
  for (int i = 0; i < 9; ++i) {
    const Batch batch = loader->next();
    if (i % 2 == 1) continue;
    kept.push_back(batch.groups[0][1]);
    copies.push_back(kept.back().clone());
  }
  for (std::size_t i = 0; i < kept.size(); ++i) CATCH_CHECK(at::equal(kept[i], copies[i]));
}

/// Parts that next() gave, put together again: pass by pass, each pass a whole batch.
std::vector<Batch> joined(const std::vector<Batch>& pieces, const Loader& loader) {
  std::vector<Batch> batches;
  for (std::size_t next = 0; next < pieces.size();) {
    const auto parts = static_cast<std::size_t>(loader.parts(pieces[next].step));
    CATCH_REQUIRE(next + parts <= pieces.size());
    Batch batch = pieces[next];
    for (std::size_t i = next + 1; i < next + parts; ++i) {
      const Batch& part = pieces[i];
      CATCH_REQUIRE(part.epoch == batch.epoch);
      CATCH_REQUIRE(part.step == batch.step);
      for (std::size_t g = 0; g < batch.groups.size(); ++g)
        batch.groups[g] = at::cat({batch.groups[g], part.groups[g]}, 1);
      batch.indices = at::cat({batch.indices, part.indices});
      batch.labels = at::cat({batch.labels, part.labels});
      batch.bad.insert(batch.bad.end(), part.bad.begin(), part.bad.end());
    }
    batches.push_back(std::move(batch));
    next += parts;
  }
  return batches;
}

CATCH_TEST_CASE("micro-batches are the batch, cut and as often as wanted", "[data]") {
  for (const OnError mode : {OnError::fail, OnError::skip, OnError::replace}) {
    const auto dataset = std::make_shared<const MemoryDataset>(
        21, mode == OnError::fail ? std::set<int>{} : std::set<int>{0, 3, 11, 17, 18});
    for (const bool drop : {false, true}) {
      LoaderOptions whole = make_options();
      whole.drop_last = drop;
      whole.data.on_error = mode;
      const auto batches = stream(dataset, whole, 0, 1);
      for (const std::int64_t micro_batch : {0, 1, 3, 4, 8, 20}) {
        for (const int passes : {1, 2, 3}) {
          for (const int threads : {1, 3}) {
            CATCH_CAPTURE(to_string(mode), drop, micro_batch, passes, threads);
            LoaderOptions options = whole;
            options.micro_batch = micro_batch;
            options.passes = passes;
            options.threads = threads;
            const auto loader = make_thread_loader(dataset, make_views(), options);
            loader->start(0, 1);
            const auto pieces = rest_of(*loader);
            for (const Batch& piece : pieces)
              CATCH_REQUIRE((micro_batch == 0 || piece.size() <= micro_batch));
            const auto again = joined(pieces, *loader);
            CATCH_REQUIRE(again.size() == batches.size() * static_cast<std::size_t>(passes));
            for (std::size_t i = 0; i < again.size(); ++i) {
              CATCH_REQUIRE(same(again[i], batches[i / static_cast<std::size_t>(passes)]));
            }
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("micro-batches are few, and equal but for a row", "[data]") {
  const auto dataset = std::make_shared<const MemoryDataset>(21);
  LoaderOptions options = make_options();
  options.batch_size = 11;
  options.micro_batch = 4;
  options.passes = 2;
  options.epochs = 1;
  const auto loader = make_thread_loader(dataset, make_views(), options);
  CATCH_CHECK(loader->steps_per_epoch() == 2);
  CATCH_CHECK(loader->parts(0) == 3);
  CATCH_CHECK(loader->parts(1) == 3);
  loader->start(0, 0);
  std::vector<std::int64_t> sizes;
  for (const Batch& piece : rest_of(*loader)) sizes.push_back(piece.size());
  CATCH_CHECK(sizes == std::vector<std::int64_t>{3, 4, 4, 3, 4, 4, 3, 3, 4, 3, 3, 4});
}

CATCH_TEST_CASE("a loader's stream is numbered without a gap", "[data]") {
  for (const std::int64_t size : {1, 7, 12, 13}) {
    for (const std::int64_t batch_size : {1, 3, 6, 20}) {
      for (const bool drop : {false, true}) {
        for (const std::int64_t micro_batch : {0, 1, 2, 4, 6}) {
          for (const std::int64_t passes : {1, 2, 3}) {
            CATCH_CAPTURE(size, batch_size, drop, micro_batch, passes);
            const StreamPlan plan(size, batch_size, drop, micro_batch, passes);
            std::int64_t piece = 0;
            std::int64_t row = 0;
            for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
              std::int64_t step = 0;
              for (std::int64_t first = 0; first < size; first += batch_size, ++step) {
                const std::int64_t rows = std::min(batch_size, size - first);
                if (drop && rows < batch_size) break;
                CATCH_REQUIRE(plan.first_piece(epoch, step) == piece);
                CATCH_REQUIRE(plan.first_row(epoch, step) == row);
                for (std::int64_t pass = 0; pass < passes; ++pass) {
                  for (std::int64_t done = 0; done < rows; ++piece) {
                    const Piece got = plan.piece(piece);
                    CATCH_REQUIRE(got.epoch == epoch);
                    CATCH_REQUIRE(got.step == step);
                    CATCH_REQUIRE(got.first == first + done);
                    CATCH_REQUIRE(got.rows > 0);
                    CATCH_REQUIRE((micro_batch == 0 || got.rows <= micro_batch));
                    for (std::int64_t i = 0; i < got.rows; ++i, ++row) {
                      const auto place = plan.place(row);
                      CATCH_REQUIRE(place.piece == piece);
                      CATCH_REQUIRE(place.row == i);
                    }
                    done += got.rows;
                    CATCH_REQUIRE(done <= rows);
                  }
                }
              }
              CATCH_REQUIRE(plan.steps_per_epoch() == step);
            }
          }
        }
      }
    }
  }
}

CATCH_TEST_CASE("a bad image fails the batch with its place and reason", "[data]") {
  const std::set<int> bad = {3, 11, 17};
  const auto dataset = std::make_shared<const MemoryDataset>(21, bad);
  std::set<std::string> messages;
  for (const auto& [threads, micro_batch] : {std::pair{1, 0}, {2, 0}, {5, 0}, {1, 3}, {4, 3}}) {
    LoaderOptions options = make_options(threads);
    options.micro_batch = micro_batch;
    options.passes = 2;
    const auto loader = make_thread_loader(dataset, make_views(), options);
    loader->start(0, 0);
    const auto first = error_of([&] { rest_of(*loader); });
    CATCH_REQUIRE(first);
    CATCH_CHECK(error_of([&] { loader->next(); }) == first);
    messages.insert(*first);
    loader->start(1, 0);
    CATCH_CHECK(error_of([&] { rest_of(*loader); }));
  }
  // The lowest row of the first batch with a bad image, whichever thread came first.
  const Permutation order(5, 0, 21);
  std::int64_t index = -1;
  for (std::uint64_t position = 0; index < 0; ++position) {
    if (bad.contains(static_cast<int>(order(position))))
      index = static_cast<std::int64_t>(order(position));
  }
  CATCH_CHECK(messages == std::set<std::string>{"memory/image " + std::to_string(index) +
                                                ": damaged JPEG: Premature end of JPEG file"});
}

CATCH_TEST_CASE("bad images are skipped or replaced alike for any number of threads", "[data]") {
  const std::set<int> bad = {0, 3, 11, 17, 18};
  const auto dataset = std::make_shared<const MemoryDataset>(21, bad);
  const auto good = stream(std::make_shared<const MemoryDataset>(21), make_options());
  for (const OnError mode : {OnError::skip, OnError::replace}) {
    LoaderOptions options = make_options(1);
    options.data.on_error = mode;
    const auto batches = stream(dataset, options);
    CATCH_CAPTURE(to_string(mode));
    CATCH_REQUIRE(batches.size() == good.size());
    for (const int threads : {2, 5}) {
      options.threads = threads;
      CATCH_CHECK(same(stream(dataset, options), batches));
    }
    for (std::size_t i = 0; i < good.size(); ++i) {
      const auto wanted = indices_of(good[i]);
      const auto got = indices_of(batches[i]);
      std::vector<std::int64_t> reported;
      std::size_t at = 0;
      for (std::size_t row = 0; row < wanted.size(); ++row) {
        const bool is_bad = bad.contains(static_cast<int>(wanted[row]));
        if (is_bad) reported.push_back(wanted[row]);
        if (is_bad && mode == OnError::skip) continue;
        const auto from = static_cast<std::int64_t>(row);
        const auto to = static_cast<std::int64_t>(at);
        if (is_bad) {
          CATCH_CHECK_FALSE(bad.contains(static_cast<int>(got.at(at))));
        } else {
          CATCH_CHECK(got.at(at) == wanted[row]);
          for (std::size_t g = 0; g < 2; ++g) {
            CATCH_CHECK(
                at::equal(batches[i].groups[g].select(1, to), good[i].groups[g].select(1, from)));
          }
        }
        CATCH_CHECK(batches[i].labels[to].item<std::int64_t>() == got.at(at) % 3);
        ++at;
      }
      CATCH_CHECK(got.size() == at);
      CATCH_REQUIRE(batches[i].bad.size() == reported.size());
      for (std::size_t k = 0; k < reported.size(); ++k) {
        CATCH_CHECK(batches[i].bad[k].index == reported[k]);
        CATCH_CHECK(batches[i].bad[k].name == "image " + std::to_string(reported[k]));
        CATCH_CHECK(batches[i].bad[k].reason == "damaged JPEG: Premature end of JPEG file");
      }
    }
    const auto loader = make_thread_loader(dataset, make_views(), options);
    const Batch produced = loader->produce(1, 1, 0, 8);
    CATCH_CHECK(same(produced, batches[4]));
  }
}

CATCH_TEST_CASE("a set without a good image", "[data]") {
  const auto dataset = std::make_shared<const MemoryDataset>(4, std::set<int>{0, 1, 2, 3});
  LoaderOptions options = make_options();
  options.epochs = 1;
  options.data.on_error = OnError::skip;
  const auto batches = stream(dataset, options);
  CATCH_REQUIRE(batches.size() == 1);
  CATCH_CHECK(batches[0].size() == 0);
  CATCH_CHECK(batches[0].groups.at(0).sizes() == at::IntArrayRef{3, 0, 3, 12, 12});
  CATCH_CHECK(batches[0].bad.size() == 4);
  options.data.on_error = OnError::replace;
  CATCH_CHECK(contains(error_of([&] { stream(dataset, options); }), "could not be read either"));
}

CATCH_TEST_CASE("bad images are counted once and limited", "[data]") {
  Batch batch;
  batch.bad = {{7, "b.jpg", "cut off"}, {3, "a.jpg", "empty"}};
  BadImages images(200, 0.01);
  CATCH_CHECK(images.add(batch.bad).size() == 2);
  CATCH_CHECK(images.add(batch.bad).empty());
  CATCH_CHECK(images.images().size() == 2);
  batch.bad = {{9, "c.jpg", "cut off"}};
  const auto message = error_of([&] { images.add(batch.bad); });
  CATCH_CHECK(contains(message, "a.jpg: empty"));
  CATCH_CHECK(contains(message, "got 3 of 200"));
  // What an earlier process found counts on.
  BadImages resumed(200, 0.01);
  resumed.restore(images.images());
  CATCH_CHECK(contains(error_of([&] { resumed.add({}); }), "got 3 of 200"));
}

CATCH_TEST_CASE("a file's path is in the error", "[data]") {
  const test::TempFolder folder;
  folder.write("cat/a.jpg", test::numbered_jpeg(1));
  folder.write("cat/b.jpg", test::golden("truncated.jpg"));
  std::filesystem::create_symlink("nowhere", folder / "cat/c.jpg");
  const std::shared_ptr<const Dataset> dataset = open_dataset(folder.path(), {});
  LoaderOptions options = make_options();
  CATCH_CHECK(contains(error_of([&] { stream(dataset, options); }), folder.path() + "/cat/"));
  options.data.on_error = OnError::skip;
  options.shuffle = false;
  const auto batches = stream(dataset, options);
  CATCH_REQUIRE(batches.at(0).bad.size() == 2);
  CATCH_CHECK(batches[0].bad[0].name == "cat/b.jpg");
  CATCH_CHECK(batches[0].bad[1].reason == "cannot be read: No such file or directory");
}

CATCH_TEST_CASE("the cache changes reading, not bytes", "[data]") {
  for (const OnError mode : {OnError::fail, OnError::replace}) {
    const std::set<int> bad = mode == OnError::fail ? std::set<int>{} : std::set<int>{2, 5};
    LoaderOptions options = make_options(3);
    options.data.on_error = mode;
    const auto uncached = std::make_shared<const MemoryDataset>(21, bad);
    const auto expected = stream(uncached, options);
    CATCH_CHECK(uncached->reads(1) >= 3);
    for (const CacheMode cache : {CacheMode::decoded, CacheMode::encoded, CacheMode::automatic}) {
      options.data.cache = cache;
      const auto dataset = std::make_shared<const MemoryDataset>(21, bad);
      CATCH_CHECK(same(stream(dataset, options), expected));
      // Two threads that need an image at once, at the seam of two epochs, both decode it; one
      // thread shows how often it is needed: the sample of headers, and once to decode or keep.
      LoaderOptions alone = options;
      alone.threads = 1;
      const auto counted = std::make_shared<const MemoryDataset>(21, bad);
      CATCH_CHECK(same(stream(counted, alone), expected));
      CATCH_CHECK(counted->reads(1) == 2);
    }
  }
}

CATCH_TEST_CASE("the cache keeps within its budget", "[data]") {
  RecordCache cache(3, 3 * 20 * 16 + 10);
  cache.store(1, test::numbered_image(1));
  cache.store(1, test::numbered_image(2));
  cache.store(2, test::numbered_image(2));
  CATCH_REQUIRE(cache.find(1) != nullptr);
  CATCH_CHECK(std::get<Image>(*cache.find(1)).pixels == test::numbered_image(1).pixels);
  CATCH_CHECK(cache.find(0) == nullptr);
  CATCH_CHECK(cache.find(2) == nullptr);
  cache.store(0, test::numbered_image(0, 1, 1));
  CATCH_CHECK(cache.find(0) != nullptr);
  cache.store(2, test::Bytes(8));
  CATCH_CHECK(cache.find(2) == nullptr);
  cache.store(2, test::Bytes(7));
  CATCH_CHECK(cache.find(2) != nullptr);

  CATCH_CHECK(physical_memory() > (1 << 20));
  const MemoryDataset dataset(4);
  const auto plan = [&](CacheMode mode, double share) {
    DataConfig config;
    config.cache = mode;
    config.cache_memory = share;
    return plan_cache(dataset, config, 2);
  };
  const auto memory = static_cast<double>(physical_memory());
  const CachePlan decoded = plan(CacheMode::automatic, 0.25);
  CATCH_CHECK(decoded.mode == CacheMode::decoded);
  CATCH_CHECK(decoded.most_bytes == physical_memory() / 4);
  CATCH_CHECK(decoded.expected_bytes == 3 * (16 * 12 + 17 * 13 + 18 * 14 + 19 * 15));
  CATCH_CHECK(decoded.held_bytes() == decoded.expected_bytes);
  CATCH_CHECK(plan(CacheMode::none, 0.25).mode == CacheMode::none);
  CATCH_CHECK(plan_cache(dataset, {}, 1).mode == CacheMode::none);  // auto, and one pass

  // Between the two sizes encoded images fit; below both, nothing does.
  const CachePlan encoded = plan(CacheMode::encoded, 0.25);
  CATCH_REQUIRE(encoded.mode == CacheMode::encoded);
  CATCH_REQUIRE(encoded.expected_bytes > 4 * 100);
  const double less = std::min(encoded.expected_bytes, decoded.expected_bytes);
  const double more = std::max(encoded.expected_bytes, decoded.expected_bytes);
  CATCH_REQUIRE(less < more - 2);
  CATCH_CHECK(plan(CacheMode::automatic, (less + 1) / memory).mode ==
              (less == decoded.expected_bytes ? CacheMode::decoded : CacheMode::encoded));
  CATCH_CHECK(plan(CacheMode::automatic, (less - 2) / memory).mode == CacheMode::none);
  // By name, what fits is kept.
  const CachePlan tight = plan(CacheMode::decoded, (less - 2) / memory);
  CATCH_CHECK(tight.mode == CacheMode::decoded);
  CATCH_CHECK(tight.held_bytes() <= less - 1);
}

CATCH_TEST_CASE("a busy loader can be stopped, restarted and destroyed", "[data]") {
  const auto dataset = std::make_shared<MemoryDataset>(64);
  dataset->delay = std::chrono::milliseconds(5);
  LoaderOptions options = make_options(3);
  options.batch_size = 32;
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) {
    const auto loader = make_thread_loader(dataset, make_views(), options);
    loader->start(0, 0);
    if (i % 4 == 1) loader->start(1, 1);
    if (i % 4 == 2) CATCH_CHECK(loader->next().size() == 32);
    if (i % 4 == 3) std::this_thread::sleep_for(std::chrono::milliseconds(i));
  }
  CATCH_CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(20));
}

CATCH_TEST_CASE("a preview shows the bytes of the first epoch of training", "[data]") {
  const auto dataset = std::make_shared<MemoryDataset>(21);
  const auto views = make_views();
  ViewPreview preview(dataset, views, 5, {});
  LoaderOptions options = make_options(3);
  options.epochs = 1;
  std::vector<BadImage> bad;
  std::int64_t compared = 0;
  for (const Batch& batch : stream(dataset, options)) {
    for (std::int64_t row = 0; row < batch.size(); ++row) {
      const std::int64_t index = batch.indices[row].item<std::int64_t>();
      const auto shown = preview.show(index, bad);
      CATCH_REQUIRE(shown);
      CATCH_REQUIRE(shown->index == index);
      CATCH_REQUIRE(shown->groups.size() == batch.groups.size());
      for (std::size_t g = 0; g < batch.groups.size(); ++g) {
        CATCH_REQUIRE(at::equal(shown->groups[g], batch.groups[g].select(1, row)));
      }
      // What is said of each view is what makes it.
      CATCH_REQUIRE(shown->parameters.size() == 4);
      for (int view = 0; view < 4; ++view) {
        const ViewParameters drawn = views->sample(5, {static_cast<std::uint64_t>(index), 0, 0},
                                                   view, shown->original.size());
        CATCH_REQUIRE(shown->parameters[static_cast<std::size_t>(view)] ==
                      views->describe(view, drawn));
      }
      ++compared;
    }
  }
  CATCH_CHECK(compared == 21);
  CATCH_CHECK(bad.empty());
}

CATCH_TEST_CASE("a preview treats unreadable images as the loader does", "[data]") {
  const auto dataset = std::make_shared<MemoryDataset>(12, std::set<int>{3});
  DataConfig data;
  std::vector<BadImage> bad;
  const auto fails = error_of([&] { ViewPreview(dataset, make_views(), 5, data).show(3, bad); });
  CATCH_CHECK(contains(fails, "memory/image 3: "));
  data.on_error = OnError::skip;
  CATCH_CHECK(!ViewPreview(dataset, make_views(), 5, data).show(3, bad));
  CATCH_CHECK(bad.size() == 1);
  data.on_error = OnError::replace;
  const auto shown = ViewPreview(dataset, make_views(), 5, data).show(3, bad);
  CATCH_REQUIRE(shown);
  CATCH_CHECK(shown->index != 3);
  const Image stand_in = decode(std::get<test::Bytes>(dataset->get(shown->index)), {});
  CATCH_CHECK((shown->original.pixels == stand_in.pixels));
  // Its views are those of the parameters that are said.
  const ViewParameters drawn = make_views()->sample(5, {3, 0, 0}, 2, stand_in.size());
  std::vector<float> rendered(3 * 8 * 8);
  make_views()->render(stand_in, 2, drawn, {rendered.data()});
  CATCH_CHECK(at::equal(shown->groups[1].flatten(), torch::tensor(rendered)));
  CATCH_CHECK(shown->parameters[2] == make_views()->describe(2, drawn));
}

CATCH_TEST_CASE("a view is shown with its normalisation undone", "[data]") {
  const Json views = Json::parse(R"([{"count": 1, "chain": [
    {"type": "center_crop", "size": 12},
    {"type": "normalize", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}]}])");
  AugmentConfig config;
  read_value(Json{{"views", views}}, Place("test") / "augment", config);
  const auto dataset = std::make_shared<MemoryDataset>(5);
  std::vector<BadImage> bad;
  const auto shown =
      ViewPreview(dataset, std::make_shared<const Augmenter>(config), 0, {}).show(0, bad);
  CATCH_REQUIRE(shown);
  CATCH_REQUIRE(shown->original.size() == Size{16, 12});
  const Image displayed = displayed_view(shown->groups[0][0], config.views[0]);
  CATCH_REQUIRE(displayed.size() == Size{12, 12});
  bool same = true;
  for (std::size_t y = 0; y < 12; ++y) {
    same = same && std::equal(&displayed.pixels[y * 36], &displayed.pixels[y * 36] + 36,
                              &shown->original.pixels[(y * 16 + 2) * 3]);
  }
  CATCH_CHECK(same);
}

}  // namespace
}  // namespace clr
