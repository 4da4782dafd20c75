// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "clr/data/dataset.h"
#include "clr/dist/world.h"
#include "clr/eval/features.h"
#include "clr/train/eval_config.h"
#include "clr/train/model_source.h"
#include "command.h"

namespace clr {

/// Which output of a model is meant: h, z, or the output of the projection head's first layer.
enum class FeatureLayer { feature, projection, projector_1 };
constexpr auto enum_names(FeatureLayer) {
  return std::array{"feature", "projection", "projector_1"};
}

/// The options that name a model and how its features are computed.
struct FeatureOptions {
  std::string checkpoint;
  std::string config;
  std::vector<std::string> sets;
  FeatureLayer layer = FeatureLayer::feature;
  std::int64_t seed = 0;
  ComputeOptions compute;
  std::shared_ptr<World> world = World::alone();  ///< who shares the work

  void add_to(CLI::App& command);
};

/// Opens --checkpoint; with `random` --config is the training configuration that names the
/// architecture.
ModelSource open_source(const FeatureOptions& options);

/// --config as a document, where it is an evaluation's; an empty one otherwise.
ConfigDocument given_config(const FeatureOptions& options);

/// What the checkpoint says, --config merged over it, then --set.
ConfigDocument evaluation_document(const FeatureOptions& options, const ModelSource& source);

/// A model that is ready to compute features, with everything that its configuration says.
class FeatureExtractor {
 public:
  /// Builds the network and takes LibTorch's settings from the configuration.
  /// Throws:  Error{checkpoint} for weights that do not fit, or a layer that the model lacks.
  FeatureExtractor(const ModelSource& source, const EvalConfig& config,
                   const FeatureOptions& options);

  /// Of a network that is there and placed on `device`; it is put into evaluation mode.
  FeatureExtractor(FeatureModel model, FeatureLayer layer, const EvalConfig& config,
                   const c10::Device& device, int loader_threads,
                   std::shared_ptr<World> world = World::alone());

  /// Features of a whole set; images are seen through the evaluation transform. Those of a run's
  /// model are kept in the run's folder, by weights, images and configuration.
  Features extract(std::shared_ptr<const Dataset> dataset, const std::string& title) const;

  /// The same without a look at what is kept, and without keeping it.
  Features compute(std::shared_ptr<const Dataset> dataset, const std::string& title) const;

  const EvalConfig& config() const { return config_; }
  const FeatureModel& model() const { return model_; }
  FeatureLayer layer() const { return layer_; }
  const c10::Device& device() const { return device_; }
  int loader_threads() const { return loader_threads_; }
  /// SHA-256 of the encoder as it is now.
  std::string encoder_sha256() const { return tensors_sha256(*model_.encoder); }

 private:
  /// Everything that the features of a set depend on.
  Json cache_key(const Dataset& dataset) const;
  void report_bad(const Features& features, const Dataset& dataset) const;

  std::shared_ptr<World> world_;
  FeatureLayer layer_;
  c10::Device device_;
  int loader_threads_;
  EvalConfig config_;
  FeatureModel model_;
  std::optional<std::filesystem::path> run_;  ///< where features are kept
};

/// Throws Error{checkpoint} when the layer is of a projection head and the model has none.
void require_layer(const FeatureModel& model, FeatureLayer layer, const std::string& name);

}  // namespace clr
