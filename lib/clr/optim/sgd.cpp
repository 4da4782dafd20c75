// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent as torch.optim.SGD has it. A momentum buffer of zeros gives the same
// first step as PyTorch's, which starts with a copy of the gradient.
#include <ATen/ops/_fused_sgd.h>

#include "clr/optim/grouped.h"

namespace clr {
namespace {

struct Options : OptimizerOptions {
  double momentum = 0.9;
  bool nesterov = false;

  static void fields(auto&& f) {
    base_fields<Options>(f);
    f("momentum", &Options::momentum, kDecayRange, "share of the last update that is kept");
    f("nesterov", &Options::nesterov, "look ahead by one momentum step");
  }
};

class Sgd : public GroupedOptimizer {
 public:
  Sgd(const Options& options, const std::vector<OptimizerGroup>& groups)
      : GroupedOptimizer(options, groups, kinds(options)), options_(options) {}

 private:
  static std::vector<std::string> kinds(const Options& options) {
    if (options.momentum == 0) return {};
    return {"momentum"};
  }

  void update(const Update& u) override {
    const std::vector<torch::Tensor> none;
    at::_fused_sgd_(u.parameters, u.gradients, u.buffers.empty() ? none : u.buffers[0],
                    u.weight_decay, options_.momentum, u.learning_rate,
                    /*dampening=*/0.0, options_.nesterov && options_.momentum != 0,
                    /*maximize=*/false, /*is_first_step=*/false);
  }

  Options options_;
};

}  // namespace

OptimizerEntry sgd_optimizer() {
  return make_entry<std::unique_ptr<Optimizer>, Options, const std::vector<OptimizerGroup>&>(
      "sgd", "stochastic gradient descent with momentum",
      [](const Options& options, const std::vector<OptimizerGroup>& groups)
          -> std::unique_ptr<Optimizer> { return std::make_unique<Sgd>(options, groups); });
}

}  // namespace clr
