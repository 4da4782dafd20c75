// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

// Functions of libclr_cuda.so, found by name after it was loaded. They prove that its kernels run
// on the device at hand before anything is trained on it. C linkage, and no CUDA types: callers
// need no CUDA header.

extern "C" {

/// Adds a multiple of one device vector to another: y = a * x + y.
///
/// Shapes:  x, y [size], float32, device memory. stream is a cudaStream_t, or null for the default.
/// Returns: null when the kernel was launched, else what CUDA said (static storage).
const char* clr_cuda_axpy(float a, const float* x, float* y, std::int64_t size, void* stream);

/// The same on host memory: copies to the given device, runs the kernel, and copies back.
///
/// Shapes:  x, y [size], float32, host memory. device counts from 0.
/// Returns: null when y holds the result, else what CUDA said (static storage); y is then
///          unchanged.
const char* clr_cuda_axpy_host(int device, float a, const float* x, float* y, std::int64_t size);
}
