// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "clr/data/dataset.h"
#include "clr/eval/features.h"
#include "clr/train/eval_config.h"
#include "clr/train/model_source.h"
#include "command.h"

namespace clr {

enum class FeatureLayer { feature, projection };

/// The options that name a model and how its features are computed.
struct FeatureOptions {
  std::string checkpoint;
  std::string config;
  std::vector<std::string> sets;
  std::string layer = "feature";
  std::int64_t seed = 0;
  ComputeOptions compute;

  void add_to(CLI::App& command);
};

/// A model that is ready to compute features, with everything that its configuration says.
class FeatureExtractor {
 public:
  /// Opens the checkpoint, merges what it says, --config and --set, and builds the network.
  explicit FeatureExtractor(const FeatureOptions& options);

  /// Features of a whole set; images are seen through the evaluation transform.
  Features extract(std::shared_ptr<const Dataset> dataset, const std::string& title) const;

  /// Says what had to be assumed about the checkpoint, if anything.
  void log_assumptions() const;

  const EvalConfig& config() const { return config_; }
  const ModelSource& source() const { return source_; }
  const c10::Device& device() const { return device_; }
  /// SHA-256 of the encoder as it is now.
  std::string encoder_sha256() const { return tensors_sha256(*model_.encoder); }

 private:
  FeatureLayer layer_;
  int loader_threads_;
  c10::Device device_;
  ModelSource source_;
  EvalConfig config_;
  FeatureModel model_;
};

}  // namespace clr
