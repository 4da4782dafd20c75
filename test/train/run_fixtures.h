// SPDX-License-Identifier: Apache-2.0
#pragma once

// What tests of whole runs share: pictures from memory, a tiny configuration, what a run left.
#include <fmt/format.h>
#include <torch/types.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "clr/core/log.h"
#include "clr/io/file.h"
#include "clr/train/checkpoint.h"
#include "clr/train/trainer.h"
#include "data/files.h"
#include "support/catch.h"
#include "support/temporary_folder.h"

namespace clr::test {

/// Small random pictures; those in `bad` cannot be read, and those in `once` only the first time.
class Pictures final : public Dataset {
 public:
  explicit Pictures(int count, std::set<std::int64_t> bad = {}, std::set<std::int64_t> once = {})
      : bad_(std::move(bad)), once_(std::move(once)), reads_(static_cast<std::size_t>(count)) {}

  std::int64_t size() const override { return static_cast<std::int64_t>(reads_.size()); }
  Record get(std::int64_t index) const override {
    const int reads = ++reads_[static_cast<std::size_t>(index)];
    if (bad_.contains(index) || (reads > 1 && once_.contains(index))) {
      return std::vector<std::uint8_t>{1, 2, 3};
    }
    return numbered_image(static_cast<int>(index), 10, 9);
  }
  std::int64_t label(std::int64_t index) const override { return index % 3; }
  std::string name(std::int64_t index) const override { return fmt::format("image {}", index); }
  std::string location(std::int64_t index) const override { return "memory/" + name(index); }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string fingerprint() const override { return "0123456789abcdef"; }

 private:
  std::set<std::int64_t> bad_;
  std::set<std::int64_t> once_;
  mutable std::vector<std::atomic<int>> reads_;
  std::vector<std::string> classes_ = {"a", "b", "c"};
};

inline Json base_config() {
  return Json::parse(R"({
    "method": {"type": "simclr"},
    "encoder": {"type": "resnet18", "stem": "cifar", "width": 0.0625},
    "projector": {"hidden": 24, "output": 8},
    "augment": {"views": [{"count": 2, "chain": [
      {"type": "random_resized_crop", "size": 8, "scale": [0.4, 1.0]},
      {"type": "horizontal_flip", "p": 0.5}]}]},
    "data": {"cache": "none", "max_bad": 1},
    "optimizer": {"type": "sgd", "learning_rate": 0.05},
    "train": {"epochs": 2, "batch_size": 12, "precision": "float32", "knn_every_epochs": 0,
              "health_every_epochs": 0,
              "log_every_steps": 1, "compute_threads": 1, "memory_format": "contiguous"}
  })");
}

inline RunConfig configured(const Json& changes) {
  ConfigDocument document;
  document.value = base_config();
  document.value.merge_patch(changes);
  return read_run_config(document);
}

struct Row {
  double loss = 0;
  double gradient_norm = 0;
};

struct Outcome {
  TrainResult result;
  std::vector<Row> rows;    ///< of its steps
  std::vector<Json> other;  ///< rows of other kinds
  Checkpoint checkpoint;
};

inline Outcome train(const RunConfig& config, const std::shared_ptr<const Dataset>& dataset,
                     int threads = 2) {
  set_log_level(LogLevel::quiet);
  const TemporaryFolder folder;
  TrainerOptions options;
  options.out = folder.path();
  options.loader_threads = threads;
  Trainer trainer(config, dataset, options);
  Outcome outcome;
  outcome.result = trainer.run();
  outcome.checkpoint = read_checkpoint(outcome.result.checkpoint);
  const std::string text = read_file(folder.path() / "metrics.jsonl", ErrorKind::output);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    const Json row = parse_json(text.substr(at, end - at), "metrics.jsonl");
    if (row.at("kind") == "step") {
      outcome.rows.push_back({row.at("loss").get<double>(), row.at("gradient_norm").get<double>()});
    } else {
      outcome.other.push_back(row);
    }
    at = end + 1;
  }
  return outcome;
}

inline void check_same_tensors(const SafeTensors& got, const SafeTensors& expected) {
  CATCH_REQUIRE(got.tensors.size() == expected.tensors.size());
  for (std::size_t i = 0; i < got.tensors.size(); ++i) {
    CATCH_INFO(expected.tensors[i].first);
    CATCH_CHECK(got.tensors[i].first == expected.tensors[i].first);
    CATCH_CHECK(torch::equal(got.tensors[i].second, expected.tensors[i].second));
  }
}

inline void check_same_bytes(const Outcome& got, const Outcome& expected) {
  check_same_tensors(got.checkpoint.model, expected.checkpoint.model);
  check_same_tensors(got.checkpoint.state, expected.checkpoint.state);
  CATCH_REQUIRE(got.rows.size() == expected.rows.size());
  for (std::size_t i = 0; i < got.rows.size(); ++i) {
    CATCH_CHECK(got.rows[i].loss == expected.rows[i].loss);
    CATCH_CHECK(got.rows[i].gradient_norm == expected.rows[i].gradient_norm);
  }
}

}  // namespace clr::test
