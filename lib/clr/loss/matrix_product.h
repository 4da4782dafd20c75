// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace clr::detail {

/// Who multiplies float32 matrices on the CPU. LibTorch brings both.
enum class ProductLibrary {
  blas,    ///< what at::mm calls: MKL on x86
  onednn,  ///< nearly twice as fast where MKL does not take its AVX-512 code
};

/// The faster of both, by the processor alone: the same in every run on one machine, so that
/// results are the same bytes. oneDNN on processors with AVX-512 that are not Intel's, else the
/// other.
ProductLibrary product_library();

/// Whether this LibTorch and this processor have it.
bool has_product_library(ProductLibrary library);

/// result = a b, or with `add` result += a b. On one thread within at::parallel_for, else on all.
///
/// Shapes:  a [M, K], b [K, N], result [M, N], float32 on the CPU, of any strides; best are
///          contiguous ones and their transposes.
void matrix_product(torch::Tensor& result, const torch::Tensor& a, const torch::Tensor& b, bool add,
                    ProductLibrary library = product_library());

/// GFLOP/s of the product of two square matrices of 2,048 rows on all threads, the best of some
/// runs: what products can reach here.
double product_gflops(ProductLibrary library);

}  // namespace clr::detail
