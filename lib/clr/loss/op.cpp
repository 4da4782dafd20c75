// SPDX-License-Identifier: Apache-2.0
#include "clr/loss/op.h"

namespace clr::detail {

void refuse_double_backward(const char* what) {
  TORCH_CHECK(!at::GradMode::is_enabled(), what,
              ": a gradient of its gradient is not provided; do not use create_graph = true");
}

void without_autocast(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::impl::ExcludeDispatchKeyGuard guard(c10::autocast_dispatch_keyset);
  op.callBoxed(stack);
}

}  // namespace clr::detail
