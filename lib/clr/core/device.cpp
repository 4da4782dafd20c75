// SPDX-License-Identifier: Apache-2.0
#include "clr/core/device.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>

#include "clr/core/error.h"
#include "clr/core/log.h"

namespace clr {
namespace {

/// dlopen's own message, or "" when the library is loaded.
std::string load_library(const std::string& name) {
  return dlopen(name.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr ? "" : dlerror();
}

std::string beside_program(const std::string& name) {
  std::error_code ignored;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  return (program.parent_path() / name).string();
}

void load_cuda(const std::string& asked) {
  // Must come before anything asks ATen for CUDA: it remembers the hooks that it found first.
  if (const std::string problem = load_library("libtorch_cuda.so"); !problem.empty()) {
    throw Error(ErrorKind::device, "--device " + asked +
                                       ": LibTorch's CUDA libraries cannot be loaded: " + problem +
                                       "; run scripts/setup.sh --cuda, or use --device cpu");
  }
  if (!at::hasCUDA()) {
    throw Error(ErrorKind::device, "--device " + asked +
                                       ": expected an NVIDIA GPU with its driver, got none; use "
                                       "--device cpu");
  }
  if (const std::string problem = load_library(beside_program("libclr_cuda.so"));
      !problem.empty()) {
    throw Error(ErrorKind::device, "--device " + asked + ": libclr_cuda.so cannot be loaded: " +
                                       problem + "; build the preset cuda, or use --device cpu");
  }
}

std::string first_match(const char* file, const std::string& key) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with(key)) {
      const auto colon = line.find(':');
      const auto start = line.find_first_not_of(" \t", colon + 1);
      return start == std::string::npos ? "" : line.substr(start);
    }
  }
  return "";
}

int gpus() { return static_cast<int>(at::detail::getCUDAHooks().getNumGPUs()); }

/// Of a process among several on its machine; one that sees a single GPU was given it.
int own_gpu(int local_rank) { return gpus() == 1 ? 0 : local_rank; }

c10::Device gpu(const std::string& asked, int index) {
  const int count = gpus();
  if (index >= count) {
    throw Error(ErrorKind::device,
                fmt::format("--device {}: expected a GPU below {}, got {}; start at most a process "
                            "a GPU on a machine, or look at CUDA_VISIBLE_DEVICES",
                            asked, count, index));
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

}  // namespace

c10::Device resolve_device(const std::string& name, int local_rank) {
  if (name == "cpu") return c10::Device(c10::kCPU);
  if (name == "auto") {
    if (!std::filesystem::exists("/dev/nvidiactl")) return c10::Device(c10::kCPU);
    try {
      load_cuda("cuda");
      const c10::Device device = gpu("auto", own_gpu(local_rank));
      log_info("device auto: {} ({})", device.str(), device_description(device));
      return device;
    } catch (const Error& error) {
      log_info("device auto: cpu ({})", error.what());
      return c10::Device(c10::kCPU);
    }
  }
  int index = 0;
  if (name != "cuda") {
    const char* digits = name.c_str() + (name.starts_with("cuda:") ? 5 : name.size());
    const char* end = name.c_str() + name.size();
    const auto result = std::from_chars(digits, end, index);
    if (digits == end || result.ec != std::errc{} || result.ptr != end || index < 0) {
      throw Error(ErrorKind::usage, "--device: expected auto, cpu, cuda or cuda:N, got " + name);
    }
  }
  load_cuda(name);
  return gpu(name, name == "cuda" ? own_gpu(local_rank) : index);
}

std::string device_description(const c10::Device& device) {
  if (device.is_cpu()) {
    return fmt::format("{}, {} cores", first_match("/proc/cpuinfo", "model name"),
                       sysconf(_SC_NPROCESSORS_ONLN));
  }
  // The driver is asked by name: nothing here links against CUDA.
  char name[256] = "";
  if (void* driver = dlopen("libcuda.so.1", RTLD_NOW); driver != nullptr) {
    using DeviceGetName = int (*)(char*, int, int);
    if (auto get_name = reinterpret_cast<DeviceGetName>(dlsym(driver, "cuDeviceGetName"))) {
      if (get_name(name, sizeof name, device.index()) != 0) name[0] = '\0';
    }
  }
  return *name != '\0' ? name : device.str();
}

bool fast_bfloat16(const c10::Device& device) {
  return !device.is_cpu() || __builtin_cpu_supports("avx512bf16") != 0;
}

}  // namespace clr
