// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "clr/config/registry.h"

namespace clr {

/// What an encoder is given.
struct View {
  torch::Tensor input;   ///< pixels [N, 3, H, W], or tokens [N, L] int32, -1 after the last
  torch::Tensor keys{};  ///< int64 [N] on the CPU, for draws; undefined: none are made
};

enum class InputKind { pixels, tokens };

/// The network f whose features are wanted: everything below the projection head.
///
/// Parameter names are torchvision's for ResNets, timm's for vision transformers, Hugging Face's for
/// BERT.
class Encoder : public torch::nn::Module {
 public:
  virtual InputKind input_kind() const { return InputKind::pixels; }

  /// Features h [N, F] of a view.
  virtual torch::Tensor forward(const View& view) = 0;

  /// F.
  virtual std::int64_t feature_dim() const = 0;

  /// How many layers a learning rate by layer tells apart, and which of them a parameter belongs to, by
  /// its name here: 0 is the stem, layers() the uppermost.
  virtual std::int64_t layers() const = 0;
  virtual std::int64_t layer_of(const std::string& parameter) const = 0;
};

using EncoderEntry = Entry<std::shared_ptr<Encoder>>;
using EncoderRegistry = Registry<std::shared_ptr<Encoder>>;

/// Every encoder that `encoder.type` can name.
const EncoderRegistry& encoders();

template <>
struct ComponentTraits<Encoder> {
  static const ComponentTable& table() { return encoders(); }
};

/// The encoder that tensors of a bare file describe, by torchvision's names or timm's for vision
/// transformers (a leading `encoder.` is ignored, `fc.` and anything that is not the encoder's too).
///
/// A ResNet's depth by the blocks of each stage and by `conv3`, stem by conv1's kernel, width by its channels; a
/// transformer's width, patch and image size by its patch projection and position embeddings.
/// Options that leave no trace in the shapes have their defaults.
/// Throws:  Error{checkpoint} naming `where` and what was missing when no known architecture fits.
Component<Encoder> infer_encoder(
    const std::vector<std::pair<std::string, std::vector<std::int64_t>>>& names_and_shapes,
    const std::string& where);

}  // namespace clr
