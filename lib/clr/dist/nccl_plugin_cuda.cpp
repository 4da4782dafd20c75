// SPDX-License-Identifier: Apache-2.0
// libclr_nccl.so: the one place that needs NCCL's and CUDA's headers. dist/nccl_group.cpp loads it.
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include <cstring>
#include <exception>

extern "C" __attribute__((visibility("default"))) c10d::Backend* clr_make_nccl_group(
    c10d::Store* store, int rank, int size, int device, std::int64_t timeout_ms, char* message,
    std::size_t message_size) {
  try {
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = std::chrono::milliseconds(timeout_ms);
    auto group = c10::make_intrusive<c10d::ProcessGroupNCCL>(
        c10::intrusive_ptr<c10d::Store>::reclaim_copy(store), rank, size, options);
    group->setBoundDeviceId(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device)));
    return group.release();
  } catch (const std::exception& error) {
    std::strncpy(message, error.what(), message_size - 1);
    message[message_size - 1] = '\0';
    return nullptr;
  }
}
