// SPDX-License-Identifier: Apache-2.0
// lib/gloo_declarations/ stands for headers that LibTorch does not come with. What LibTorch's own
// code asks memory for has to be what these declarations make of its classes. A program of its own,
// as it replaces operator new.
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <new>
#include <string>

#include "support/catch.h"

namespace {

/// Sizes that were asked for in this thread while it listens.
struct Asked {
  bool listening = false;
  std::array<std::size_t, 4096> sizes{};
  std::size_t count = 0;

  bool holds(std::size_t size) const {
    return std::find(sizes.begin(), sizes.begin() + static_cast<std::ptrdiff_t>(count), size) !=
           sizes.begin() + static_cast<std::ptrdiff_t>(count);
  }
};

thread_local Asked asked;

/// What was asked for while `work` ran.
Asked listen(const std::function<void()>& work) {
  asked = {};
  asked.listening = true;
  work();
  asked.listening = false;
  return asked;
}

}  // namespace

void* operator new(std::size_t size) {
  if (asked.listening && asked.count < asked.sizes.size()) asked.sizes[asked.count++] = size;
  void* memory = std::malloc(std::max<std::size_t>(size, 1));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

CATCH_TEST_CASE("LibTorch's Gloo is as large as its declarations say") {
  using c10d::ProcessGroupGloo;
  const std::chrono::milliseconds timeout = std::chrono::seconds(10);
  c10::intrusive_ptr<ProcessGroupGloo::Options> options;
  const Asked for_options =
      listen([&] { options = ProcessGroupGloo::Options::create_default(timeout); });
  CATCH_CHECK(for_options.holds(sizeof(ProcessGroupGloo::Options)));

  const auto store = c10::make_intrusive<c10d::HashStore>();
  const auto group = c10::make_intrusive<ProcessGroupGloo>(
      c10::make_intrusive<c10d::PrefixStore>("own", store), 0, 1, options);
  c10::intrusive_ptr<c10d::Backend> merged;
  const Asked for_group = listen([&] {
    merged = group->merge(c10::make_intrusive<c10d::PrefixStore>("merged", store), options, 0, 1);
  });
  CATCH_CHECK(for_group.holds(sizeof(ProcessGroupGloo)));
  // A size that nobody asks for: the check can fail.
  CATCH_CHECK_FALSE(for_group.holds(sizeof(ProcessGroupGloo) + 1));

  std::vector<at::Tensor> tensors = {at::ones({3})};
  merged->allreduce(tensors)->wait();
  CATCH_CHECK(tensors[0].sum().item<double>() == 3);
}
