// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/empty.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>

namespace clr {

/// A table of rows by number, `weight` [rows, width]: normal with a deviation of 0.02, as BERT's are.
class EmbeddingTable : public torch::nn::Module {
 public:
  EmbeddingTable(std::int64_t rows, std::int64_t width) {
    weight = register_parameter("weight", at::empty({rows, width}).normal_(0, 0.02));
  }
  torch::Tensor weight;
};

}  // namespace clr
