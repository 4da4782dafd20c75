// SPDX-License-Identifier: Apache-2.0
#include "clr/train/memory_estimate.h"

#include <c10/util/accumulate.h>

#include <algorithm>

#include "clr/core/allocation_meter.h"
#include "clr/core/autocast.h"
#include "clr/core/memory.h"
#include "clr/core/row_keys.h"
#include "clr/dist/world.h"
#include "clr/train/run_setup.h"

namespace clr {
namespace {

/// Values that the optimiser moves: the parameters but for targets, which follow by averaging.
std::int64_t trained(const torch::nn::Module& module) {
  std::int64_t total = 0;
  for (const auto& parameter : module.parameters()) {
    if (parameter.requires_grad()) total += parameter.numel();
  }
  return total;
}

/// Bytes of all parameters, targets too, and buffers (queues, banks).
double held_bytes(const torch::nn::Module& module) {
  double total = 0;
  for (const auto& tensor : module.parameters()) total += static_cast<double>(tensor.nbytes());
  for (const auto& tensor : module.buffers()) total += static_cast<double>(tensor.nbytes());
  return total;
}

double optimizer_tensors_per_parameter(const std::string& type) {
  return type == "adam" || type == "adamw" ? 2.0 : 1.0;
}

class Estimator {
 public:
  Estimator(const RunConfig& config, std::int64_t dataset_size, std::int64_t classes,
            const torch::Device& device)
      : config_(config), device_(device), shapes_(view_shapes(config.augment, config.text)) {
    method_ = build_method(config, dataset_size, classes, steps_per_epoch(config, dataset_size));
    place_module(*method_, device, channels_last(), config.train.precision);
    method_->train();
    // As late in a run, when queues are full and in use; not what is found once, at the start.
    for (auto& buffer : method_->buffers()) {
      if (buffer.is_floating_point() && buffer.dim() > 0) buffer.normal_();
    }
    late_.total_steps = config.train.epochs * steps_per_epoch(config, dataset_size);
    late_.step = std::max(late_.total_steps - 1, std::int64_t{1});
    late_.epoch = config.train.epochs - 1;
    method_->before_step(late_);
  }

  Method& method() { return *method_; }

  /// Peak of embedding `images` images and going back through the networks.
  double networks(std::int64_t images) {
    const Batch batch = random_batch(images);
    return peak_of([&] {
      const Embeddings embeddings = embed(batch);
      torch::Tensor sum;
      for (const auto& z : embeddings.z) sum = sum.defined() ? sum + z.sum() : z.sum();
      sum.backward();
      for (auto& parameter : method_->parameters()) parameter.mutable_grad() = torch::Tensor();
    });
  }

  /// Images that pass through the networks at once.
  std::int64_t images_at_once() const {
    const TrainConfig& train = config_.train;
    return train.micro_batch > 0 ? train.micro_batch : train.batch_size;
  }

  /// Peak of the loss of a whole batch, on random embeddings; with micro-batches these and their
  /// gradient are kept beside it.
  double loss() {
    const std::int64_t images = config_.train.batch_size;
    Batch batch = random_batch(2);
    Embeddings embeddings = embed(batch);
    for (auto& z : embeddings.z) {
      auto shape = z.sizes().vec();
      shape[1] = images;
      z = torch::randn(shape, z.options().requires_grad(true));
    }
    batch.labels = torch::zeros({images}, torch::kInt64).to(device_);
    batch.indices = torch::arange(images).to(device_);
    double kept = 0.0;
    if (config_.train.micro_batch > 0) {
      for (const auto& z : embeddings.z) kept += 2.0 * static_cast<double>(z.nbytes());
    }
    return kept + peak_of([&] { method_->loss(embeddings, batch, late_).loss.backward(); });
  }

  /// Bytes of the views that the loader gives at once.
  double batch_bytes() const {
    double values = 0;
    for (const ViewShape& group : shapes_)
      values += static_cast<double>(group.views * c10::multiply_integers(group.shape));
    if (config_.text) return values * 4.0 * static_cast<double>(images_at_once());
    // float64: what the loader gives and what the networks take.
    const Precision precision = config_.train.precision;
    const double bytes = precision == Precision::bfloat16  ? 2.0
                         : precision == Precision::float64 ? 12.0
                                                           : 4.0;
    return values * bytes * static_cast<double>(images_at_once());
  }

 private:
  bool channels_last() const { return config_.train.memory_format == MemoryFormat::channels_last; }

  Embeddings embed(const Batch& batch) {
    const BFloat16Autocast autocast(device_.type(), config_.train.precision == Precision::bfloat16);
    return method_->embed(batch);
  }

  Batch random_batch(std::int64_t images) const {
    Batch batch;
    const Precision precision = config_.train.precision;
    const auto type = precision == Precision::bfloat16  ? torch::kBFloat16
                      : precision == Precision::float64 ? torch::kFloat64
                                                        : torch::kFloat32;
    for (const ViewShape& group : shapes_) {
      std::vector<std::int64_t> sizes{group.views * images};
      sizes.insert(sizes.end(), group.shape.begin(), group.shape.end());
      torch::Tensor input;
      if (config_.text) {
        // All as long as texts can be: an upper bound.
        input = torch::randint(config_.text->pieces->size(), sizes, torch::kInt).to(device_);
      } else {
        input = torch::rand(sizes).to(device_, type);
        if (channels_last()) input = input.contiguous(torch::MemoryFormat::ChannelsLast);
      }
      batch.groups.push_back(input.unflatten(0, {group.views, images}));
    }
    batch.labels = torch::zeros({images}, torch::kInt64).to(device_);
    batch.indices = torch::arange(images).to(device_);
    set_row_keys(batch, 0);
    return batch;
  }

  const RunConfig& config_;
  torch::Device device_;
  std::vector<ViewShape> shapes_;
  std::shared_ptr<Method> method_;
  StepContext late_;
};

/// Bytes that LibTorch's allocators need for the networks at `batch` images.
double allocated_networks(Estimator& estimator, std::int64_t batch) {
  const double at_four = estimator.networks(4);
  const double at_eight = estimator.networks(8);
  return at_four + (at_eight - at_four) / 4 * static_cast<double>(batch - 4);
}

/// The resident set of this process with the networks at `batch` images: what the kernels take
/// beside the allocators (their scratch is as large as some layers' activations) is in it.
struct Line {
  double at_batch = 0.0;
  double per_image = 0.0;
};
Line resident_networks(Estimator& estimator, std::int64_t batch) {
  // Large enough for the resident set to grow by more than its noise, which the line through both
  // multiplies; the larger of them three times as large, and still a small part of the machine.
  const double wanted = std::min(500e6, static_cast<double>(physical_memory()) / 16);
  const double per_image = (estimator.networks(8) - estimator.networks(4)) / 4;
  const auto few =
      std::min(std::max(static_cast<std::int64_t>(wanted / per_image), std::int64_t{8}), batch);
  const std::int64_t more = std::min(3 * few, batch);
  estimator.networks(few);
  const auto at_few = static_cast<double>(peak_resident_memory());
  estimator.networks(more);
  const auto at_more = static_cast<double>(peak_resident_memory());
  if (more == few) return {at_more, per_image};
  const double slope = (at_more - at_few) / static_cast<double>(more - few);
  return {at_more + slope * static_cast<double>(batch - more), std::max(slope, per_image)};
}

}  // namespace

MemoryEstimate estimate_memory(const RunConfig& config, std::shared_ptr<const Dataset> dataset,
                               const torch::Device& device) {
  Estimator estimator(config, dataset->size(), static_cast<std::int64_t>(dataset->classes().size()),
                      device);
  MemoryEstimate estimate;
  const LoaderOptions loader = training_loader_options(config, device, 1, *World::alone());
  if (!config.text)
    estimate.cache = plan_cache(*dataset, config.data, loader.epochs * loader.passes);
  estimate.parameters = trained(estimator.method());
  estimate.encoder_parameters = trained(estimator.method().encoder());

  const auto parameters = static_cast<double>(estimate.parameters);
  const double optimizer_bytes =
      4.0 * parameters * optimizer_tensors_per_parameter(config.optimizer.type);
  const std::int64_t images = estimator.images_at_once();
  if (device.is_cpu()) {
    constexpr double kPrefetchedBatches = 3;
    // Before the loss, whose memory would be in the resident set's peak as well.
    const Line networks = resident_networks(estimator, images);
    const double batch_bytes = estimator.batch_bytes() * (kPrefetchedBatches + 1);
    estimate.bytes_per_image = networks.per_image + batch_bytes / static_cast<double>(images);
    estimate.peak_bytes = networks.at_batch + optimizer_bytes + estimator.loss() + batch_bytes +
                          estimate.cache.held_bytes();
    estimate.available_bytes = static_cast<double>(physical_memory());
  } else {
    estimate.peak_bytes = allocated_networks(estimator, images) + held_bytes(estimator.method()) +
                          4.0 * parameters + optimizer_bytes + estimator.loss() +
                          estimator.batch_bytes();
    estimate.bytes_per_image = (estimator.networks(8) - estimator.networks(4)) / 4 +
                               estimator.batch_bytes() / static_cast<double>(images);
    estimate.available_bytes = estimate.peak_bytes;
  }
  return estimate;
}

}  // namespace clr
