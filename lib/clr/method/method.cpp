// SPDX-License-Identifier: Apache-2.0
#include "clr/method/method.h"

#include <ATen/ops/stack.h>

#include <fmt/format.h>

#include <numeric>

#include "clr/model/batch_norm.h"

namespace clr {

std::vector<ParameterGroup> Method::parameter_groups() {
  ParameterGroup weights;
  ParameterGroup norms_and_biases;
  norms_and_biases.norm_or_bias = true;
  for (const auto& item : named_parameters()) {
    if (!item.value().requires_grad()) continue;
    ParameterGroup& group = item.value().dim() <= 1 ? norms_and_biases : weights;
    group.parameters.emplace_back(item.key(), item.value());
  }
  std::vector<ParameterGroup> groups;
  for (ParameterGroup* group : {&weights, &norms_and_biases}) {
    if (!group->parameters.empty()) groups.push_back(std::move(*group));
  }
  return groups;
}

void Method::freeze_running_statistics(bool frozen) {
  for (const auto& module : modules()) {
    if (auto* norm = dynamic_cast<BatchNorm*>(module.get())) norm->set_frozen(frozen);
  }
}

torch::Tensor forward_views(const torch::Tensor& group, ViewForward mode,
                            const std::function<torch::Tensor(const View&)>& encode) {
  TORCH_CHECK(group.dim() == 5, "forward_views: expected [V, N, 3, H, W], got ", group.sizes());
  const std::int64_t views = group.size(0);
  if (mode == ViewForward::joint) {
    return encode(View{group.flatten(0, 1)}).unflatten(0, {views, group.size(1)});
  }
  std::vector<torch::Tensor> outputs;
  for (std::int64_t v = 0; v < views; ++v) outputs.push_back(encode(View{group[v]}));
  return torch::stack(outputs);
}

torch::Tensor for_loss(const torch::Tensor& x) {
  return x.to(c10::promoteTypes(x.scalar_type(), torch::kFloat32));
}

void require_two_views(const std::vector<int>& view_groups, const std::string& method) {
  if (view_groups == std::vector<int>{2}) return;
  throw Error(ErrorKind::config,
              fmt::format("/augment/views: expected 2 views of one size for {}, got {} of {}",
                          method, std::accumulate(view_groups.begin(), view_groups.end(), 0),
                          view_groups.size() == 1 ? "one size"
                                                  : fmt::format("{} sizes", view_groups.size())));
}

void require_labels(const MethodContext& context, const std::string& method) {
  if (context.classes > 0) return;
  throw Error(ErrorKind::data,
              fmt::format("method {}: expected labelled images (a folder a class, or a list with "
                          "labels), got none",
                          method));
}

}  // namespace clr
