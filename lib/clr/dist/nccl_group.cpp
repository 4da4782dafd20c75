// SPDX-License-Identifier: Apache-2.0
#include "clr/dist/nccl_group.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <array>
#include <filesystem>
#include <string>

#include "clr/core/error.h"

namespace clr {
namespace {

using MakeGroup = c10d::Backend* (*)(c10d::Store*, int, int, int, std::int64_t, char*, std::size_t);

MakeGroup load() {
  std::error_code ignored;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const std::string path = (program.parent_path() / "libclr_nccl.so").string();
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* function = library == nullptr ? nullptr : dlsym(library, "clr_make_nccl_group");
  if (function == nullptr) {
    throw Error(ErrorKind::device,
                fmt::format("several processes on GPUs: libclr_nccl.so cannot be loaded: {}; build "
                            "the preset cuda, or use --device cpu",
                            dlerror()));
  }
  return reinterpret_cast<MakeGroup>(function);
}

}  // namespace

c10::intrusive_ptr<c10d::Backend> make_nccl_group(const c10::intrusive_ptr<c10d::Store>& store,
                                                  int rank, int size, const c10::Device& device,
                                                  std::chrono::milliseconds timeout) {
  std::array<char, 1024> message{};
  c10d::Backend* group = load()(store.get(), rank, size, device.index(), timeout.count(),
                                message.data(), message.size());
  if (group == nullptr) {
    const std::string text = message.data();
    throw Error(ErrorKind::device, fmt::format("several processes on GPUs: NCCL: {}",
                                               text.substr(0, text.find('\n'))));
  }
  return c10::intrusive_ptr<c10d::Backend>::reclaim(group);
}

}  // namespace clr
