// SPDX-License-Identifier: Apache-2.0
#include "clr/train/device_copies.h"

#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace clr {

DeviceCopies::DeviceCopies(const torch::Device& device) : device_(device) {
  if (!device.is_cuda()) return;
  const c10::impl::VirtualGuardImpl backend(device.type());
  stream_ = backend.getStreamFromGlobalPool(backend.getStream(device).device());
}

void DeviceCopies::move(Batch& batch) const {
  const auto copy = [&](torch::Tensor& tensor) {
    tensor = tensor.to(device_, /*non_blocking=*/true);
  };
  const auto for_all = [&](auto work) {
    // Not page-locked, so the processor waits for them: not behind the images.
    work(batch.labels);
    work(batch.indices);
    for (auto& group : batch.groups) work(group);
  };
  if (!stream_) return for_all(copy);

  const c10::Stream training = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
  c10::Event copied(device_.type());
  {
    const c10::StreamGuard guard(*stream_);
    for_all(copy);
    copied.record(*stream_);
  }
  copied.block(training);
  // Made on one stream and used on another: their memory is not to be given away before.
  for_all([&](torch::Tensor& tensor) { tensor.record_stream(training); });
}

}  // namespace clr
