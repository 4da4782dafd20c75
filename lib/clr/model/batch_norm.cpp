// SPDX-License-Identifier: Apache-2.0
#include "clr/model/batch_norm.h"

#include <ATen/Context.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <utility>

#include "clr/dist/world.h"
#include "clr/model/sync_batch_norm.h"

namespace clr {
namespace {

constexpr double kEpsilon = 1e-5;
constexpr double kMomentum = 0.1;

torch::Tensor normalize(const torch::Tensor& x, const torch::Tensor& weight,
                        const torch::Tensor& bias, const torch::Tensor& running_mean,
                        const torch::Tensor& running_var, bool training) {
  return at::batch_norm(x, weight, bias, running_mean, running_var, training, kMomentum, kEpsilon,
                        at::globalContext().userEnabledCuDNN());
}

std::vector<torch::Tensor> cloned(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> copies;
  for (const auto& tensor : tensors) copies.push_back(tensor.clone());
  return copies;
}

}  // namespace

BatchNorm::BatchNorm(std::int64_t channels, bool affine) {
  if (affine) {
    weight = register_parameter("weight", torch::ones({channels}));
    bias = register_parameter("bias", torch::zeros({channels}));
  }
  running_mean = register_buffer("running_mean", torch::zeros({channels}));
  running_var = register_buffer("running_var", torch::ones({channels}));
  num_batches_tracked =
      register_buffer("num_batches_tracked", torch::zeros({}, torch::dtype(torch::kInt64)));
}

void BatchNorm::set_world(std::shared_ptr<World> world) { world_ = std::move(world); }

torch::Tensor BatchNorm::forward(const torch::Tensor& x) {
  const bool counting = is_training() && !frozen_;
  if (counting) num_batches_tracked.add_(1);
  const bool synced = is_training() && world_ != nullptr && !world_->is_alone();
  const std::int64_t splits = synced ? splits_ / world_->size() : splits_;
  const std::int64_t groups =
      is_training() ? std::max<std::int64_t>(1, std::min(splits, x.size(0) / 2)) : 1;
  if (groups > 1 || (synced && splits_ > 1)) return forward_split(x, groups, counting);
  if (synced) {
    return sync_batch_norm(world_, x, weight, bias, counting ? running_mean : torch::Tensor(),
                           counting ? running_var : torch::Tensor(), kMomentum, kEpsilon);
  }
  const bool running = counting || !is_training();
  return normalize(x, weight, bias, running ? running_mean : torch::Tensor(),
                   running ? running_var : torch::Tensor(), is_training());
}

torch::Tensor BatchNorm::forward_split(const torch::Tensor& x, std::int64_t groups, bool counting) {
  torch::Tensor means;  // a row a group, updated in place
  torch::Tensor vars;
  if (counting) {
    means = running_mean.repeat({groups, 1});
    vars = running_var.repeat({groups, 1});
  }
  std::vector<torch::Tensor> parts = x.tensor_split(groups);
  for (std::int64_t g = 0; g < groups; ++g) {
    torch::Tensor& part = parts[static_cast<std::size_t>(g)];
    part = normalize(part, weight, bias, counting ? means[g] : torch::Tensor(),
                     counting ? vars[g] : torch::Tensor(), true);
  }
  if (counting) {
    means = means.mean(0);
    vars = vars.mean(0);
    if (world_ != nullptr && !world_->is_alone()) {
      // As many groups everywhere.
      for (const torch::Tensor& statistic : {means, vars}) {
        world_->sum(statistic);
        statistic.div_(world_->size());
      }
    }
    running_mean.copy_(means);
    running_var.copy_(vars);
  }
  return at::cat(parts);
}

PooledStatistics::PooledStatistics(const torch::nn::Module& module) {
  for (const auto& part : module.modules()) {
    const auto* norm = dynamic_cast<const BatchNorm*>(part.get());
    if (norm == nullptr) continue;
    buffers_.push_back(norm->running_mean);
    buffers_.push_back(norm->running_var);
    counts_.push_back(norm->num_batches_tracked);
  }
  before_ = cloned(buffers_);
  mean_ = cloned(buffers_);
  counts_before_ = cloned(counts_);
  counts_after_ = cloned(counts_);
}

void PooledStatistics::take(std::int64_t weight) {
  weight_ += weight;
  if (buffers_.empty()) return;
  const torch::NoGradGuard no_grad;
  // The first time that is a copy; and where nothing changes, no rounding does either.
  at::_foreach_lerp_(mean_, buffers_, static_cast<double>(weight) / static_cast<double>(weight_));
  at::_foreach_copy_(counts_after_, counts_);
  at::_foreach_copy_(buffers_, before_);
  at::_foreach_copy_(counts_, counts_before_);
}

void average_statistics(const torch::nn::Module& module, World& world, std::int64_t weight) {
  if (world.is_alone()) return;
  std::vector<torch::Tensor> statistics;
  for (const auto& part : module.modules()) {
    const auto* norm = dynamic_cast<const BatchNorm*>(part.get());
    if (norm == nullptr) continue;
    statistics.push_back(norm->running_mean);
    statistics.push_back(norm->running_var);
  }
  if (statistics.empty()) return;
  const torch::NoGradGuard no_grad;
  const torch::Tensor own = torch::full({1}, static_cast<double>(weight), statistics[0].options());
  torch::Tensor all = at::cat(statistics).mul_(own);
  all = at::cat({all, own});
  world.sum(all);
  all.div_(all[-1].clone());
  std::int64_t first = 0;
  for (torch::Tensor& statistic : statistics) {
    statistic.copy_(all.narrow(0, first, statistic.numel()));
    first += statistic.numel();
  }
}

void PooledStatistics::finish() {
  TORCH_CHECK(weight_ > 0, "pooled statistics: expected a pass before the end, got none");
  if (buffers_.empty()) return;
  const torch::NoGradGuard no_grad;
  at::_foreach_copy_(buffers_, mean_);
  at::_foreach_copy_(counts_, counts_after_);
}

}  // namespace clr
