// SPDX-License-Identifier: Apache-2.0
#include "clr/optim/optimizer.h"

#include <cmath>

#include "clr/core/cosine_ramp.h"

namespace clr {
namespace {

struct SharedOptions : OptimizerOptions {
  static void fields(auto&& f) { base_fields<SharedOptions>(f); }
};

}  // namespace

double effective_learning_rate(const OptimizerOptions& options, std::int64_t batch_size) {
  const auto batch = static_cast<double>(batch_size);
  switch (options.scaling) {
    case LearningRateScaling::linear:
      return options.learning_rate * batch / 256.0;
    case LearningRateScaling::sqrt:
      return options.learning_rate * std::sqrt(batch);
    case LearningRateScaling::none:
      break;
  }
  return options.learning_rate;
}

double weight_decay_at(const OptimizerOptions& options, std::int64_t step,
                       std::int64_t total_steps) {
  if (options.final_weight_decay == 0 || total_steps <= 0) return options.weight_decay;
  return cosine_ramp(options.weight_decay, options.final_weight_decay, step, total_steps);
}

OptimizerOptions shared_options(const Component<Optimizer>& component) {
  const Place place("optimizer");
  Json known = Json::object();
  SharedOptions::fields([&](const char* key, auto&&...) {
    if (component.options.contains(key)) known[key] = component.options[key];
  });
  SharedOptions options;
  read_fields(known, place, options);
  return options;
}

}  // namespace clr
