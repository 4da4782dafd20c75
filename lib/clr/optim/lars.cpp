// SPDX-License-Identifier: Apache-2.0
// Layer-wise adaptive rate scaling. Source: arXiv:1708.03888; weight decay joins the gradient
// before its norm is taken, as in SimCLR's code, and the momentum buffer holds no learning rate, as
// in PyTorch's SGD.
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include "clr/optim/grouped.h"

namespace clr {
namespace {

struct Options : OptimizerOptions {
  double momentum = 0.9;
  bool nesterov = false;
  double trust_coefficient = 0.001;
  bool clip = false;
  double eps = 1e-8;

  static void fields(auto&& f) {
    base_fields<Options>(f);
    f("momentum", &Options::momentum, kDecayRange, "share of the last update that is kept");
    f("nesterov", &Options::nesterov, "look ahead by one momentum step");
    f("trust_coefficient", &Options::trust_coefficient, Above{0},
      "size of an update relative to the parameter's norm, at learning rate 1");
    f("clip", &Options::clip, "never a larger rate than the learning rate itself (LARC)");
    f("eps", &Options::eps, AtLeast{0}, "added to the gradient's norm");
  }
};

class Lars : public GroupedOptimizer {
 public:
  Lars(const Options& options, const std::vector<OptimizerGroup>& groups)
      : GroupedOptimizer(options, groups, {"momentum"}), options_(options) {}

 private:
  void update(const Update& u) override {
    std::vector<torch::Tensor> gradients = u.gradients;
    if (!u.excluded) {
      // Multiplying by 1 makes the copies that the stored gradients are spared by.
      gradients = u.weight_decay == 0 ? at::_foreach_mul(gradients, 1.0)
                                      : at::_foreach_add(gradients, u.parameters, u.weight_decay);
      const auto factors = adaptation(u.parameters, gradients, u.learning_rate).unbind();
      at::_foreach_mul_(gradients, factors);
    }
    at::_fused_sgd_(u.parameters, gradients, u.buffers[0], /*weight_decay=*/0.0, options_.momentum,
                    u.learning_rate, /*dampening=*/0.0, options_.nesterov, /*maximize=*/false,
                    /*is_first_step=*/false);
  }

  /// A factor for each gradient; 1 where a norm is 0, so that zeros can be left.
  torch::Tensor adaptation(const std::vector<torch::Tensor>& parameters,
                           const std::vector<torch::Tensor>& gradients,
                           double learning_rate) const {
    const torch::Tensor of_parameters = torch::stack(at::_foreach_norm(parameters));
    const torch::Tensor of_gradients = torch::stack(at::_foreach_norm(gradients));
    torch::Tensor factor =
        options_.trust_coefficient * of_parameters / (of_gradients + options_.eps);
    if (options_.clip) factor = (factor / learning_rate).clamp_max(1.0);
    return torch::where((of_parameters > 0) & (of_gradients > 0), factor, 1.0);
  }

  Options options_;
};

}  // namespace

OptimizerEntry lars_optimizer() {
  return make_entry<std::unique_ptr<Optimizer>, Options, const std::vector<OptimizerGroup>&>(
      "lars", "SGD whose steps are scaled to each parameter's norm, for large batches",
      [](const Options& options, const std::vector<OptimizerGroup>& groups)
          -> std::unique_ptr<Optimizer> { return std::make_unique<Lars>(options, groups); });
}

}  // namespace clr
