// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "clr/data/dataset.h"
#include "clr/dist/world.h"
#include "clr/eval/linear_probe.h"
#include "clr/train/model_source.h"
#include "clr/train/trainer.h"

namespace clr {

/// A classifier's training, whatever the draw of labels.
struct ClassifierTraining {
  RunConfig run;     ///< of the method `supervised`
  SafeTensors init;  ///< empty: random weights, drawn from the draw's seed
  std::string init_name;
  c10::Device device{c10::kCPU};
  int loader_threads = 1;
  std::shared_ptr<World> world = World::alone();  ///< who shares the work

  /// The run of one draw: its seed, and a batch that the labelled images fill.
  RunConfig of_draw(std::int64_t images, std::uint64_t seed) const;
};

struct TrainedClassifier {
  FeatureModel model;  ///< what it stands on, as training left it, in float32
  LinearHead head;
  TrainResult training;
};

/// Trains on all of a labelled set. The folder becomes a run folder; with `resume` training goes on
/// from what is there.
/// Throws:  Error{data} for fewer than two classes; as Trainer.
TrainedClassifier train_classifier(const ClassifierTraining& training,
                                   std::shared_ptr<const Dataset> dataset,
                                   const std::filesystem::path& folder, std::uint64_t seed,
                                   bool resume);

/// Throws Error{data} where the labels of one draw are all of one class.
void require_two_classes(const Dataset& dataset);

}  // namespace clr
