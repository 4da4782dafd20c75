// SPDX-License-Identifier: Apache-2.0
#include "clr/model/sync_batch_norm.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/var_mean.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <vector>

#include "clr/dist/kept_world.h"

namespace clr {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// All but the channels.
std::vector<std::int64_t> reduced(const Tensor& x) {
  std::vector<std::int64_t> dimensions;
  for (std::int64_t d = 0; d < x.dim(); ++d) {
    if (d != 1) dimensions.push_back(d);
  }
  return dimensions;
}

/// [C] as it stands beside x.
Tensor beside(const Tensor& channels, const Tensor& x) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[1] = channels.size(0);
  return channels.view(shape);
}

struct Moments {
  Tensor mean;
  Tensor var;    ///< biased
  Tensor count;  ///< [1]; a tensor, as a GPU would have to be waited for
};

/// Of all processes' values.
Moments moments_of(World& world, const Tensor& x) {
  const std::int64_t channels = x.size(1);
  const auto own = static_cast<double>(x.numel() / channels);
  const auto [var, mean] = at::var_mean(x, at::OptionalIntArrayRef(reduced(x)), 0);
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
                        const std::optional<Tensor>& bias, const Moments& moments,
                        const Tensor& scale) {
    context->save_for_backward(
        {x, weight ? *weight : Tensor(), moments.mean, scale, moments.count});
    context->saved_data["world"] = KeptWorld::keep(world);
    Tensor y = (x.to(moments.mean.scalar_type()) - beside(moments.mean, x)).mul_(beside(scale, x));
    if (weight) y.mul_(beside(*weight, x)).add_(beside(*bias, x));
    return y.to(x.scalar_type());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor& weight = saved[1];
    const Tensor& mean = saved[2];
    const Tensor& scale = saved[3];
    const Tensor& count = saved[4];
    const Tensor dy = gradients.at(0).to(mean.scalar_type());
    const Tensor normalized = (x.to(mean.scalar_type()) - beside(mean, x)).mul_(beside(scale, x));
    const std::vector<std::int64_t> dimensions = reduced(x);
    const std::int64_t channels = x.size(1);
    const Tensor own = at::cat({dy.sum(dimensions), (dy * normalized).sum(dimensions)});
    const Tensor all = own.clone();
    KeptWorld::of(context->saved_data["world"])->sum(all);
    Tensor dx = dy - beside(all.narrow(0, 0, channels) / count, x);
    dx.sub_(normalized * beside(all.narrow(0, channels, channels) / count, x));
    dx.mul_(beside(weight.defined() ? scale * weight : scale, x));
    Tensor dweight;
    Tensor dbias;
    if (weight.defined()) {
      dbias = own.narrow(0, 0, channels).to(weight.scalar_type());
      dweight = own.narrow(0, channels, channels).to(weight.scalar_type());
    }
    return {{}, dx.to(x.scalar_type()), dweight, dbias, {}, {}};
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
  return SyncBatchNorm::apply(world, x, optional(weight), optional(bias), moments,
                              (moments.var + epsilon).rsqrt());
}

}  // namespace clr
