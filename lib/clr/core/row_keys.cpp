// SPDX-License-Identifier: Apache-2.0
#include "clr/core/row_keys.h"

#include <ATen/ops/empty.h>

#include "clr/core/rng.h"

namespace clr {

void set_row_keys(Batch& batch, std::uint64_t seed) {
  batch.keys.clear();
  const torch::Tensor indices = batch.indices.cpu();
  const auto* index = indices.const_data_ptr<std::int64_t>();
  std::uint32_t view = 0;
  for (const torch::Tensor& group : batch.groups) {
    torch::Tensor keys = at::empty({group.size(0), group.size(1)}, torch::kInt64);
    auto* key = keys.data_ptr<std::int64_t>();
    for (std::int64_t v = 0; v < keys.size(0); ++v, ++view) {
      for (std::int64_t i = 0; i < keys.size(1); ++i) {
        const Rng rng(
            seed,
            {static_cast<std::uint64_t>(index[i]), view, static_cast<std::uint32_t>(batch.epoch)},
            OpId::network);
        *key++ = static_cast<std::int64_t>(rng.bits64(0));
      }
    }
    batch.keys.push_back(std::move(keys));
  }
}

}  // namespace clr
