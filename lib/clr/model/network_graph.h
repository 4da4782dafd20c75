// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <cstdint>

#include "clr/model/encoder.h"
#include "clr/model/mlp_head.h"

namespace clr {

/// Records what an encoder, and the projection head on it (if not null), compute in evaluation mode:
/// a TorchScript module with the method `forward(pixels)`.
///
/// Its parts and their tensors have the encoder's names (torchvision's), the head's stand under
/// `projector`. The tensors are shared with the networks, not copied.
/// Shapes:  pixels [N, 3, side, side], any N -> [N, F].
/// Throws:  c10::Error for networks in training mode.
torch::jit::Module record_network(Encoder& encoder, MlpHead* projector, std::int64_t side);

}  // namespace clr
