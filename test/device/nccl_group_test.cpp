// SPDX-License-Identifier: Apache-2.0
// NCCL with one process on one GPU: the library is loaded, and what World calls does nothing wrong.
#include "clr/dist/nccl_group.h"

#include <ATen/Functions.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include <chrono>
#include <vector>

#include "clr/core/device.h"
#include "support/catch.h"

namespace clr {
namespace {

using torch::Tensor;

CATCH_TEST_CASE("a group of one process on one GPU", "[nccl]") {
  const c10::Device device = resolve_device("cuda:0");
  const auto group = make_nccl_group(c10::make_intrusive<c10d::HashStore>(), 0, 1, device,
                                     std::chrono::seconds(60));
  CATCH_CHECK(group->getSize() == 1);
  for (const auto type : {torch::kFloat32, torch::kBFloat16, torch::kFloat64, torch::kInt64}) {
    const Tensor x = at::arange(12, torch::dtype(type).device(device)).view({4, 3});
    Tensor mine = x.clone();
    Tensor all = at::zeros_like(x);
    group->_allgather_base(all, mine)->wait();
    CATCH_CHECK(at::equal(all, x));
    std::vector<Tensor> sums = {x.clone()};
    group->allreduce(sums)->wait();
    CATCH_CHECK(at::equal(sums[0], x));
    Tensor part = at::zeros_like(x);
    group->_reduce_scatter_base(part, mine)->wait();
    CATCH_CHECK(at::equal(part, x));
    group->broadcast(sums)->wait();
    CATCH_CHECK(at::equal(sums[0], x));
  }
  group->shutdown();
}

}  // namespace
}  // namespace clr
