// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "clr/data/loader.h"
#include "clr/method/method.h"
#include "clr/train/run_config.h"

namespace clr {

class World;

/// Replaces what `auto` and 0 stand for on this machine, which `processes` share.
RunConfig resolve_automatic(RunConfig config, const torch::Device& device, int processes = 1);

/// Compute threads of each of `processes` on this machine.
std::int64_t default_compute_threads(int processes);

/// Settings of LibTorch that a run wants: compute threads, determinism.
void apply_compute_settings(std::int64_t compute_threads, bool deterministic);

/// Moves a module to the device, weights into the precision's type, those of convolutions into the
/// wanted memory format.
void place_module(torch::nn::Module& module, const torch::Device& device, bool channels_last,
                  Precision precision);

/// Pixels, or tokens, as a module of that precision takes them.
torch::Tensor as_input(const torch::Tensor& input, Precision precision);

/// Gives an encoder of texts that left it open as many embeddings as the vocabulary has pieces.
/// `text` has them.
/// Throws:  Error{config} for another number, and for texts longer than the encoder's positions.
void fit_to_texts(Component<Encoder>& encoder, const TextConfig& text);

/// Throws:  Error{config} naming both sections, for an encoder of the other kind of data.
void require_input_kind(const Encoder& encoder, const std::string& type, bool texts);

/// Builds the method that a configuration describes, initialised from its seed. `config` is
/// resolved; piece_counts as MethodContext's.
std::shared_ptr<Method> build_method(const RunConfig& config, std::int64_t dataset_size,
                                     std::int64_t classes, std::int64_t steps_per_epoch,
                                     std::function<std::vector<std::int64_t>()> piece_counts = {});

/// How training walks its data. `config` is resolved.
LoaderOptions training_loader_options(const RunConfig& config, const torch::Device& device,
                                      int threads, const World& world);

/// Steps of one epoch. Throws Error{config} when the data do not fill one batch, or their last
/// batch would be cut into micro-batches of one image, or leave one of `processes` none.
std::int64_t steps_per_epoch(const RunConfig& config, std::int64_t dataset_size, int processes = 1);

}  // namespace clr
