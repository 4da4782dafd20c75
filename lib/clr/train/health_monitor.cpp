// SPDX-License-Identifier: Apache-2.0
#include "clr/train/health_monitor.h"

#include <ATen/ops/cat.h>

#include "clr/eval/embedding_health.h"
#include "clr/train/run_setup.h"

namespace clr {
namespace {

void add(std::vector<std::pair<std::string, double>>& values, const std::string& name,
         const torch::Tensor& views) {
  const EmbeddingHealth health = embedding_health(views);
  values.emplace_back(name + "_alignment", health.alignment);
  values.emplace_back(name + "_uniformity", health.uniformity);
  values.emplace_back(name + "_deviation", health.deviation);
  values.emplace_back(name + "_rank", health.effective_rank);
  values.emplace_back(name + "_alpha", health.alpha);
}

}  // namespace

HealthMonitor::HealthMonitor(const RunConfig& config, const std::shared_ptr<const Dataset>& dataset,
                             const torch::Device& device, int loader_threads,
                             std::shared_ptr<World> world)
    : slice_(config, dataset, config.train.health_images, device, loader_threads, std::move(world)),
      views_(two_views(training_views(config))),
      precision_(config.train.precision) {}

std::vector<std::pair<std::string, double>> HealthMonitor::measure(Method& method) {
  Encoder& encoder = method.encoder();
  MlpHead* const projector = method.projector();
  encoder.eval();
  if (projector != nullptr) projector->eval();
  const Features features = slice_.features(views_, [&](const torch::Tensor& input) {
    return two_view_rows(encoder, projector, as_input(input, precision_));
  });
  encoder.train();
  if (projector != nullptr) projector->train();

  std::vector<std::pair<std::string, double>> values;
  if (features.values.size(0) < 2) return values;
  const TwoViews views = split_views(features.values, encoder.feature_dim());
  add(values, "h", views.h);
  if (projector != nullptr) add(values, "z", views.z);
  return values;
}

torch::Tensor two_view_rows(Encoder& encoder, MlpHead* projector, const torch::Tensor& input) {
  const torch::Tensor h = encoder.forward({input});
  std::vector<torch::Tensor> parts = h.chunk(2);
  if (projector != nullptr) {
    for (const torch::Tensor& z : projector->forward(h).chunk(2)) parts.push_back(z);
  }
  return at::cat(parts, 1);
}

TwoViews split_views(const torch::Tensor& rows, std::int64_t width) {
  const auto views = [&rows](std::int64_t first, std::int64_t columns) {
    return rows.narrow(1, first, columns).unflatten(1, {2, columns / 2}).transpose(0, 1);
  };
  TwoViews result{views(0, 2 * width), {}};
  if (rows.size(1) > 2 * width) result.z = views(2 * width, rows.size(1) - 2 * width);
  return result;
}

ViewPlan two_views(ViewPlan plan) {
  if (plan.text) {
    plan.text->views.resize(1);
    plan.text->views[0].count = 2;
  } else {
    plan.augment.views.resize(1);
    plan.augment.views[0].count = 2;
  }
  return plan;
}

}  // namespace clr
