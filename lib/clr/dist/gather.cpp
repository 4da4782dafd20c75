// SPDX-License-Identifier: Apache-2.0
#include "clr/dist/gather.h"

#include <torch/csrc/autograd/custom_function.h>

namespace clr {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Keeps the world as long as the graph.
struct WorldHolder : torch::CustomClassHolder {
  explicit WorldHolder(std::shared_ptr<World> held) : world(std::move(held)) {}
  std::shared_ptr<World> world;
};

struct GatherRows : torch::autograd::Function<GatherRows> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x,
                               const std::shared_ptr<World>& world,
                               const std::vector<std::int64_t>& counts) {
    context->saved_data["world"] =
        c10::IValue::make_capsule(c10::make_intrusive<WorldHolder>(world));
    context->saved_data["counts"] = counts;
    return world->gather(x, counts);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto holder =
        c10::static_intrusive_pointer_cast<WorldHolder>(context->saved_data["world"].toCapsule());
    return {
        holder->world->sum_scatter(gradients.at(0), context->saved_data["counts"].toIntVector()),
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
