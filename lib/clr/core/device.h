// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

#include <string>

namespace clr {

/// The device that `--device` names: auto, cpu, cuda or cuda:N.
///
/// The CUDA libraries (libtorch_cuda.so and libclr_cuda.so) are loaded here and only when a CUDA
/// device is asked for, or by `auto` where the machine has an NVIDIA driver; `auto` logs its
/// choice.
/// `cuda` and `auto` take the GPU of number `local_rank`, of several processes on a machine.
/// Throws:  Error{usage} for another name; Error{device} for a CUDA device that is not there: never
///          a silent fallback.
c10::Device resolve_device(const std::string& name, int local_rank = 0);

/// The device's name for people: the GPU's, or the processor's.
std::string device_description(const c10::Device& device);

/// Whether the processor (or the GPU) multiplies bfloat16 natively, so that it pays.
bool fast_bfloat16(const c10::Device& device);

}  // namespace clr
