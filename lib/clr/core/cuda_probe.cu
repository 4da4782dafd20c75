// SPDX-License-Identifier: Apache-2.0
#include "clr/core/cuda_probe.h"

#include <cuda_runtime.h>

namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMaxBlocks = 4096;

__global__ void axpy(float a, const float* __restrict__ x, float* __restrict__ y,
                     std::int64_t size) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += stride) {
    y[i] = a * x[i] + y[i];
  }
}

const char* message(cudaError_t status) {
  return status == cudaSuccess ? nullptr : cudaGetErrorString(status);
}

class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  ~DeviceBuffer() { cudaFree(data_); }

  cudaError_t fill(const float* host, std::size_t bytes) {
    const cudaError_t status = cudaMalloc(reinterpret_cast<void**>(&data_), bytes);
    if (status != cudaSuccess) return status;
    return cudaMemcpy(data_, host, bytes, cudaMemcpyHostToDevice);
  }
  float* data() const { return data_; }

 private:
  float* data_ = nullptr;
};

/// Makes a device current and goes back to the earlier one at the end of the scope.
class DeviceScope {
 public:
  explicit DeviceScope(int device) {
    status_ = cudaGetDevice(&before_);
    if (status_ == cudaSuccess) status_ = cudaSetDevice(device);
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;
  ~DeviceScope() {
    if (status_ == cudaSuccess) cudaSetDevice(before_);
  }
  cudaError_t status() const { return status_; }

 private:
  int before_ = 0;
  cudaError_t status_ = cudaSuccess;
};

}  // namespace

extern "C" const char* clr_cuda_axpy(float a, const float* x, float* y, std::int64_t size,
                                     void* stream) {
  if (size <= 0) return nullptr;
  const std::int64_t needed = (size + kThreads - 1) / kThreads;
  const int blocks = static_cast<int>(needed < kMaxBlocks ? needed : kMaxBlocks);
  axpy<<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(a, x, y, size);
  return message(cudaGetLastError());
}

extern "C" const char* clr_cuda_axpy_host(int device, float a, const float* x, float* y,
                                          std::int64_t size) {
  const DeviceScope scope(device);
  if (scope.status() != cudaSuccess) return message(scope.status());
  if (size <= 0) return nullptr;
  const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(float);
  DeviceBuffer device_x;
  DeviceBuffer device_y;
  cudaError_t status = device_x.fill(x, bytes);
  if (status == cudaSuccess) status = device_y.fill(y, bytes);
  if (status != cudaSuccess) return message(status);
  if (const char* error = clr_cuda_axpy(a, device_x.data(), device_y.data(), size, nullptr)) {
    return error;
  }
  status = cudaDeviceSynchronize();
  if (status != cudaSuccess) return message(status);
  return message(cudaMemcpy(y, device_y.data(), bytes, cudaMemcpyDeviceToHost));
}
