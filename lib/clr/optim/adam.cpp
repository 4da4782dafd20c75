// SPDX-License-Identifier: Apache-2.0
// Adam and AdamW as torch.optim has them. Sources: arXiv:1412.6980, arXiv:1711.05101.
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>

#include "clr/optim/grouped.h"

namespace clr {
namespace {

struct Options : OptimizerOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;

  static void fields(auto&& f) {
    base_fields<Options>(f);
    f("beta1", &Options::beta1, kDecayRange, "decay of the gradient's running mean");
    f("beta2", &Options::beta2, kDecayRange, "decay of the squared gradient's running mean");
    f("eps", &Options::eps, Above{0}, "added to the root of the squared gradient's mean");
  }
};

/// decoupled: AdamW, whose weight decay shrinks the parameters themselves instead of joining the
/// gradient.
template <bool decoupled>
class Adam : public GroupedOptimizer {
 public:
  Adam(const Options& options, const std::vector<OptimizerGroup>& groups)
      : GroupedOptimizer(options, groups, {"exp_avg", "exp_avg_sq"}, {"step"}), options_(options) {}

 private:
  void update(const Update& u) override {
    at::_foreach_add_(u.buffers[2], 1);
    constexpr auto fused = [](auto&&... args) {
      if constexpr (decoupled) {
        at::_fused_adamw_(args...);
      } else {
        at::_fused_adam_(args...);
      }
    };
    const std::vector<torch::Tensor> no_maxima;
    fused(at::TensorList(u.parameters), at::TensorList(u.gradients), at::TensorList(u.buffers[0]),
          at::TensorList(u.buffers[1]), at::TensorList(no_maxima), at::TensorList(u.buffers[2]),
          u.learning_rate, options_.beta1, options_.beta2, u.weight_decay, options_.eps,
          /*amsgrad=*/false,
          /*maximize=*/false);
  }

  Options options_;
};

template <bool decoupled>
OptimizerEntry adam_entry(const char* name, const char* help) {
  return make_entry<std::unique_ptr<Optimizer>, Options, const std::vector<OptimizerGroup>&>(
      name, help,
      [](const Options& options,
         const std::vector<OptimizerGroup>& groups) -> std::unique_ptr<Optimizer> {
        return std::make_unique<Adam<decoupled>>(options, groups);
      });
}

}  // namespace

OptimizerEntry adam_optimizer() {
  return adam_entry<false>("adam", "Adam, weight decay as part of the gradient");
}

OptimizerEntry adamw_optimizer() {
  return adam_entry<true>("adamw", "Adam with decoupled weight decay");
}

}  // namespace clr
