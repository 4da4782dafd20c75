// SPDX-License-Identifier: Apache-2.0
#include "loss_measure.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <mutex>
#include <unordered_map>

#include "clr/core/memory.h"
#include "clr/loss/matrix_product.h"

namespace clr {
namespace {

using torch::Tensor;

/// Counts the bytes of tensors: how many there are now, and the most there were.
class CountingAllocator : public c10::Allocator {
 public:
  /// Takes the place of LibTorch's. Never destroyed: tensors of the program may outlive main.
  static CountingAllocator& instance() {
    static auto* const allocator = [] {
      auto* made = new CountingAllocator(c10::GetCPUAllocator());
      c10::SetCPUAllocator(made, /*priority=*/255);
      return made;
    }();
    return *allocator;
  }

  c10::DataPtr allocate(std::size_t bytes) override {
    // oneDNN asks for memory without an owner, so that nothing but the address can be handed out.
    void* const data = inner_->raw_allocate(bytes);
    if (data != nullptr) {
      const std::lock_guard lock(mutex_);
      sizes_[data] = bytes;
      now_ += bytes;
      most_ = std::max(most_, now_);
    }
    return {data, data, &release, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  std::int64_t now() { return read(now_); }
  std::int64_t most() { return read(most_); }
  void reset() {
    const std::lock_guard lock(mutex_);
    most_ = now_;
  }

 private:
  explicit CountingAllocator(c10::Allocator* inner) : inner_(inner) {}

  static void release(void* data) { instance().forget(data); }
  void forget(void* data) {
    if (data == nullptr) return;
    {
      const std::lock_guard lock(mutex_);
      const auto found = sizes_.find(data);
      now_ -= found->second;
      sizes_.erase(found);
    }
    inner_->raw_deallocate(data);
  }
  std::int64_t read(const std::size_t& value) {
    const std::lock_guard lock(mutex_);
    return static_cast<std::int64_t>(value);
  }

  c10::Allocator* inner_;
  std::mutex mutex_;
  std::unordered_map<void*, std::size_t> sizes_;
  std::size_t now_ = 0;
  std::size_t most_ = 0;
};

/// TF32 as a form wants it, for its forward and its backward pass.
class ProductPrecision {
 public:
  explicit ProductPrecision(bool tf32) { set(tf32); }
  ~ProductPrecision() { set(false); }
  ProductPrecision(const ProductPrecision&) = delete;
  ProductPrecision& operator=(const ProductPrecision&) = delete;

 private:
  static void set(bool tf32) {
    at::globalContext().setFloat32MatmulPrecision(tf32 ? "high" : "highest");
  }
};

struct Run {
  Tensor loss;
  Tensor g0, g1;
};

Run forward_backward(const LossForm& form, const Tensor& x) {
  const ProductPrecision precision(form.tf32);
  const std::int64_t n = x.size(0) / 2;
  const Tensor z0 = x.narrow(0, 0, n).detach().requires_grad_();
  const Tensor z1 = x.narrow(0, n, n).detach().requires_grad_();
  const Tensor loss = form.loss(z0, z1);
  loss.backward();
  return {loss.detach(), z0.grad(), z1.grad()};
}

/// Of work on a device, without copies to it: a GPU is told to note the time before and after.
template <typename Work>
double milliseconds(const torch::Device& device, Work work) {
  if (!device.is_cpu()) {
    const c10::impl::VirtualGuardImpl guard(device.type());
    const c10::Stream stream = guard.getStream(device);
    c10::Event start(device.type(), c10::EventFlag::BACKEND_DEFAULT);
    c10::Event end(device.type(), c10::EventFlag::BACKEND_DEFAULT);
    start.record(stream);
    work();
    end.record(stream);
    end.synchronize();
    return start.elapsedTime(end);
  }
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

}  // namespace

void count_tensor_bytes() { CountingAllocator::instance(); }

LossValue evaluate(const LossForm& form, const Tensor& x) {
  const Run run = forward_backward(form, x);
  return {run.loss.item<double>(), torch::cat({run.g0, run.g1}).to(torch::kCPU, torch::kFloat64)};
}

void measure_memory(LossRow& row, const LossForm& form, const Tensor& x) {
  const auto gradients = static_cast<std::int64_t>(x.nbytes());
  if (!x.device().is_cpu()) {
    auto* const allocator = c10::getDeviceAllocator(x.device().type());
    const auto bytes = [&] {
      return allocator->getDeviceStats(x.device().index()).allocated_bytes;
    };
    allocator->resetPeakStats(x.device().index());
    const std::int64_t before = bytes()[0].current;
    forward_backward(form, x);
    row.extra_bytes = bytes()[0].peak - before - gradients;
    return;
  }
  CountingAllocator& allocator = CountingAllocator::instance();
  // What was freed goes back, or it would be taken again unseen; and the process's peak becomes
  // what it has now.
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
  const std::int64_t resident = resident_memory();
  const std::int64_t before = allocator.now();
  allocator.reset();
  forward_backward(form, x);
  row.extra_bytes = allocator.most() - before - gradients;
  row.extra_resident = peak_resident_memory() - resident - gradients;
}

void measure_time(LossRow& row, const LossForm& form, const Tensor& x) {
  row.milliseconds.push_back(milliseconds(x.device(), [&] { forward_backward(form, x); }));
}

double product_rate(const torch::Device& device, torch::ScalarType type) {
  using detail::ProductLibrary;
  if (device.is_cpu()) {
    const double blas = detail::product_gflops(ProductLibrary::blas);
    return detail::has_product_library(ProductLibrary::onednn)
               ? std::max(blas, detail::product_gflops(ProductLibrary::onednn))
               : blas;
  }
  constexpr std::int64_t kSize = 8192;
  const ProductPrecision precision(false);
  const Tensor a = torch::randn({kSize, kSize}, torch::dtype(type).device(device));
  Tensor c = torch::empty_like(a);
  double best = 0;
  for (int run = 0; run < 8; ++run) {
    const double took = milliseconds(device, [&] { at::mm_out(c, a, a); });
    best = std::max(best, 2.0 * kSize * kSize * kSize / took / 1e6);
  }
  return best;
}

}  // namespace clr
