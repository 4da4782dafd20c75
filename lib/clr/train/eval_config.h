// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "clr/eval/knn.h"
#include "clr/eval/linear_probe.h"
#include "clr/train/run_config.h"

namespace clr {

/// The `train` section of an evaluation: how features are computed.
struct InferenceConfig {
  std::int64_t batch_size = 256;
  Precision precision = Precision::float32;
  MemoryFormat memory_format = MemoryFormat::automatic;
  std::int64_t compute_threads = 0;
  bool keep_features = true;

  static void fields(auto&& f) {
    f("batch_size", &InferenceConfig::batch_size, In{1, 1 << 20}, "images a forward pass");
    f("precision", &InferenceConfig::precision,
      "of the forward pass; float32 unless speed matters more");
    f("memory_format", &InferenceConfig::memory_format,
      "of images and convolution weights; auto: channels_last");
    f("compute_threads", &InferenceConfig::compute_threads, In{0, 4096},
      "LibTorch's threads; 0 = all cores");
    f("keep_features", &InferenceConfig::keep_features,
      "leave features in the run's folder (RUN/features), where the next evaluation of the same "
      "weights and images finds them");
  }
};

/// Configuration of linear-eval by L-BFGS, of embed and predict. `encoder` and `augment` (or `text`) begin as what
/// the checkpoint says.
struct EvalConfig {
  Component<Encoder> encoder;
  AugmentConfig augment;
  std::optional<TextConfig> text;
  DataConfig data;
  ProbeConfig probe;
  KnnConfig knn;
  InferenceConfig train;

  static void fields(auto&& f) {
    f("encoder", &EvalConfig::encoder, "overrides the checkpoint's architecture");
    f("augment", &EvalConfig::augment, "evaluation transform, one view; default: the checkpoint's");
    f("text", &EvalConfig::text, "of texts: tokens, one view; default: the checkpoint's");
    f("data", &EvalConfig::data, "reading images or texts");
    f("probe", &EvalConfig::probe, "linear classifier on frozen features");
    f("knn", &EvalConfig::knn, "nearest-neighbour classifier");
    f("train", &EvalConfig::train, "computing features");
  }
};

/// Checks what fields cannot say alone: one view, lists that must not be empty.
/// Throws:  Error{config}; `root` is the whole configuration.
void validate_eval_config(const EvalConfig& config, const Place& root);

/// Reads a resolved document strictly. An absent encoder or transform is left empty.
/// Throws:  Error{config} with source and pointer.
EvalConfig read_eval_config(const ConfigDocument& document);

}  // namespace clr
