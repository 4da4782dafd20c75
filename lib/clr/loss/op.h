// SPDX-License-Identifier: Apache-2.0
// What the ops of the losses share. An op is registered in the file of its function, so that it is
// there wherever the function is linked, and once.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>
#include <torch/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace clr::detail {

// Past this softplus(x) returns x. PyTorch's 20 is off by 1e-10 relative, this one by less than
// float64 can show.
constexpr double kSoftplusLinear = 40.0;

/// All ops have Meta kernels, change none of their arguments and return no alias: test/cli/ops.sh.
inline const std::vector<at::Tag>& op_tags() {
  static const std::vector<at::Tag> tags = {at::Tag::pt2_compliant_tag};
  return tags;
}

/// The op of this name, as it is called with `Signature`.
template <typename Signature>
c10::TypedOperatorHandle<Signature> find_op(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

/// Ops take no undefined tensors, but may take none.
inline std::optional<torch::Tensor> some(const torch::Tensor& x) {
  return x.defined() ? std::optional(x) : std::nullopt;
}

/// Enumerations are strings in ops.
template <typename Enum>
std::string name_of(Enum value) {
  return enum_names(value)[static_cast<std::size_t>(value)];
}

template <typename Enum>
Enum enum_of(std::string_view name, const char* argument) {
  constexpr auto names = enum_names(Enum{});
  std::string expected;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (name == names[i]) return static_cast<Enum>(i);
    expected += (i == 0 ? "" : ", ") + std::string(names[i]);
  }
  TORCH_CHECK(false, argument, ": expected one of ", expected, ", got ", name);
}

/// For the backward of a Function.
void refuse_double_backward(const char* what);

/// Runs an op without autocast, which would round the products inside it.
void without_autocast(const c10::OperatorHandle& op, torch::jit::Stack* stack);

/// An op's kernels but for Autograd's: `kernel` for all devices, `meta` for tensors without data.
template <typename Kernel, typename Meta>
void add_kernels(torch::Library& library, const char* op, Kernel* kernel, Meta* meta) {
  library.impl(op, torch::dispatch(c10::DispatchKey::CPU, kernel));
  library.impl(op, torch::dispatch(c10::DispatchKey::CUDA, kernel));
  library.impl(op, torch::dispatch(c10::DispatchKey::Meta, meta));
  for (const auto key : {c10::DispatchKey::AutocastCPU, c10::DispatchKey::AutocastCUDA}) {
    library.impl(
        op, torch::dispatch(key, torch::CppFunction::makeFromBoxedFunction<&without_autocast>()));
  }
}

}  // namespace clr::detail
