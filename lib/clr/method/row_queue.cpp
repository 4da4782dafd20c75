// SPDX-License-Identifier: Apache-2.0
#include "clr/method/row_queue.h"

#include <ATen/ops/arange.h>

#include <algorithm>

namespace clr {

void enqueue(const torch::Tensor& queue, const torch::Tensor& position, torch::Tensor rows) {
  const torch::NoGradGuard no_grad;
  const std::int64_t size = queue.size(0);
  const std::int64_t skipped = std::max<std::int64_t>(rows.size(0) - size, 0);
  rows = rows.narrow(0, skipped, rows.size(0) - skipped);
  const torch::Tensor first = position + skipped;
  queue.index_copy_(0, (first + at::arange(rows.size(0), first.options())).remainder(size),
                    rows.to(queue.scalar_type()));
  position.copy_((first + rows.size(0)).remainder(size));
}

}  // namespace clr
