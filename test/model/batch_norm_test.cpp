// SPDX-License-Identifier: Apache-2.0
#include "clr/model/batch_norm.h"

#include <ATen/Functions.h>

#include "support/catch.h"

namespace clr {
namespace {

using torch::Tensor;

CATCH_TEST_CASE("split batch norm is batch norm of each group by itself", "[model]") {
  // Mistakes: statistics of the whole batch; groups that mix; running statistics of the last group
  // alone, or moved once a group; a batch that the groups do not divide.
  torch::manual_seed(2);
  for (const auto& shape : {std::vector<std::int64_t>{11, 5}, {8, 5, 3, 4}}) {
    for (const bool interleaved : {false, true}) {
      Tensor x = 2 * at::randn(shape) + 1;
      if (interleaved && x.dim() == 4) x = x.contiguous(torch::MemoryFormat::ChannelsLast);
      BatchNorm split(5);
      split.set_splits(3);
      const Tensor y = split.forward(x);
      std::vector<Tensor> parts;
      Tensor mean = at::zeros({5});
      Tensor var = at::zeros({5});
      for (const Tensor& part : x.tensor_split(3)) {
        BatchNorm alone(5);
        parts.push_back(alone.forward(part));
        mean += alone.running_mean / 3;
        var += alone.running_var / 3;
      }
      CATCH_CHECK(torch::equal(y, at::cat(parts)));
      CATCH_CHECK(torch::allclose(split.running_mean, mean, 1e-6, 1e-7));
      CATCH_CHECK(torch::allclose(split.running_var, var, 1e-6, 1e-7));
      CATCH_CHECK(split.num_batches_tracked.item<int>() == 1);
      BatchNorm whole(5);
      CATCH_CHECK_FALSE(torch::allclose(y, whole.forward(x), 1e-2, 1e-2));

      // Frozen, it normalises alike and notes nothing; in evaluation mode there are no groups.
      const Tensor kept = split.running_mean.clone();
      split.set_frozen(true);
      CATCH_CHECK(torch::equal(split.forward(x), y));
      CATCH_CHECK(torch::equal(split.running_mean, kept));
      split.eval();
      whole.eval();
      whole.running_mean.copy_(split.running_mean);
      whole.running_var.copy_(split.running_var);
      CATCH_CHECK(torch::equal(split.forward(x), whole.forward(x)));
    }
  }
}

CATCH_TEST_CASE("split batch norm makes no group of one row", "[model]") {
  torch::manual_seed(3);
  const Tensor x = at::randn({5, 4});
  BatchNorm eight(4);
  eight.set_splits(8);
  BatchNorm two(4);
  two.set_splits(2);
  CATCH_CHECK(torch::equal(eight.forward(x), two.forward(x)));
  BatchNorm whole(4);
  BatchNorm four(4);
  four.set_splits(4);
  CATCH_CHECK(torch::equal(four.forward(x.narrow(0, 0, 3)), whole.forward(x.narrow(0, 0, 3))));
}

}  // namespace
}  // namespace clr
