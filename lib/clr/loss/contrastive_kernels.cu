// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime.h>

#include "clr/loss/contrastive_passes.cuh"

namespace clr::kernels {
namespace {

// Registers are spent freely: few threads, each with a large part of a tile. How many is said by
// each kernel and not left to the compiler: what it may use it fills, and then keeps a few numbers
// of each round in memory (test/structure/kernel_spills.sh).
template <class Kernel>
__global__ void __maxnreg__(Kernel::kRegisters)
    entry(const __grid_constant__ typename Kernel::Arguments arguments) {
  Kernel::run(arguments);
}

/// Launches on a stream, one kernel after the other, until one fails.
class StreamLaunch {
 public:
  StreamLaunch(void* stream, std::int64_t largest_shared_bytes)
      : stream_(static_cast<cudaStream_t>(stream)), largest_shared_bytes_(largest_shared_bytes) {}

  template <class Kernel>
  void run(const Grid& grid, std::int64_t shared_bytes,
           const typename Kernel::Arguments& arguments) {
    if (status_ != cudaSuccess) return;
    constexpr std::int64_t kAlways = 48 * 1024;  // more has to be asked for
    if (shared_bytes > kAlways) {
      // All there is, not what this launch needs: another thread may be launching with more.
      status_ = cudaFuncSetAttribute(entry<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     static_cast<int>(largest_shared_bytes_));
      if (status_ != cudaSuccess) return;
    }
    const dim3 blocks(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y),
                      static_cast<unsigned>(grid.z));
    entry<Kernel>
        <<<blocks, Kernel::kThreads, static_cast<std::size_t>(shared_bytes), stream_>>>(arguments);
    status_ = cudaGetLastError();
  }

  const char* message() const {
    return status_ == cudaSuccess ? nullptr : cudaGetErrorString(status_);
  }

 private:
  cudaStream_t stream_;
  std::int64_t largest_shared_bytes_;
  cudaError_t status_ = cudaSuccess;
};

}  // namespace
}  // namespace clr::kernels

using clr::kernels::Passes;
using clr::kernels::StreamLaunch;

extern "C" const char* clr_contrastive_device(int device, clr::KernelDevice* properties) {
  int shared = 0;
  cudaError_t status =
      cudaDeviceGetAttribute(&properties->processors, cudaDevAttrMultiProcessorCount, device);
  if (status == cudaSuccess) {
    status = cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  }
  properties->shared_bytes = shared;
  return status == cudaSuccess ? nullptr : cudaGetErrorString(status);
}

extern "C" std::int64_t clr_contrastive_forward_bytes(const clr::KernelProblem* problem,
                                                      const clr::KernelDevice* device) {
  StreamLaunch none(nullptr, 0);
  Passes passes(*problem, *device, nullptr, none);
  passes.forward(nullptr, nullptr);
  return passes.bytes();
}

extern "C" std::int64_t clr_contrastive_backward_bytes(const clr::KernelProblem* problem,
                                                       const clr::KernelDevice* device) {
  StreamLaunch none(nullptr, 0);
  Passes passes(*problem, *device, nullptr, none);
  passes.backward({});
  return passes.bytes();
}

extern "C" const char* clr_contrastive_forward(const clr::KernelProblem* problem,
                                               const clr::KernelDevice* device, void* workspace,
                                               double* row_sums, double* column_sums,
                                               void* stream) {
  StreamLaunch launch(stream, device->shared_bytes);
  Passes(*problem, *device, workspace, launch).forward(row_sums, column_sums);
  return launch.message();
}

extern "C" const char* clr_contrastive_backward(const clr::KernelProblem* problem,
                                                const clr::KernelDevice* device, void* workspace,
                                                const clr::KernelGradients* gradients,
                                                void* stream) {
  StreamLaunch launch(stream, device->shared_bytes);
  Passes(*problem, *device, workspace, launch).backward(*gradients);
  return launch.message();
}
