// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "clr/config/registry.h"

namespace clr {

enum class LearningRateScaling { none, linear, sqrt };
constexpr auto enum_names(LearningRateScaling) { return std::array{"none", "linear", "sqrt"}; }

/// What every optimiser has; listed first by each one's own Options.
struct OptimizerOptions {
  double learning_rate = 0.06;
  LearningRateScaling scaling = LearningRateScaling::none;
  double weight_decay = 0.0;
  double final_weight_decay = 0.0;
  bool exclude_norm_and_bias = false;

  template <class Options>
  static void base_fields(auto&& f) {
    f("learning_rate", &Options::learning_rate, AtLeast{0}, "base learning rate");
    f("scaling", &Options::scaling,
      "none, linear (learning_rate * batch / 256) or sqrt (learning_rate * sqrt(batch))");
    f("weight_decay", &Options::weight_decay, AtLeast{0}, "weight decay");
    f("final_weight_decay", &Options::final_weight_decay, AtLeast{0},
      "weight decay at the end of the run, reached along a cosine; 0 = constant");
    f("exclude_norm_and_bias", &Options::exclude_norm_and_bias,
      "no weight decay (and, with lars, no adaptation) for batch norm and biases");
  }
};

/// The learning rate after scaling, before the schedule.
double effective_learning_rate(const OptimizerOptions& options, std::int64_t batch_size);

/// The weight decay of a step: constant, or along its cosine.
double weight_decay_at(const OptimizerOptions& options, std::int64_t step,
                       std::int64_t total_steps);

/// Parameters that an optimiser treats alike.
struct OptimizerGroup {
  std::vector<std::pair<std::string, torch::Tensor>> parameters;
  bool excluded = false;  ///< no weight decay, no adaptation
  double lr_multiplier = 1.0;
  bool constant_lr = false;  ///< always the effective rate, whatever the schedule says
};

/// Named tensors of an optimiser's or a network's state.
using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

/// Updates parameters from their gradients, in place. A parameter without a gradient is left alone.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// One step; gradients are left as they are. learning_rate: after scaling and schedule;
  /// base_learning_rate: after scaling alone, for groups with constant_lr.
  virtual void step(double learning_rate, double base_learning_rate) = 0;

  /// In place of the options' weight decay from now on. No part of the state.
  virtual void set_weight_decay(double weight_decay) = 0;

  /// Sets all gradients to none.
  virtual void zero_grad() = 0;

  /// State as named tensors that share memory with it: a name for each kind and parameter, such as
  /// `momentum.encoder.conv1.weight`. Complete from the start.
  virtual NamedTensors state() const = 0;

  /// Takes a state() of an optimiser of the same kind over the same parameters.
  /// Throws:  Error{checkpoint} naming the tensor that is missing, left over or of another shape.
  virtual void load_state(const NamedTensors& state) = 0;
};

using OptimizerEntry = Entry<std::unique_ptr<Optimizer>, const std::vector<OptimizerGroup>&>;
using OptimizerRegistry = Registry<std::unique_ptr<Optimizer>, const std::vector<OptimizerGroup>&>;

/// Every optimiser that `optimizer.type` can name: sgd, lars, adam, adamw.
const OptimizerRegistry& optimizers();

template <>
struct ComponentTraits<Optimizer> {
  static const ComponentTable& table() { return optimizers(); }
};

/// The options that all optimisers share, read from a resolved component.
OptimizerOptions shared_options(const Component<Optimizer>& component);

}  // namespace clr
