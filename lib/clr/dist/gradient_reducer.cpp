// SPDX-License-Identifier: Apache-2.0
#include "clr/dist/gradient_reducer.h"

#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <functional>
#include <utility>

namespace clr {
namespace {

class Hook : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit Hook(std::function<void()> then) : then_(std::move(then)) {}
  void operator()(const torch::autograd::Variable&) override { then_(); }

 private:
  std::function<void()> then_;
};

}  // namespace

struct GradientReducer::Bucket {
  torch::Tensor memory;
  std::vector<std::size_t> parameters;
  std::size_t missing = 0;
  World::Pending pending;
};

GradientReducer::GradientReducer(std::shared_ptr<World> world,
                                 std::vector<torch::Tensor> parameters, std::int64_t bucket_bytes)
    : world_(std::move(world)), parameters_(std::move(parameters)) {
  std::reverse(parameters_.begin(), parameters_.end());
  // The memory is made once the sizes are known: a bucket is of one type and device.
  std::vector<std::int64_t> sizes;
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const torch::Tensor& parameter = parameters_[i];
    if (buckets_.empty() || bytes >= bucket_bytes ||
        parameter.scalar_type() != parameters_[i - 1].scalar_type()) {
      buckets_.emplace_back();
      sizes.push_back(0);
      bytes = 0;
    }
    bucket_of_.push_back(buckets_.size() - 1);
    buckets_.back().parameters.push_back(i);
    sizes.back() += parameter.numel();
    bytes += static_cast<std::int64_t>(parameter.nbytes());
  }
  for (std::size_t b = 0; b < buckets_.size(); ++b) {
    Bucket& bucket = buckets_[b];
    bucket.memory = at::zeros(
        {sizes[b]}, parameters_[bucket.parameters.front()].options().requires_grad(false));
    std::int64_t first = 0;
    for (const std::size_t i : bucket.parameters) {
      const torch::Tensor& parameter = parameters_[i];
      slots_.push_back(bucket.memory.as_strided(parameter.sizes(), parameter.strides(), first));
      first += parameter.numel();
    }
  }
  filled_.resize(parameters_.size());
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    torch::autograd::impl::set_post_acc_grad_hooks(
        parameters_[i], std::make_unique<Hook>([this, i] { complete(i); }));
  }
}

GradientReducer::~GradientReducer() {
  for (const torch::Tensor& parameter : parameters_) {
    torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
  }
}

void GradientReducer::expect() {
  for (Bucket& bucket : buckets_) bucket.missing = bucket.parameters.size();
  std::fill(filled_.begin(), filled_.end(), false);
  sent_ = 0;
  expecting_ = true;
}

void GradientReducer::complete(std::size_t parameter) {
  if (!expecting_ || filled_[parameter]) return;
  fill(parameter);
  send_ready();
}

void GradientReducer::fill(std::size_t parameter) {
  const torch::NoGradGuard no_grad;
  torch::Tensor& gradient = parameters_[parameter].mutable_grad();
  slots_[parameter].copy_(gradient);
  gradient = slots_[parameter];
  filled_[parameter] = true;
  --buckets_[bucket_of_[parameter]].missing;
}

void GradientReducer::send_ready() {
  while (sent_ < buckets_.size() && buckets_[sent_].missing == 0) {
    buckets_[sent_].pending = world_->sum_later(buckets_[sent_].memory);
    ++sent_;
  }
}

void GradientReducer::finish() {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (filled_[i]) continue;
    if (parameters_[i].grad().defined()) {
      fill(i);
    } else {
      slots_[i].zero_();
      --buckets_[bucket_of_[i]].missing;
    }
  }
  send_ready();
  for (Bucket& bucket : buckets_) bucket.pending.wait();
  expecting_ = false;
}

}  // namespace clr
