// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/features.h"

#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include "clr/core/error.h"

namespace clr {

Features extract_features(Loader& loader, const Dataset& dataset, const torch::Device& device,
                          const std::function<torch::Tensor(const torch::Tensor&)>& encode,
                          const std::function<void(std::int64_t)>& progress) {
  const c10::NoGradGuard no_grad;
  Features features;
  features.values = torch::empty({0, 0});
  features.labels = torch::empty({dataset.size()}, torch::kInt64);
  features.indices = torch::empty({dataset.size()}, torch::kInt64);
  std::int64_t rows = 0;
  loader.start(0, 0);
  // A batch of bad images alone is as empty as what comes after the last one, so steps are counted.
  for (std::int64_t step = 0; step < loader.steps_per_epoch(); ++step) {
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
    if (progress) progress(rows);
  }
  features.values = features.values.narrow(0, 0, rows);
  features.labels = features.labels.narrow(0, 0, rows);
  features.indices = features.indices.narrow(0, 0, rows);
  return features;
}

}  // namespace clr
