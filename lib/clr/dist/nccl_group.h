// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>
#include <c10/util/intrusive_ptr.h>

#include <chrono>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace clr {

/// Processes that exchange tensors between GPUs, by NCCL: libclr_nccl.so, beside the program, is
/// loaded here and nowhere else. The device's CUDA libraries are loaded already
/// (core/device.h).
/// Throws:  Error{device} where the library is not there or NCCL refuses.
c10::intrusive_ptr<c10d::Backend> make_nccl_group(const c10::intrusive_ptr<c10d::Store>& store,
                                                  int rank, int size, const c10::Device& device,
                                                  std::chrono::milliseconds timeout);

}  // namespace clr
