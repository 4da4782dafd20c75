// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>

#include "clr/data/loader.h"
#include "clr/method/method.h"
#include "clr/train/run_config.h"

namespace clr {

/// Replaces what `auto` and 0 stand for on this machine.
RunConfig resolve_automatic(RunConfig config, const torch::Device& device);

/// Settings of LibTorch that a run wants: compute threads, determinism.
void apply_compute_settings(std::int64_t compute_threads, bool deterministic);

/// Moves a module to the device, convolution weights into the wanted memory format.
void place_module(torch::nn::Module& module, const torch::Device& device, bool channels_last);

/// Builds the method that a configuration describes, initialised from its seed. `config` is
/// resolved.
std::shared_ptr<Method> build_method(const RunConfig& config, std::int64_t dataset_size,
                                     std::int64_t classes, std::int64_t steps_per_epoch);

/// How training walks its data. `config` is resolved.
LoaderOptions training_loader_options(const RunConfig& config, const torch::Device& device,
                                      int threads);

/// Steps of one epoch. Throws Error{config} when the data do not fill one batch, or their last
/// batch would be cut into micro-batches of one image.
std::int64_t steps_per_epoch(const RunConfig& config, std::int64_t dataset_size);

}  // namespace clr
