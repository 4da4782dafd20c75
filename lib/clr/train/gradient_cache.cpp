// SPDX-License-Identifier: Apache-2.0
#include "clr/train/gradient_cache.h"

#include <ATen/Context.h>
#include <ATen/ops/cat.h>
#include <torch/csrc/autograd/autograd.h>

#include <mutex>
#include <utility>

#include "clr/core/autocast.h"

namespace clr {
namespace {

torch::Tensor read_state(const torch::Device& device) {
  at::Generator generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard lock(generator.mutex());
  return generator.get_state();
}

void write_state(const torch::Device& device, const torch::Tensor& state) {
  at::Generator generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard lock(generator.mutex());
  generator.set_state(state);
}

/// Running statistics stand still while it lives.
class FrozenStatistics {
 public:
  explicit FrozenStatistics(Method& method) : method_(method) {
    method_.freeze_running_statistics(true);
  }
  ~FrozenStatistics() { method_.freeze_running_statistics(false); }
  FrozenStatistics(const FrozenStatistics&) = delete;
  FrozenStatistics& operator=(const FrozenStatistics&) = delete;

 private:
  Method& method_;
};

}  // namespace

GeneratorState::GeneratorState(const torch::Device& device)
    : device_(device), cpu_(read_state(torch::kCPU)) {
  if (!device.is_cpu()) device_state_ = read_state(device);
}

void GeneratorState::restore() const {
  write_state(torch::kCPU, cpu_);
  if (device_state_.defined()) write_state(device_, device_state_);
}

GradientCache::GradientCache(Method& method, const torch::Device& device, bool bfloat16)
    : method_(method), device_(device), bfloat16_(bfloat16), statistics_(method) {}

Embeddings GradientCache::through_networks(const Batch& micro_batch) {
  const BFloat16Autocast autocast(device_.type(), bfloat16_);
  Embeddings embeddings = method_.embed(micro_batch);
  for (const auto& z : embeddings.z) {
    TORCH_CHECK(z.dim() >= 2 && z.size(1) == micro_batch.size(), "embed: expected [V, ",
                micro_batch.size(), ", ...], got ", z.sizes());
  }
  return embeddings;
}

void GradientCache::embed(const Batch& micro_batch) {
  const std::int64_t rows = micro_batch.size();
  if (rows == 0) return;
  const torch::NoGradGuard no_grad;
  Part part{rows_, rows, GeneratorState(device_), {}, micro_batch.labels, micro_batch.indices};
  batch_.counts.resize(micro_batch.counts.size());
  for (std::size_t i = 0; i < micro_batch.counts.size(); ++i)
    batch_.counts[i] += micro_batch.counts[i];
  part.embeddings = through_networks(micro_batch);
  // Of all processes: their statistics are of all of them.
  statistics_.take(micro_batch.total());
  rows_ += rows;
  batch_.epoch = micro_batch.epoch;
  batch_.step = micro_batch.step;
  parts_.push_back(std::move(part));
}

StepOutput GradientCache::loss(const StepContext& context) {
  TORCH_CHECK(!parts_.empty(), "gradient cache: nothing was embedded");
  statistics_.finish();
  std::vector<std::vector<torch::Tensor>> z(parts_.front().embeddings.z.size());
  std::vector<torch::Tensor> labels;
  std::vector<torch::Tensor> indices;
  for (Part& part : parts_) {
    for (std::size_t i = 0; i < z.size(); ++i) z[i].push_back(part.embeddings.z.at(i));
    labels.push_back(part.labels);
    indices.push_back(part.indices);
    part.embeddings = {};
  }
  batch_.labels = at::cat(labels);
  batch_.indices = at::cat(indices);
  Embeddings leaves;
  for (auto& pieces : z) {
    leaves.z.push_back(at::cat(pieces, 1));
    leaves.z.back().set_requires_grad(leaves.z.back().is_floating_point());
    embeddings_.z.push_back(leaves.z.back().detach());
    pieces.clear();
  }
  StepOutput output = method_.loss(leaves, batch_, context);
  output.loss.backward();
  output.loss = output.loss.detach();
  for (const auto& leaf : leaves.z) gradients_.push_back(leaf.grad());
  after_loss_.emplace(device_);
  return output;
}

void GradientCache::backward(const Batch& micro_batch) {
  if (micro_batch.size() == 0) return;
  const Part& part = parts_.at(gone_back_++);
  TORCH_CHECK(micro_batch.size() == part.rows, "gradient cache: expected the micro-batch of ",
              part.rows, " rows again, got ", micro_batch.size());
  part.generators.restore();
  std::vector<torch::Tensor> roots;
  std::vector<torch::Tensor> gradients;
  {
    const FrozenStatistics frozen(method_);
    const Embeddings embeddings = through_networks(micro_batch);
    for (std::size_t i = 0; i < embeddings.z.size(); ++i) {
      if (!embeddings.z[i].requires_grad() || !gradients_.at(i).defined()) continue;
      roots.push_back(embeddings.z[i]);
      gradients.push_back(gradients_[i].narrow(1, part.first, part.rows));
    }
  }
  if (!roots.empty()) torch::autograd::backward(roots, gradients);
  if (gone_back_ == parts_.size()) after_loss_->restore();
}

}  // namespace clr
