// SPDX-License-Identifier: Apache-2.0
#include "clr/core/cuda_probe.h"

#include <dlfcn.h>
#include <torch/types.h>

#include <string>
#include <vector>

#include "support/catch.h"

namespace {

// libclr_cuda.so was loaded, for all to see, when main resolved the device.
template <typename Function>
Function* exported(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

}  // namespace

CATCH_TEST_CASE("A kernel of libclr_cuda.so computes on host arrays", "[device]") {
  auto* axpy = exported<decltype(clr_cuda_axpy_host)>("clr_cuda_axpy_host");
  CATCH_REQUIRE(axpy != nullptr);
  // More elements than one sweep of the grid covers, and no multiple of a block.
  const std::int64_t size = 4096 * 256 + 77;
  std::vector<float> x(static_cast<std::size_t>(size));
  std::vector<float> y(x.size(), 0.5F);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 1024);
  const char* error = axpy(0, 2.0F, x.data(), y.data(), size);
  CATCH_INFO((error != nullptr ? error : ""));
  CATCH_REQUIRE(error == nullptr);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (y[i] != 2.0F * static_cast<float>(i % 1024) + 0.5F) ++wrong;
  }
  CATCH_CHECK(wrong == 0);
}

CATCH_TEST_CASE("A device that is not there is an error in words", "[device]") {
  auto* axpy = exported<decltype(clr_cuda_axpy_host)>("clr_cuda_axpy_host");
  CATCH_REQUIRE(axpy != nullptr);
  const float x = 1.0F;
  float y = 3.0F;
  const char* error = axpy(4096, 2.0F, &x, &y, 1);
  CATCH_REQUIRE(error != nullptr);
  CATCH_CHECK(std::string(error).find("invalid device") != std::string::npos);
  CATCH_CHECK(y == 3.0F);
}

CATCH_TEST_CASE("A kernel of libclr_cuda.so computes on LibTorch's tensors", "[device]") {
  auto* axpy = exported<decltype(clr_cuda_axpy)>("clr_cuda_axpy");
  CATCH_REQUIRE(axpy != nullptr);
  const auto x = torch::arange(1000, torch::dtype(torch::kFloat32)).to(torch::kCUDA);
  const auto y = torch::ones_like(x);
  // LibTorch works on the default stream unless told otherwise, so the kernel comes in its turn.
  CATCH_REQUIRE(axpy(3.0F, x.data_ptr<float>(), y.data_ptr<float>(), x.numel(), nullptr) ==
                nullptr);
  const auto expected = 3.0F * torch::arange(1000, torch::dtype(torch::kFloat32)) + 1.0F;
  CATCH_CHECK(torch::equal(y.cpu(), expected));
}
