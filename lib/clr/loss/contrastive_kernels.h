// SPDX-License-Identifier: Apache-2.0
// What libclr_cuda.so offers for contrastive losses. Found by name after it was loaded: C linkage,
// raw pointers, no Torch and no CUDA types.
#pragma once

#include <cstddef>
#include <cstdint>

#include "clr/loss/pairing.h"

namespace clr {

/// A TileProblem as the kernels take it. Pointers are to memory of one device, tensors contiguous.
struct KernelProblem {
  const float* rows = nullptr;     ///< [row_count, width], of unit length
  const float* columns = nullptr;  ///< [column_count, width]; the rows if symmetric
  std::int64_t row_count = 0;
  std::int64_t column_count = 0;
  std::int64_t width = 0;                       ///< D, at most kLargestKernelWidth
  const double* inverse_temperature = nullptr;  ///< one number; never read on the host
  const std::int64_t* row_ids = nullptr;        ///< null: none
  const std::int64_t* column_ids = nullptr;
  bool symmetric = false;
  bool column_sums = false;
  bool rows_among_columns = false;
  /// Products of halves (relative error of a gradient about 1e-5 to 1e-3), not of pairs of halves
  /// (1e-7 to 1e-5): for networks that train in half precision anyway.
  bool half_precision = false;
  Pairing pairing = Pairing::none;
  IdRule id_rule = IdRule::leave_out;
  std::int64_t row_offset = 0;
  float cosine_limit = 0;  ///< infinite: none
};

constexpr std::int64_t kLargestKernelWidth = 512;

/// What a launch needs to know of its device.
struct KernelDevice {
  int processors = 1;             ///< streaming multiprocessors
  std::int64_t shared_bytes = 0;  ///< shared memory that a block can have
};

/// Gradients of the log-sums and where theirs go.
struct KernelGradients {
  const double* row_sums = nullptr;      ///< [row_count], as the forward pass gave them
  const double* column_sums = nullptr;   ///< [column_count], or null
  const double* row_slope = nullptr;     ///< [row_count]
  const double* column_slope = nullptr;  ///< [column_count], or null
  float* row_gradient = nullptr;         ///< [row_count, width]: added to
  float* column_gradient = nullptr;      ///< [column_count, width]: added to; or null
};

}  // namespace clr

extern "C" {

/// Properties of a device. Returns null, or what CUDA said (static storage), as all of these do.
const char* clr_contrastive_device(int device, clr::KernelDevice* properties);

/// Bytes of workspace that the two passes need, at any address that is a multiple of 256.
std::int64_t clr_contrastive_forward_bytes(const clr::KernelProblem* problem,
                                           const clr::KernelDevice* device);
std::int64_t clr_contrastive_backward_bytes(const clr::KernelProblem* problem,
                                            const clr::KernelDevice* device);

/// Natural logarithms of the rows' sums of exponentials, and of the columns' where
/// problem.column_sums.
///
/// Shapes:  row_sums float64 [row_count], column_sums float64 [column_count] or null.
/// stream:  a cudaStream_t of the current device. Never waits for the device, allocates nothing:
/// may be
///          captured in a graph.
const char* clr_contrastive_forward(const clr::KernelProblem* problem,
                                    const clr::KernelDevice* device, void* workspace,
                                    double* row_sums, double* column_sums, void* stream);

/// Adds the gradients of the log-sums to those of rows and columns (of a symmetric problem all to
/// the rows').
const char* clr_contrastive_backward(const clr::KernelProblem* problem,
                                     const clr::KernelDevice* device, void* workspace,
                                     const clr::KernelGradients* gradients, void* stream);
}
