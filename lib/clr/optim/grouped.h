// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "clr/optim/optimizer.h"

namespace clr {

/// A decay of a running mean: at least 0, below 1.
constexpr In kDecayRange{0, 0.99999};

/// What the optimisers have in common: groups, learning rates, and state in buffers shaped as the
/// parameters.
class GroupedOptimizer : public Optimizer {
 public:
  void step(double learning_rate, double base_learning_rate) override;
  void set_weight_decay(double weight_decay) override { weight_decay_ = weight_decay; }
  void zero_grad() override;
  NamedTensors state() const override;
  void load_state(const NamedTensors& state) override;

 protected:
  /// Makes a buffer of zeros for each parameter and each kind. `scalars`: further kinds with one
  /// number a parameter.
  GroupedOptimizer(const OptimizerOptions& options, const std::vector<OptimizerGroup>& groups,
                   std::vector<std::string> kinds, std::vector<std::string> scalars = {});

  /// The parameters of one group that have a gradient, side by side with their buffers.
  struct Update {
    std::vector<torch::Tensor> parameters;
    std::vector<torch::Tensor> gradients;
    std::vector<std::vector<torch::Tensor>> buffers;  ///< [kind][parameter], scalars last
    double learning_rate = 0.0;
    double weight_decay = 0.0;  ///< 0 where the group is excluded
    bool excluded = false;
  };

  /// Changes the parameters and buffers in place. All tensors of one parameter have one layout.
  virtual void update(const Update& update) = 0;

 private:
  struct Slot {
    std::string name;
    torch::Tensor parameter;
    std::vector<torch::Tensor> buffers;
  };
  struct Group {
    std::vector<Slot> slots;
    bool excluded = false;
    double lr_multiplier = 1.0;
    bool constant_lr = false;
  };

  double weight_decay_;
  std::vector<std::string> kinds_;
  std::size_t shaped_kinds_;
  std::vector<Group> groups_;
};

}  // namespace clr
