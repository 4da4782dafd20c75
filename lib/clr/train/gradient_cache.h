// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "clr/core/batch.h"
#include "clr/method/method.h"
#include "clr/model/batch_norm.h"

namespace clr {

/// State of LibTorch's own generators: the CPU's, and the device's where that is another one.
class GeneratorState {
 public:
  /// The present one.
  explicit GeneratorState(const torch::Device& device);

  void restore() const;

 private:
  torch::Device device_;
  torch::Tensor cpu_;
  torch::Tensor device_state_;  ///< undefined on the CPU
};

/// Loss and gradients of a whole batch that passes through a method's networks in micro-batches.
///
/// One object does one step: embed() for each micro-batch, loss() once, and backward() for each
/// micro-batch again, in the same order and with the same views. Gradients are added to the
/// parameters'. They are those of the whole batch, up to rounding, wherever the networks treat each
/// image by itself. Batch norm does not: it normalises by micro-batch, alike in both passes, and
/// its running statistics move once a step, by the mean of the micro-batches' statistics.
///
/// Draws from LibTorch's generators in embed() (dropout) are the same for a micro-batch in both
/// passes. Micro-batches without images are passed over.
/// Memory:  activations of one micro-batch; for the whole batch the embeddings and their gradient.
/// Source:  arXiv:2101.06983.
class GradientCache {
 public:
  /// bfloat16: embed() runs under autocast.
  GradientCache(Method& method, const torch::Device& device, bool bfloat16);

  /// First pass: keeps the embeddings, builds no graph.
  void embed(const Batch& micro_batch);

  /// The method's loss over everything that was embedded, and its gradients: into the loss's own
  /// parameters, and for the embeddings into the cache.
  StepOutput loss(const StepContext& context);

  /// Second pass: takes the micro-batch's gradient back through the networks.
  void backward(const Batch& micro_batch);

  /// Of the whole batch, detached, from loss() on.
  const Embeddings& embeddings() const { return embeddings_; }

  /// Labels and indices of the whole batch, from loss() on; no groups.
  const Batch& batch() const { return batch_; }

 private:
  struct Part {
    std::int64_t first = 0;
    std::int64_t rows = 0;
    GeneratorState generators;  ///< before it was embedded
    Embeddings embeddings;
    torch::Tensor labels;
    torch::Tensor indices;
  };

  Embeddings through_networks(const Batch& micro_batch);

  Method& method_;
  torch::Device device_;
  bool bfloat16_;
  PooledStatistics statistics_;
  std::vector<Part> parts_;
  std::int64_t rows_ = 0;
  Embeddings embeddings_;
  Batch batch_;
  std::vector<torch::Tensor> gradients_;  ///< of embeddings_.z; undefined where the loss has none
  std::optional<GeneratorState> after_loss_;
  std::size_t gone_back_ = 0;  ///< parts of the second pass that are done
};

}  // namespace clr
