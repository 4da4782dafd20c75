// SPDX-License-Identifier: Apache-2.0
#include "feature_extraction.h"

#include <algorithm>
#include <optional>
#include <thread>

#include "clr/core/autocast.h"
#include "clr/core/device.h"
#include "clr/core/log.h"
#include "clr/core/progress.h"
#include "clr/data/bad_images.h"
#include "clr/train/trainer.h"

namespace clr {
namespace {

/// With `random` --config is the training configuration that names the architecture, else an
/// evaluation's.
std::optional<ConfigDocument> architecture_config(const FeatureOptions& options) {
  if (options.checkpoint != "random" || options.config.empty()) return std::nullopt;
  return load_config(options.config, "pretrain");
}

ModelSource open_source(const FeatureOptions& options) {
  const auto document = architecture_config(options);
  return open_model(options.checkpoint, document ? &*document : nullptr);
}

EvalConfig read_config(const FeatureOptions& options, const ModelSource& source) {
  ConfigDocument document;
  document.merge({{"encoder", source.encoder}, {"augment", source.augment}}, source.name);
  if (options.checkpoint != "random" && !options.config.empty()) {
    const ConfigDocument given = load_config(options.config, "linear_eval");
    document.merge(given.value, options.config);
  }
  for (const std::string& set : options.sets) document.set(set);
  return read_eval_config(document);
}

}  // namespace

void FeatureOptions::add_to(CLI::App& command) {
  command
      .add_option(
          "--checkpoint", checkpoint,
          "run folder, checkpoint folder, .safetensors file, random (with a training --config) "
          "or random:RUN")
      ->required();
  command.add_option("--config", config, "configuration file or preset of the evaluation");
  command.add_option("--set", sets, "key.path=value over the configuration, repeatable")
      ->allow_extra_args(false);
  command.add_option("--layer", layer, "feature (h, before the projection head) or projection (z)")
      ->check(CLI::IsMember({"feature", "projection"}))
      ->capture_default_str();
  command.add_option("--seed", seed, "of splits, subsets and random weights")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  compute.add_to(command);
}

FeatureExtractor::FeatureExtractor(const FeatureOptions& options)
    : layer_(options.layer == "feature" ? FeatureLayer::feature : FeatureLayer::projection),
      device_(resolve_device(options.compute.device)),
      source_(open_source(options)),
      config_(read_config(options, source_)) {
  loader_threads_ = options.compute.loader_threads(device_.is_cuda());
  apply_compute_settings(config_.train.compute_threads, /*deterministic=*/false);
  InferenceConfig& compute = config_.train;
  if (compute.precision == Precision::automatic) {
    compute.precision = fast_bfloat16(device_) ? Precision::bfloat16 : Precision::float32;
  }
  if (compute.compute_threads == 0)
    compute.compute_threads = std::max(1U, std::thread::hardware_concurrency());
  if (compute.memory_format == MemoryFormat::automatic)
    compute.memory_format = MemoryFormat::channels_last;
  model_ = build_model(source_, config_.encoder, static_cast<std::uint64_t>(options.seed));
  if (layer_ == FeatureLayer::projection && !model_.projector) {
    throw Error(ErrorKind::checkpoint,
                source_.name + ": --layer projection: expected a projection head, got none");
  }
  const bool channels_last = compute.memory_format == MemoryFormat::channels_last;
  place_module(*model_.encoder, device_, channels_last);
  if (model_.projector) place_module(*model_.projector, device_, channels_last);
}

void FeatureExtractor::log_assumptions() const {
  if (!source_.note.empty()) log_info("{}", source_.note);
}

Features FeatureExtractor::extract(std::shared_ptr<const Dataset> dataset,
                                   const std::string& title) const {
  LoaderOptions options;
  options.batch_size = std::min(config_.train.batch_size, dataset->size());
  options.threads = loader_threads_;
  options.layout = config_.train.memory_format == MemoryFormat::channels_last
                       ? PixelLayout::interleaved
                       : PixelLayout::planar;
  options.pinned = device_.is_cuda();
  options.data = config_.data;
  // One pass: nothing that is kept would be read again.
  options.data.cache = CacheMode::none;
  // Another image in the place of one that is judged would count it twice.
  if (options.data.on_error == OnError::replace) options.data.on_error = OnError::skip;
  const auto augmenter = std::make_shared<const Augmenter>(config_.augment);
  const auto loader = make_thread_loader(dataset, augmenter, options);
  Progress progress(title, dataset->size());
  Features features = extract_features(
      *loader, *dataset, device_,
      [this](const torch::Tensor& pixels) {
        const BFloat16Autocast autocast(device_.type(),
                                        config_.train.precision == Precision::bfloat16);
        const torch::Tensor h = model_.encoder->forward({pixels});
        return layer_ == FeatureLayer::feature ? h : model_.projector->forward(h);
      },
      [&progress](std::int64_t done) { progress.update(done); });
  progress.finish();
  for (const BadImage& image : features.bad)
    log_warning("{}: {}; left out", image.name, image.reason);
  BadImages(dataset->size(), config_.data.max_bad).add(features.bad);
  if (features.values.size(0) == 0) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected readable images, got none", dataset->name(0)));
  }
  return features;
}

}  // namespace clr
