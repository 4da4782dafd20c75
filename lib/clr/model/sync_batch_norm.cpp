// SPDX-License-Identifier: Apache-2.0
#include "clr/model/sync_batch_norm.h"

#include <ATen/ops/batch_norm_update_stats.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/native_batch_norm.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <vector>

#include "clr/dist/kept_world.h"

namespace clr {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Moments {
  Tensor mean;
  Tensor var;    ///< biased
  Tensor count;  ///< [1]; a tensor, as a GPU would have to be waited for
};

/// x * weight + bias by channel, x normalised by mean and var first: the kernel that batch norm has
/// for evaluation, which reads x once in either memory format.
Tensor normalized(const Tensor& x, const std::optional<Tensor>& weight,
                  const std::optional<Tensor>& bias, const Tensor& mean, const Tensor& var,
                  double epsilon) {
  return std::get<0>(
      at::native_batch_norm(x, weight, bias, mean, var, /*training=*/false, 0.0, epsilon));
}

/// Of all processes' values.
Moments moments_of(World& world, const Tensor& x) {
  const std::int64_t channels = x.size(1);
  const auto own = static_cast<double>(x.numel() / channels);
  const auto [mean, var] = at::batch_norm_update_stats(x, {}, {}, 0.0);
  const Tensor all =
      world.gather(at::cat({mean, var, at::full({1}, own, mean.options())}).unsqueeze(0));
  const Tensor means = all.narrow(1, 0, channels);
  const Tensor counts = all.narrow(1, 2 * channels, 1);
  Moments joined;
  joined.count = counts.sum(0);
  joined.mean = (means * counts).sum(0) / joined.count;
  const Tensor squares = all.narrow(1, channels, channels) + (means - joined.mean).square();
  joined.var = (squares * counts).sum(0) / joined.count;
  return joined;
}

struct SyncBatchNorm : torch::autograd::Function<SyncBatchNorm> {
  /// weight and bias are optional, as undefined tensors are no arguments here.
  static Tensor forward(AutogradContext* context, const std::shared_ptr<World>& world,
                        const Tensor& x, const std::optional<Tensor>& weight,
                        const std::optional<Tensor>& bias, const Moments& moments, double epsilon) {
    context->save_for_backward(
        {x, weight ? *weight : Tensor(), moments.mean, moments.var, moments.count});
    context->saved_data["world"] = KeptWorld::keep(world);
    context->saved_data["epsilon"] = epsilon;
    return normalized(x.to(moments.mean.scalar_type()), weight, bias, moments.mean, moments.var,
                      epsilon)
        .to(x.scalar_type());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& weight = saved[1];
    const Tensor& mean = saved[2];
    const Tensor& var = saved[3];
    const Tensor& count = saved[4];
    const double epsilon = context->saved_data["epsilon"].toDouble();
    const auto type = mean.scalar_type();
    const Tensor x = saved[0].to(type);
    const Tensor dy = gradients.at(0).to(type).contiguous(x.suggest_memory_format());
    // What a batch norm in evaluation asks of weight and bias: the sums of dy * normalised x and dy.
    const auto [unused, products, sums] = at::native_batch_norm_backward(
        dy, x, weight, mean, var, {}, {}, /*train=*/false, epsilon, {false, true, true});
    const Tensor all = at::cat({sums, products});
    KeptWorld::of(context->saved_data["world"])->sum(all);
    const std::int64_t channels = x.size(1);
    // dx = scale * (dy - mean of dy - normalised x * mean of dy * normalised x)
    Tensor scale = (var + epsilon).rsqrt();
    if (weight.defined()) scale = scale * weight;
    const Tensor slope = -scale * all.narrow(0, channels, channels) / count;
    const Tensor shift = -scale * all.narrow(0, 0, channels) / count;
    Tensor dx = normalized(x, slope, shift, mean, var, epsilon);
    std::vector<std::int64_t> beside(static_cast<std::size_t>(x.dim()), 1);
    beside[1] = channels;
    dx.addcmul_(dy, scale.view(beside));
    Tensor dweight;
    Tensor dbias;
    if (weight.defined()) {
      dbias = sums.to(weight.scalar_type());
      dweight = products.to(weight.scalar_type());
    }
    return {{}, dx.to(saved[0].scalar_type()), dweight, dbias, {}, {}};
  }
};

}  // namespace

torch::Tensor sync_batch_norm(const std::shared_ptr<World>& world, const torch::Tensor& x,
                              const torch::Tensor& weight, const torch::Tensor& bias,
                              const torch::Tensor& running_mean, const torch::Tensor& running_var,
                              double momentum, double epsilon) {
  Moments moments;
  {
    const torch::NoGradGuard no_grad;
    moments = moments_of(*world, x.to(c10::promoteTypes(x.scalar_type(), torch::kFloat32)));
    if (running_mean.defined()) {
      const Tensor unbiased = moments.var * (moments.count / (moments.count - 1));
      running_mean.lerp_(moments.mean.to(running_mean.scalar_type()), momentum);
      running_var.lerp_(unbiased.to(running_var.scalar_type()), momentum);
    }
  }
  const auto optional = [](const Tensor& tensor) {
    return tensor.defined() ? std::optional<Tensor>(tensor) : std::nullopt;
  };
  return SyncBatchNorm::apply(world, x, optional(weight), optional(bias), moments, epsilon);
}

}  // namespace clr
