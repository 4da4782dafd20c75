// SPDX-License-Identifier: Apache-2.0
#include "clr/train/run_setup.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <utility>
#include <vector>

#include "clr/core/device.h"
#include "clr/core/error.h"
#include "clr/core/rng.h"
#include "clr/data/stream_plan.h"
#include "clr/dist/world.h"
#include "clr/model/encoder.h"

namespace clr {

RunConfig resolve_automatic(RunConfig config, const torch::Device& device, int processes) {
  TrainConfig& train = config.train;
  if (train.precision == Precision::automatic) {
    train.precision = fast_bfloat16(device) ? Precision::bfloat16 : Precision::float32;
  }
  if (train.memory_format == MemoryFormat::automatic)
    train.memory_format = MemoryFormat::channels_last;
  if (train.compute_threads == 0) train.compute_threads = default_compute_threads(processes);
  if (config.text) {
    read_vocabulary(*config.text);
    fit_to_texts(config.encoder, *config.text);
  }
  return config;
}

void fit_to_texts(Component<Encoder>& encoder, const TextConfig& text) {
  Json& options = encoder.options;
  if (const auto found = options.find("vocabulary"); found != options.end()) {
    const std::int64_t pieces = text.pieces->size();
    if (*found == 0) *found = pieces;
    if (*found != pieces) {
      throw Error(ErrorKind::config,
                  fmt::format("/encoder/vocabulary: expected the {} pieces of text.vocabulary, got "
                              "{}; give the vocabulary that belongs to these weights",
                              pieces, found->get<std::int64_t>()));
    }
  }
  const auto positions = options.value("positions", text.max_tokens);
  if (text.max_tokens > positions) {
    throw Error(ErrorKind::config,
                fmt::format("/text/max_tokens: expected at most encoder.positions = {}, got {}",
                            positions, text.max_tokens));
  }
}

std::int64_t default_compute_threads(int processes) {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / processes);
}

void apply_compute_settings(std::int64_t compute_threads, bool deterministic) {
  if (compute_threads > 0) at::set_num_threads(static_cast<int>(compute_threads));
  if (deterministic) {
    // cuBLAS reads it when its first handle is made.
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 1);
    at::globalContext().setDeterministicAlgorithms(true, false);
    at::globalContext().setDeterministicCuDNN(true);
    at::globalContext().setBenchmarkCuDNN(false);
  } else {
    at::globalContext().setBenchmarkCuDNN(true);
  }
}

void place_module(torch::nn::Module& module, const torch::Device& device, bool channels_last,
                  Precision precision) {
  module.to(device);
  // module.to(type) would take integers along.
  const auto type = precision == Precision::float64 ? torch::kFloat64 : torch::kFloat32;
  std::vector<torch::Tensor> tensors = module.parameters();
  for (const torch::Tensor& buffer : module.buffers()) tensors.push_back(buffer);
  for (torch::Tensor& tensor : tensors) {
    if (tensor.is_floating_point() && tensor.scalar_type() != type)
      tensor.set_data(tensor.to(type));
  }
  if (!channels_last) return;
  for (auto& parameter : module.parameters()) {
    if (parameter.dim() == 4) {
      parameter.set_data(parameter.detach().contiguous(torch::MemoryFormat::ChannelsLast));
    }
  }
}

torch::Tensor as_input(const torch::Tensor& input, Precision precision) {
  const bool convert = precision == Precision::float64 && input.is_floating_point();
  return convert ? input.to(torch::kFloat64) : input;
}

void require_input_kind(const Encoder& encoder, const std::string& type, bool texts) {
  if ((encoder.input_kind() == InputKind::tokens) == texts) return;
  throw Error(ErrorKind::config,
              texts
                  ? fmt::format("/encoder/type: expected an encoder of texts beside a `text` "
                                "section, got {}, which is one of images",
                                type)
                  : fmt::format("/encoder/type: expected an encoder of images for images (--data, "
                                "augment), got {}, which is one of texts",
                                type));
}

std::shared_ptr<Method> build_method(const RunConfig& config, std::int64_t dataset_size,
                                     std::int64_t classes, std::int64_t steps_per_epoch,
                                     std::function<std::vector<std::int64_t>()> piece_counts) {
  const auto seed = static_cast<std::uint64_t>(config.train.seed);
  // LibTorch's own generator draws the initial weights; every run starts it from its seed.
  torch::manual_seed(Rng(seed, {}, OpId::initialization).bits64(0));
  MethodContext context;
  // Before a method asks for the texts of images.
  context.make_encoder = [&config] {
    auto encoder = encoders().make(config.encoder);
    require_input_kind(*encoder, config.encoder.type, config.text.has_value());
    return encoder;
  };
  context.projector = config.projector;
  context.view_forward = config.train.view_forward;
  context.loss_backend = config.train.loss_backend;
  context.half_precision = config.train.precision == Precision::bfloat16;
  context.dataset_size = dataset_size;
  context.classes = classes;
  context.steps_per_epoch = steps_per_epoch;
  context.total_steps = steps_per_epoch * config.train.epochs;
  context.micro_batch = config.train.micro_batch;
  if (config.text) context.pieces = config.text->pieces;
  context.piece_counts = std::move(piece_counts);
  context.view_groups.clear();
  const auto patch = config.encoder.options.value("patch", std::int64_t{1});
  for (const ViewShape& group : view_shapes(config.augment, config.text)) {
    context.view_groups.push_back(static_cast<int>(group.views));
    if (config.text || (group.shape[1] % patch == 0 && group.shape[2] % patch == 0)) continue;
    throw Error(
        ErrorKind::config,
        fmt::format("/encoder/patch: expected views whose sides are multiples of {}, got {} x "
                    "{} (/augment/views); change the patch or the views' size",
                    patch, group.shape[2], group.shape[1]));
  }
  return methods().make(config.method, context);
}

LoaderOptions training_loader_options(const RunConfig& config, const torch::Device& device,
                                      int threads, const World& world) {
  LoaderOptions options;
  options.rank = world.rank();
  options.world_size = world.size();
  options.seed = static_cast<std::uint64_t>(config.train.seed);
  options.batch_size = config.train.batch_size;
  options.micro_batch = config.train.micro_batch;
  options.passes = config.train.micro_batch > 0 ? 2 : 1;
  options.drop_last = config.train.drop_last;
  options.shuffle = true;
  options.epochs = config.train.epochs;
  options.threads = threads;
  // Autocast would round the images to bfloat16 in the first convolution anyway.
  options.pixel_type =
      config.train.precision == Precision::bfloat16 ? PixelType::bfloat16 : PixelType::float32;
  options.layout = config.train.memory_format == MemoryFormat::channels_last
                       ? PixelLayout::interleaved
                       : PixelLayout::planar;
  options.pinned = device.is_cuda();
  options.data = config.data;
  // What is kept in memory is kept by each of them.
  options.data.cache_memory /= world.local_size();
  return options;
}

std::int64_t steps_per_epoch(const RunConfig& config, std::int64_t dataset_size, int processes) {
  const std::int64_t batch = config.train.batch_size;
  const std::int64_t steps =
      config.train.drop_last ? dataset_size / batch : (dataset_size + batch - 1) / batch;
  if (steps == 0) {
    throw Error(ErrorKind::config,
                fmt::format("/train/batch_size: expected at most the data set's {} images with "
                            "train.drop_last, got {}; lower it",
                            dataset_size, batch));
  }
  const std::int64_t last = config.train.drop_last ? 0 : dataset_size % batch;
  const std::int64_t smallest = last == 0 ? batch : last;
  const std::int64_t part = smallest / micro_batches(smallest, config.train.micro_batch);
  if (part < processes) {
    throw Error(
        ErrorKind::config,
        fmt::format("/train/{}: expected at least an image for each of the {} processes at a "
                    "time, got {}; make it larger, set train.drop_last or start fewer",
                    config.train.micro_batch > 0 ? "micro_batch" : "batch_size", processes, part));
  }
  if (last >= 2 && last / micro_batches(last, config.train.micro_batch) < 2) {
    throw Error(ErrorKind::config,
                fmt::format("/train/micro_batch: expected at least 2 images in each part of an "
                            "epoch's last batch of {}, got {} and a last one of 1; make it larger "
                            "or set train.drop_last",
                            last, config.train.micro_batch));
  }
  return steps;
}

}  // namespace clr
