// SPDX-License-Identifier: Apache-2.0
#include "clr/loss/matrix_product.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>

// oneDNN's product that writes where it is told, exported by LibTorch 2.11 though without a header.
// Weak: another LibTorch may not have it.
namespace at::native {
[[gnu::weak]] void mkldnn_matmul(const Tensor& a, const Tensor& b, const Tensor& result, float beta,
                                 float alpha);
}  // namespace at::native

namespace clr::detail {
namespace {

using torch::Tensor;

bool has_avx512() {
#if defined(__x86_64__) && defined(__GNUC__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#else
  return false;
#endif
}

bool is_intel() {
#if defined(__x86_64__) && defined(__GNUC__)
  return __builtin_cpu_is("intel");
#else
  return false;
#endif
}

}  // namespace

bool has_product_library(ProductLibrary library) {
  return library == ProductLibrary::blas || (at::native::mkldnn_matmul != nullptr && has_avx512());
}

ProductLibrary product_library() {
  static const ProductLibrary choice = has_product_library(ProductLibrary::onednn) && !is_intel()
                                           ? ProductLibrary::onednn
                                           : ProductLibrary::blas;
  return choice;
}

void matrix_product(Tensor& result, const Tensor& a, const Tensor& b, bool add,
                    ProductLibrary library) {
  if (library == ProductLibrary::onednn) {
    at::native::mkldnn_matmul(a, b, result, add ? 1.0F : 0.0F, 1.0F);
  } else if (add) {
    result.addmm_(a, b);
  } else {
    at::mm_out(result, a, b);
  }
}

double product_gflops(ProductLibrary library) {
  constexpr std::int64_t kSize = 2048;
  constexpr int kRuns = 8;
  const Tensor a = torch::linspace(-1, 1, kSize * kSize).view({kSize, kSize});
  const Tensor b = a.flip(0);
  Tensor c = torch::empty({kSize, kSize});
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = std::chrono::steady_clock::now();
    matrix_product(c, a, b, false, library);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, 2.0 * kSize * kSize * kSize / seconds.count() / 1e9);
  }
  return best;
}

}  // namespace clr::detail
