// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "clr/method/momentum_encoder.h"
#include "clr/method/prediction_head.h"
#include "clr/method/projecting_method.h"

namespace clr {

/// A method whose prediction head foretells what a momentum encoder makes of the image's other view:
/// what byol and moco_v3 have in common, but for their losses.
class TargetPrediction : public ProjectingMethod {
 public:
  void before_step(const StepContext& context) override;

  /// Predictions of both views [2, N, D], then the target's projections of both, without a graph. Views
  /// go through the networks one by one.
  Embeddings embed(const Batch& batch) override;

  void after_step(const Embeddings& embeddings, const Batch& batch,
                  const StepContext& context) override;

 protected:
  TargetPrediction(const MomentumOptions& momentum, const PredictorOptions& predictor,
                   const MethodContext& context, const std::string& method);

  /// The momentum of a step, where it changes.
  void add_momentum(StepOutput& output, const StepContext& context) const;

 private:
  MomentumOptions momentum_;
  std::shared_ptr<MlpHead> predictor_;
  std::shared_ptr<MomentumEncoder> target_;
};

}  // namespace clr
