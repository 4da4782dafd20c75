// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/features.h"

#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "clr/core/error.h"
#include "clr/data/bad_images.h"
#include "clr/dist/world.h"

namespace clr {
namespace {

/// Everyone's rows to rank 0, in the order of the loader's batches; returns how many it has then, of others 0.
std::int64_t collect(Features& features, std::int64_t rows, World& world) {
  const torch::Tensor all =
      world.gather(torch::tensor({{rows, features.values.size(1)}}, torch::kInt64));
  std::vector<std::int64_t> counts;
  for (std::int64_t rank = 0; rank < world.size(); ++rank) {
    counts.push_back(all[rank][0].item<std::int64_t>());
  }
  // A process without an image does not know how wide features are.
  if (rows == 0) {
    const auto width = all.select(1, 1).max().item<std::int64_t>();
    features.values = torch::empty({features.labels.size(0), width});
  }
  for (const torch::Tensor& part : {features.values, features.labels, features.indices})
    world.collect(part, counts);
  features.bad = gather_bad_images(world, features.bad);
  return world.leads() ? std::accumulate(counts.begin(), counts.end(), std::int64_t{0}) : 0;
}

}  // namespace

Features extract_features(Loader& loader, const Dataset& dataset, const torch::Device& device,
                          const std::function<torch::Tensor(const torch::Tensor&)>& encode,
                          const std::function<void(std::int64_t)>& progress,
                          const std::shared_ptr<World>& processes) {
  const std::shared_ptr<World> world = processes ? processes : World::alone();
  const c10::NoGradGuard no_grad;
  Features features;
  // Rank 0 has room for everyone's; what is not written takes no memory.
  features.values = torch::empty({dataset.size(), 0});
  features.labels = torch::empty({dataset.size()}, torch::kInt64);
  features.indices = torch::empty({dataset.size()}, torch::kInt64);
  std::int64_t rows = 0;
  const auto [first, last] = world->share(loader.steps_per_epoch());
  if (first < last) loader.start(0, first);
  // A batch of bad images alone is as empty as what comes after the last one, so steps are counted.
  for (std::int64_t step = first; step < last; ++step) {
    world->progress();
    Batch batch = loader.next();
    features.bad.insert(features.bad.end(), batch.bad.begin(), batch.bad.end());
    const std::int64_t count = batch.size();
    if (count == 0) continue;
    TORCH_CHECK(batch.groups.size() == 1, "extract_features: views of one size are wanted");
    const torch::Tensor encoded = encode(batch.groups[0].flatten(0, 1).to(device));
    const torch::Tensor values = encoded.to(torch::kCPU, torch::kFloat32);
    const torch::Tensor finite = values.isfinite().all(1);
    if (!finite.all().item<bool>()) {
      const auto bad = finite.logical_not().nonzero()[0].item<std::int64_t>();
      throw Error(ErrorKind::diverged,
                  fmt::format("{}: its features are not finite; the encoder's weights are damaged "
                              "or its training diverged",
                              dataset.name(batch.indices[bad].item<std::int64_t>())));
    }
    if (rows == 0) features.values = torch::empty({dataset.size(), values.size(1)});
    features.values.narrow(0, rows, count).copy_(values);
    features.labels.narrow(0, rows, count).copy_(batch.labels);
    features.indices.narrow(0, rows, count).copy_(batch.indices);
    rows += count;
    // Others are about as far.
    if (progress) progress(std::min(rows * world->size(), dataset.size()));
  }
  if (!world->is_alone()) rows = collect(features, rows, *world);
  features.values = features.values.narrow(0, 0, rows);
  features.labels = features.labels.narrow(0, 0, rows);
  features.indices = features.indices.narrow(0, 0, rows);
  return features;
}

}  // namespace clr
