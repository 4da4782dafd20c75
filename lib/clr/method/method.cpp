// SPDX-License-Identifier: Apache-2.0
#include "clr/method/method.h"

#include <ATen/ops/stack.h>

#include <fmt/format.h>

#include <numeric>

#include "clr/dist/gather.h"
#include "clr/dist/world.h"
#include "clr/model/batch_norm.h"

namespace clr {

Method::Method() : world_(World::alone()) {}

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

void Method::join(std::shared_ptr<World> world, bool sync_batch_norm) {
  world_ = std::move(world);
  shared_statistics_ = world_->is_alone() || sync_batch_norm;
  if (!sync_batch_norm) return;
  for (const auto& module : modules()) {
    if (auto* norm = dynamic_cast<BatchNorm*>(module.get())) norm->set_world(world_);
  }
}

double Method::share(const Batch& batch) const {
  if (world_->is_alone()) return 1.0;
  return static_cast<double>(batch.size()) / static_cast<double>(batch.total());
}

std::int64_t Method::first_image(const Batch& batch) const {
  if (batch.counts.empty()) return 0;
  return std::accumulate(batch.counts.begin(), batch.counts.begin() + world_->rank(),
                         std::int64_t{0});
}

torch::Tensor Method::gather(const torch::Tensor& x, const Batch& batch,
                             std::int64_t dimension) const {
  if (world_->is_alone()) return x;
  if (dimension != 0) return gather(x.transpose(0, dimension), batch).transpose(0, dimension);
  const std::int64_t rows_per_image = x.size(0) / batch.size();
  std::vector<std::int64_t> counts = batch.counts;
  for (std::int64_t& count : counts) count *= rows_per_image;
  return gather_rows(world_, x, counts);
}

SharedBatch Method::shared(const Batch& batch) const {
  if (world_->is_alone()) return {};
  return {[this, batch](const torch::Tensor& x) { return gather(x, batch); }, first_image(batch),
          batch.total()};
}

torch::Tensor Method::equal_share(const torch::Tensor& x) const {
  return world_->is_alone() ? x : x / static_cast<double>(world_->size());
}

torch::Tensor Method::sum(const torch::Tensor& x) const {
  if (world_->is_alone()) return x.detach();
  torch::Tensor total = x.detach().contiguous().clone();
  world_->sum(total);
  return total;
}

void Method::freeze_running_statistics(bool frozen) {
  for (const auto& module : modules()) {
    if (auto* norm = dynamic_cast<BatchNorm*>(module.get())) norm->set_frozen(frozen);
  }
}

torch::Tensor forward_views(const ViewGroup& group, ViewForward mode,
                            const std::function<torch::Tensor(const View&)>& encode) {
  const torch::Tensor& input = group.input;
  TORCH_CHECK(input.dim() == 5 || input.dim() == 3,
              "forward_views: expected [V, N, 3, H, W] or [V, N, L], got ", input.sizes());
  const bool keyed = group.keys.defined();
  const std::int64_t views = input.size(0);
  if (mode == ViewForward::joint) {
    return encode(View{input.flatten(0, 1), group.flat_keys()})
        .unflatten(0, {views, input.size(1)});
  }
  std::vector<torch::Tensor> outputs;
  for (std::int64_t v = 0; v < views; ++v)
    outputs.push_back(encode(View{input[v], keyed ? group.keys[v] : torch::Tensor()}));
  return torch::stack(outputs);
}

torch::Tensor for_loss(const torch::Tensor& x) {
  return x.to(c10::promoteTypes(x.scalar_type(), torch::kFloat32));
}

namespace {

[[noreturn]] void refuse_views(const std::vector<int>& view_groups, const std::string& method,
                               const char* expected) {
  throw Error(ErrorKind::config,
              fmt::format("/augment/views: expected {} of one size for {}, got {} of {}", expected,
                          method, std::accumulate(view_groups.begin(), view_groups.end(), 0),
                          view_groups.size() == 1 ? "one size"
                                                  : fmt::format("{} sizes", view_groups.size())));
}

}  // namespace

void require_views_of_one_size(const std::vector<int>& view_groups, const std::string& method) {
  if (view_groups.size() != 1 || view_groups[0] < 2)
    refuse_views(view_groups, method, "2 views or more");
}

void require_two_views(const std::vector<int>& view_groups, const std::string& method) {
  if (view_groups != std::vector<int>{2}) refuse_views(view_groups, method, "2 views");
}

void require_labels(const MethodContext& context, const std::string& method) {
  if (context.classes > 0) return;
  throw Error(ErrorKind::data,
              fmt::format("method {}: expected labelled images (a folder a class, or a list with "
                          "labels), got none",
                          method));
}

}  // namespace clr
