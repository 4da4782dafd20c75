// SPDX-License-Identifier: Apache-2.0
#include "clr/train/step_exchange.h"

#include <torch/types.h>

#include <algorithm>
#include <vector>

#include "clr/data/bad_images.h"

namespace clr {

void StepExchange::exchange(Batch& batch, StopReason wish) {
  if (world_->is_alone()) return;
  const torch::Tensor all =
      world_->gather(torch::tensor({batch.size(), static_cast<std::int64_t>(batch.bad.size()),
                                    static_cast<std::int64_t>(wish)},
                                   torch::kInt64)
                         .unsqueeze(0));
  const auto column = [&](std::int64_t index) {
    const torch::Tensor values = all.select(1, index).contiguous();
    const auto* data = values.const_data_ptr<std::int64_t>();
    return std::vector<std::int64_t>(data, data + values.numel());
  };
  batch.counts = column(0);
  const std::vector<std::int64_t> bad = column(1);
  const std::vector<std::int64_t> wishes = column(2);
  agreed_ =
      std::max(agreed_, static_cast<StopReason>(*std::max_element(wishes.begin(), wishes.end())));
  if (std::any_of(bad.begin(), bad.end(), [](std::int64_t count) { return count > 0; }))
    batch.bad = gather_bad_images(*world_, batch.bad);
}

}  // namespace clr
