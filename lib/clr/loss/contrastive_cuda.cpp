// SPDX-License-Identifier: Apache-2.0
// The kernels of libclr_cuda.so on LibTorch's tensors. They are found by name: nothing here links
// against CUDA.
#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <filesystem>
#include <string>

#include "clr/core/error.h"
#include "clr/loss/contrastive_backend.h"
#include "clr/loss/contrastive_kernels.h"

namespace clr::detail {
namespace {

using torch::Tensor;

constexpr std::int64_t kMostRows = std::int64_t{1} << 30;  // they are counted in 32 bits

struct Kernels {
  decltype(&clr_contrastive_device) device;
  decltype(&clr_contrastive_forward_bytes) forward_bytes;
  decltype(&clr_contrastive_backward_bytes) backward_bytes;
  decltype(&clr_contrastive_forward) forward;
  decltype(&clr_contrastive_backward) backward;
};

/// libclr_cuda.so: loaded already, or beside the library that this code is part of.
void* load_library() {
  if (dlsym(RTLD_DEFAULT, "clr_contrastive_device") != nullptr) return RTLD_DEFAULT;
  Dl_info self{};
  dladdr(reinterpret_cast<void*>(&load_library), &self);
  std::error_code ignored;
  const auto folder = std::filesystem::canonical(self.dli_fname, ignored).parent_path();
  void* const library = dlopen((folder / "libclr_cuda.so").c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    throw Error(ErrorKind::device, std::string("loss backend: fused needs libclr_cuda.so: ") +
                                       dlerror() + "; build the preset cuda, or use auto");
  }
  return library;
}

template <typename Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) {
    throw Error(ErrorKind::device, std::string("libclr_cuda.so: expected a function ") + name +
                                       ", got none; it is of another build");
  }
}

const Kernels& kernels() {
  static const Kernels found = [] {
    void* const library = load_library();
    Kernels result{};
    find(library, "clr_contrastive_device", result.device);
    find(library, "clr_contrastive_forward_bytes", result.forward_bytes);
    find(library, "clr_contrastive_backward_bytes", result.backward_bytes);
    find(library, "clr_contrastive_forward", result.forward);
    find(library, "clr_contrastive_backward", result.backward);
    return result;
  }();
  return found;
}

void check(const char* message) {
  TORCH_CHECK(message == nullptr, "contrastive kernels: CUDA: ", message);
}

KernelProblem kernel_problem(const TileProblem& problem) {
  KernelProblem result;
  result.rows = problem.rows.const_data_ptr<float>();
  result.columns = problem.columns.const_data_ptr<float>();
  result.row_count = problem.rows.size(0);
  result.column_count = problem.columns.size(0);
  result.width = problem.rows.size(1);
  result.inverse_temperature = problem.inverse_temperature.const_data_ptr<double>();
  if (problem.row_ids.defined()) {
    result.row_ids = problem.row_ids.const_data_ptr<std::int64_t>();
    result.column_ids = problem.column_ids.const_data_ptr<std::int64_t>();
  }
  result.symmetric = problem.symmetric;
  result.column_sums = problem.column_sums;
  result.rows_among_columns = problem.rows_among_columns;
  result.half_precision = problem.half_precision;
  result.pairing = problem.pairing;
  result.id_rule = problem.id_rule;
  result.row_offset = problem.row_offset;
  result.cosine_limit = static_cast<float>(problem.cosine_limit);
  return result;
}

/// Where a pass runs: the rows' device and the stream that LibTorch works on there.
class Place {
 public:
  explicit Place(const Tensor& rows) : guard_(rows.device()) {
    const c10::impl::VirtualGuardImpl implementation(rows.device().type());
    stream_ = implementation.getStreamNativeHandle(implementation.getStream(rows.device()));
    check(kernels().device(rows.device().index(), &device_));
  }

  const KernelDevice* device() const { return &device_; }
  void* stream() const { return stream_; }

 private:
  c10::DeviceGuard guard_;
  void* stream_;
  KernelDevice device_;
};

/// From LibTorch's allocator, which gives memory back in the order of the stream's work.
Tensor workspace(std::int64_t bytes, const Tensor& rows) {
  return at::empty({bytes}, rows.options().dtype(torch::kUInt8));
}

}  // namespace

bool cuda_kernels_fit(const TileProblem& problem) {
  return problem.rows.is_cuda() && problem.rows.scalar_type() == torch::kFloat32 &&
         problem.rows.size(1) <= kLargestKernelWidth && problem.rows.size(0) <= kMostRows &&
         problem.columns.size(0) <= kMostRows;
}

void log_sums_cuda(const TileProblem& problem, Tensor& row_sums, Tensor& column_sums) {
  const Place place(problem.rows);
  const KernelProblem arguments = kernel_problem(problem);
  const Tensor memory =
      workspace(kernels().forward_bytes(&arguments, place.device()), problem.rows);
  check(kernels().forward(
      &arguments, place.device(), memory.mutable_data_ptr(), row_sums.mutable_data_ptr<double>(),
      problem.column_sums ? column_sums.mutable_data_ptr<double>() : nullptr, place.stream()));
}

void gradients_cuda(const TileProblem& problem, const Tensor& row_sums, const Tensor& column_sums,
                    const Tensor& row_slope, const Tensor& column_slope, Tensor& row_gradient,
                    Tensor& column_gradient) {
  const Place place(problem.rows);
  const KernelProblem arguments = kernel_problem(problem);
  const Tensor memory =
      workspace(kernels().backward_bytes(&arguments, place.device()), problem.rows);
  KernelGradients gradients;
  gradients.row_sums = row_sums.const_data_ptr<double>();
  gradients.row_slope = row_slope.const_data_ptr<double>();
  gradients.row_gradient = row_gradient.mutable_data_ptr<float>();
  if (column_slope.defined()) {
    gradients.column_sums = column_sums.const_data_ptr<double>();
    gradients.column_slope = column_slope.const_data_ptr<double>();
  }
  if (column_gradient.defined()) {
    gradients.column_gradient = column_gradient.mutable_data_ptr<float>();
  }
  check(kernels().backward(&arguments, place.device(), memory.mutable_data_ptr(), &gradients,
                           place.stream()));
}

}  // namespace clr::detail
