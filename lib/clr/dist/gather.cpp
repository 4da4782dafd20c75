// SPDX-License-Identifier: Apache-2.0
#include "clr/dist/gather.h"

#include <torch/csrc/autograd/custom_function.h>

#include "clr/dist/kept_world.h"

namespace clr {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct GatherRows : torch::autograd::Function<GatherRows> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x,
                               const std::shared_ptr<World>& world,
                               const std::vector<std::int64_t>& counts) {
    context->saved_data["world"] = KeptWorld::keep(world);
    context->saved_data["counts"] = counts;
    return world->gather(x, counts);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return {KeptWorld::of(context->saved_data["world"])
                ->sum_scatter(gradients.at(0), context->saved_data["counts"].toIntVector()),
            {},
            {}};
  }
};

}  // namespace

torch::Tensor gather_rows(const std::shared_ptr<World>& world, const torch::Tensor& x,
                          const std::vector<std::int64_t>& counts) {
  if (world->is_alone()) return x;
  if (!x.requires_grad()) return world->gather(x, counts);
  return GatherRows::apply(x, world, counts);
}

}  // namespace clr
