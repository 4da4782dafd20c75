// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "clr/config/load.h"
#include "clr/io/safetensors.h"
#include "clr/model/encoder.h"
#include "clr/model/mlp_head.h"
#include "clr/text/text_views.h"

namespace clr {

/// The key of an exported file's metadata with its `encoder` and `augment` sections, as JSON.
inline constexpr const char* kExportKey = "clr.export";

/// A model file's tensors as clr names them.
struct Weights {
  SafeTensors content;  ///< `encoder.`, and `projector.` where the file is clr's own
  std::string note;     ///< whose names they were and what was left out, for people; empty: clr's
  bool padded_stem = false;  ///< a 3x3 stem that pads by 2, which shapes do not tell
};

/// The model file that a path means: itself, or that of a folder: a run's newest good checkpoint, a
/// checkpoint, Hugging Face's.
/// Throws:  Error{checkpoint}: a damaged checkpoint, a folder without a model.
std::filesystem::path model_file(const std::filesystem::path& path);

/// Reads a .safetensors file: clr's own, or a ResNet's under anybody's names (map_names()).
///
/// Throws:  Error{checkpoint}: not a .safetensors file (a pickle of PyTorch's says what to do), or
///          tensors that are not understood.
Weights read_weights(const std::filesystem::path& path);

/// What CKPT names, before a network is built from it.
struct ModelSource {
  std::string name;  ///< for messages
  Json encoder;      ///< an `encoder` section
  Json augment;      ///< of images an `augment` section: the evaluation transform
  Json text;         ///< of texts a `text` section with one view; null: it is one of images
  Json views;  ///< an `augment` or `text` section: the views it was trained on; null where unknown
  std::string vocabulary;  ///< of texts: the pieces of `text`, one a line
  std::optional<MlpHeadConfig> projector;
  SafeTensors weights;  ///< no tensors: random weights
  bool random = false;
  std::string note;                          ///< what was assumed, for people; empty: nothing
  std::optional<std::filesystem::path> run;  ///< the run folder that it belongs to
};

/// The sections of an evaluation's configuration that a source says: `encoder`, and `augment` or `text`.
Json evaluation_sections(const ModelSource& source);

/// Gives a `text` section the pieces that it means: the source's own, unless it names another
/// vocabulary than that, which is read.
/// Throws:  Error{data} as WordPiece::read().
void take_vocabulary(const ModelSource& source, TextConfig& text);

/// Opens CKPT: a run folder (its newest good checkpoint), a checkpoint folder, a .safetensors file
/// (architecture from its metadata, else inferred from names and shapes), a folder of Hugging Face's or
/// sentence-transformers' with a BERT, `random` (architecture
/// from the training configuration `config`) or `random:RUN` (that run's).
///
/// Throws:  Error{checkpoint}; Error{usage} for `random` without a configuration.
ModelSource open_model(const std::string& spec, const ConfigDocument* config);

/// A network to compute features with.
struct FeatureModel {
  std::shared_ptr<Encoder> encoder;
  std::shared_ptr<MlpHead> projector;  ///< null where the source has none
};

/// Builds `encoder` (an architecture that the source's weights must fit) in eval mode.
/// Random weights are drawn from `seed`.
FeatureModel build_model(const ModelSource& source, const Component<Encoder>& encoder,
                         std::uint64_t seed);

/// The tensors of a model as a model file has them, on the CPU.
SafeTensors weights_of(const FeatureModel& model);

/// SHA-256 over names, shapes and bytes of all parameters and buffers, in name order.
std::string tensors_sha256(const torch::nn::Module& module);

}  // namespace clr
