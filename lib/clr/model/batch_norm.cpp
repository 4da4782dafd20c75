// SPDX-License-Identifier: Apache-2.0
#include "clr/model/batch_norm.h"

#include <ATen/Context.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

namespace clr {
namespace {

constexpr double kEpsilon = 1e-5;
constexpr double kMomentum = 0.1;

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

torch::Tensor BatchNorm::forward(const torch::Tensor& x) {
  const bool counting = is_training() && !frozen_;
  if (counting) num_batches_tracked.add_(1);
  const bool running = counting || !is_training();
  return at::batch_norm(x, weight, bias, running ? running_mean : torch::Tensor(),
                        running ? running_var : torch::Tensor(), is_training(), kMomentum, kEpsilon,
                        at::globalContext().userEnabledCuDNN());
}

}  // namespace clr
