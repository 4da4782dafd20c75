// SPDX-License-Identifier: Apache-2.0
#include "feature_extraction.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "clr/core/autocast.h"
#include "clr/core/device.h"
#include "clr/core/log.h"
#include "clr/core/progress.h"
#include "clr/data/bad_images.h"
#include "clr/data/text_dataset.h"
#include "clr/eval/feature_cache.h"
#include "clr/io/file.h"
#include "clr/train/run_agreement.h"
#include "clr/train/run_setup.h"

namespace clr {
namespace {

/// Raised whenever other code gives other features of the same weights and images.
constexpr int kFeatureVersion = 1;

InferenceConfig resolve(InferenceConfig config, const c10::Device& device, int processes) {
  if (config.precision == Precision::automatic) {
    config.precision = fast_bfloat16(device) ? Precision::bfloat16 : Precision::float32;
  }
  if (config.compute_threads == 0) config.compute_threads = default_compute_threads(processes);
  if (config.memory_format == MemoryFormat::automatic)
    config.memory_format = MemoryFormat::channels_last;
  return config;
}

}  // namespace

ModelSource open_source(const FeatureOptions& options) {
  if (options.checkpoint != "random" || options.config.empty()) {
    return open_model(options.checkpoint, nullptr);
  }
  const ConfigDocument architecture = load_config(options.config, "pretrain");
  return open_model(options.checkpoint, &architecture);
}

ConfigDocument given_config(const FeatureOptions& options) {
  if (options.checkpoint == "random" || options.config.empty()) return {};
  return load_config(options.config, "linear_eval");
}

ConfigDocument evaluation_document(const FeatureOptions& options, const ModelSource& source) {
  ConfigDocument document;
  document.merge(evaluation_sections(source), source.name);
  if (const ConfigDocument given = given_config(options); !given.value.empty()) {
    document.merge(given.value, options.config);
  }
  for (const std::string& set : options.sets) document.set(set);
  return document;
}

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
  command
      .add_option_function<std::string>(
          "--layer",
          [this](const std::string& name) {
            layer = name == "projection" ? FeatureLayer::projection : FeatureLayer::feature;
          },
          "feature (h, before the projection head) or projection (z)")
      ->check(CLI::IsMember({"feature", "projection"}))
      ->default_str("feature");
  command.add_option("--seed", seed, "of splits, subsets and random weights")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  compute.add_to(command);
}

void require_layer(const FeatureModel& model, FeatureLayer layer, const std::string& name) {
  const bool missing =
      !model.projector || (layer == FeatureLayer::projector_1 && model.projector->layers() == 0);
  if (layer != FeatureLayer::feature && missing) {
    throw Error(
        ErrorKind::checkpoint,
        fmt::format("{}: layer {}: expected a projection head, got none", name, to_string(layer)));
  }
}

FeatureExtractor::FeatureExtractor(const ModelSource& source, const EvalConfig& config,
                                   const FeatureOptions& options)
    : world_(options.world),
      layer_(options.layer),
      device_(resolve_device(options.compute.device, options.world->local_rank())),
      config_(config),
      run_(source.run) {
  world_->use_device(device_);
  loader_threads_ = options.compute.loader_threads(device_.is_cuda(), world_->local_size());
  config_.train = resolve(config_.train, device_, world_->local_size());
  apply_compute_settings(config_.train.compute_threads, /*deterministic=*/false);
  if (config_.text) {
    take_vocabulary(source, *config_.text);
    fit_to_texts(config_.encoder, *config_.text);
  }
  model_ = build_model(source, config_.encoder, static_cast<std::uint64_t>(options.seed));
  require_input_kind(*model_.encoder, config_.encoder.type, config_.text.has_value());
  require_layer(model_, layer_, source.name);
  const bool channels_last = config_.train.memory_format == MemoryFormat::channels_last;
  const Precision precision = config_.train.precision;
  place_module(*model_.encoder, device_, channels_last, precision);
  if (model_.projector) place_module(*model_.projector, device_, channels_last, precision);
}

FeatureExtractor::FeatureExtractor(FeatureModel model, FeatureLayer layer, const EvalConfig& config,
                                   const c10::Device& device, int loader_threads,
                                   std::shared_ptr<World> world)
    : world_(std::move(world)),
      layer_(layer),
      device_(device),
      loader_threads_(loader_threads),
      config_(config),
      model_(std::move(model)) {
  config_.train = resolve(config_.train, device_, world_->local_size());
  model_.encoder->eval();
  if (model_.projector) model_.projector->eval();
}

Features FeatureExtractor::extract(std::shared_ptr<const Dataset> dataset,
                                   const std::string& title) const {
  if (!world_->is_alone())
    require_agreement(*world_, dump_value(config_), dataset->fingerprint(), *model_.encoder);
  if (!run_ || !config_.train.keep_features) return compute(std::move(dataset), title);
  // Of several processes rank 0 alone looks for them, keeps them, and goes on with them.
  std::optional<FeatureCache> cache;
  std::optional<Features> kept;
  if (world_->leads()) {
    const World::OwnWork looking(*world_);
    cache.emplace(*run_ / "features", cache_key(*dataset));
    kept = cache->find();
  }
  if (world_->broadcast(kept ? "y" : "n") == "y") {
    if (!kept) return {};
    log_info("{}: {} {}, kept from an earlier evaluation", title,
             format_count(kept->values.size(0)), items_of(*dataset));
    report_bad(*kept, *dataset);
    return std::move(*kept);
  }
  Features features = compute(std::move(dataset), title);
  if (!cache) return features;
  try {
    cache->keep(features);
  } catch (const Error& error) {
    log_warning("{}; the features are not kept", error.what());
  }
  return features;
}

Json FeatureExtractor::cache_key(const Dataset& dataset) const {
  Json data = dump_value(config_.data);
  // Ways to the same pixels.
  for (const char* key : {"cache", "cache_memory", "shuffle_shards"}) data.erase(key);
  Json train = dump_value(config_.train);
  train.erase("keep_features");
  Json key = {{"version", kFeatureVersion},
              {"encoder", encoder_sha256()},
              {"layer", to_string(layer_)},
              {"augment", dump_value(config_.augment)},
              {"data", std::move(data)},
              {"train", std::move(train)},
              {"device", device_description(device_)},
              {"fingerprint", dataset.fingerprint()},
              {"content", content_hash(dataset, loader_threads_)}};
  if (config_.text) {
    key["text"] = dump_value(*config_.text);
    key["vocabulary"] = sha256_hex(config_.text->pieces->text());
  }
  if (layer_ != FeatureLayer::feature) key["projector"] = tensors_sha256(*model_.projector);
  return key;
}

void FeatureExtractor::report_bad(const Features& features, const Dataset& dataset) const {
  for (const BadImage& image : features.bad)
    log_warning("{}: {}; left out", image.name, image.reason);
  BadImages(dataset.size(), config_.data.max_bad).add(features.bad);
}

Features FeatureExtractor::compute(std::shared_ptr<const Dataset> dataset,
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
  const auto loader = make_loader(dataset, {config_.augment, config_.text}, options);
  Progress progress(title, dataset->size());
  Features features = extract_features(
      *loader, *dataset, device_,
      [this](const torch::Tensor& input) {
        const BFloat16Autocast autocast(device_.type(),
                                        config_.train.precision == Precision::bfloat16);
        const torch::Tensor h = model_.encoder->forward({as_input(input, config_.train.precision)});
        switch (layer_) {
          case FeatureLayer::projector_1:
            return model_.projector->forward_to(h, 1);
          case FeatureLayer::projection:
            return model_.projector->forward(h);
          case FeatureLayer::feature:
            break;
        }
        return h;
      },
      [&progress](std::int64_t done) { progress.update(done); }, world_);
  progress.finish();
  report_bad(features, *dataset);
  if (world_->leads() && features.values.size(0) == 0) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected readable images, got none", dataset->name(0)));
  }
  return features;
}

}  // namespace clr
