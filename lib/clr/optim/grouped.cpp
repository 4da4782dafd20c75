// SPDX-License-Identifier: Apache-2.0
#include "clr/optim/grouped.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/ranges.h>

#include <map>

namespace clr {
namespace {

/// `tensor` itself where it lies as `model` does, else a copy that does: the fused kernels walk
/// through memory and look at no strides.
torch::Tensor laid_out_like(const torch::Tensor& tensor, const torch::Tensor& model) {
  if (tensor.strides() == model.strides() && tensor.device() == model.device() &&
      tensor.scalar_type() == model.scalar_type()) {
    return tensor;
  }
  return torch::empty_like(model).copy_(tensor);
}

std::string shape_text(const torch::Tensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.sizes().vec(), ", "));
}

}  // namespace

GroupedOptimizer::GroupedOptimizer(const OptimizerOptions& options,
                                   const std::vector<OptimizerGroup>& groups,
                                   std::vector<std::string> kinds, std::vector<std::string> scalars)
    : weight_decay_(options.weight_decay), kinds_(std::move(kinds)), shaped_kinds_(kinds_.size()) {
  kinds_.insert(kinds_.end(), scalars.begin(), scalars.end());
  const at::NoGradGuard no_grad;
  for (const OptimizerGroup& from : groups) {
    Group group;
    group.excluded = from.excluded;
    group.lr_multiplier = from.lr_multiplier;
    group.constant_lr = from.constant_lr;
    for (const auto& [name, parameter] : from.parameters) {
      TORCH_CHECK(parameter.is_non_overlapping_and_dense(), name, ": expected a dense parameter");
      Slot slot{name, parameter, {}};
      for (std::size_t k = 0; k < kinds_.size(); ++k) {
        slot.buffers.push_back(
            k < shaped_kinds_
                ? torch::zeros_like(parameter)
                : torch::zeros({}, torch::dtype(torch::kFloat32).device(parameter.device())));
      }
      group.slots.push_back(std::move(slot));
    }
    groups_.push_back(std::move(group));
  }
}

void GroupedOptimizer::step(double learning_rate, double base_learning_rate) {
  const at::NoGradGuard no_grad;
  for (Group& group : groups_) {
    Update update;
    update.learning_rate =
        (group.constant_lr ? base_learning_rate : learning_rate) * group.lr_multiplier;
    update.excluded = group.excluded;
    update.weight_decay = group.excluded ? 0.0 : weight_decay_;
    update.buffers.resize(kinds_.size());
    for (Slot& slot : group.slots) {
      const torch::Tensor& gradient = slot.parameter.grad();
      if (!gradient.defined()) continue;
      update.parameters.push_back(slot.parameter);
      update.gradients.push_back(laid_out_like(gradient, slot.parameter));
      for (std::size_t k = 0; k < kinds_.size(); ++k) {
        if (k < shaped_kinds_) slot.buffers[k] = laid_out_like(slot.buffers[k], slot.parameter);
        update.buffers[k].push_back(slot.buffers[k]);
      }
    }
    if (!update.parameters.empty()) this->update(update);
  }
}

void GroupedOptimizer::zero_grad() {
  for (Group& group : groups_) {
    for (Slot& slot : group.slots) slot.parameter.mutable_grad().reset();
  }
}

NamedTensors GroupedOptimizer::state() const {
  NamedTensors state;
  for (std::size_t k = 0; k < kinds_.size(); ++k) {
    for (const Group& group : groups_) {
      for (const Slot& slot : group.slots) {
        state.emplace_back(kinds_[k] + "." + slot.name, slot.buffers[k]);
      }
    }
  }
  return state;
}

void GroupedOptimizer::load_state(const NamedTensors& state) {
  const at::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> given(state.begin(), state.end());
  const NamedTensors own = this->state();
  for (const auto& [name, buffer] : own) {
    const auto found = given.find(name);
    if (found == given.end()) {
      throw Error(ErrorKind::checkpoint,
                  "optimizer state: expected a tensor " + name + ", got none");
    }
    if (found->second.sizes() != buffer.sizes()) {
      throw Error(ErrorKind::checkpoint,
                  fmt::format("optimizer state: expected {} of shape {}, got {}", name,
                              shape_text(buffer), shape_text(found->second)));
    }
  }
  for (const auto& [name, buffer] : own) {
    buffer.copy_(given.at(name));
    given.erase(name);
  }
  if (!given.empty()) {
    throw Error(ErrorKind::checkpoint, "optimizer state: expected no tensor " +
                                           given.begin()->first +
                                           ", got one; it is of another optimiser or network");
  }
}

}  // namespace clr
