// SPDX-License-Identifier: Apache-2.0
#include "classifier_training.h"

#include <fmt/format.h>

#include <algorithm>

#include "clr/core/log.h"
#include "clr/train/run_setup.h"

namespace fs = std::filesystem;

namespace clr {

RunConfig ClassifierTraining::of_draw(std::int64_t images, std::uint64_t seed) const {
  RunConfig result = run;
  TrainConfig& train = result.train;
  train.seed = static_cast<std::int64_t>(seed);
  train.batch_size = std::min(train.batch_size, images);
  train.micro_batch = std::min(train.micro_batch, train.batch_size);
  // Batch norm cannot normalise one image by itself. Another one is left out in every epoch.
  if (images % train.batch_size == 1) train.drop_last = true;
  return result;
}

void require_two_classes(const Dataset& dataset) {
  for (std::int64_t i = 1; i < dataset.size(); ++i) {
    if (dataset.label(i) != dataset.label(0)) return;
  }
  throw Error(
      ErrorKind::data,
      fmt::format("labelled training images: expected at least two classes, got {} of "
                  "class {} alone",
                  dataset.size(), dataset.classes()[static_cast<std::size_t>(dataset.label(0))]));
}

TrainedClassifier train_classifier(const ClassifierTraining& training,
                                   std::shared_ptr<const Dataset> dataset, const fs::path& folder,
                                   std::uint64_t seed, bool resume) {
  require_two_classes(*dataset);
  const RunConfig run = training.of_draw(dataset->size(), seed);
  if (run.train.batch_size != training.run.train.batch_size) {
    log_info("batch size {}: all labelled images", run.train.batch_size);
  }
  TrainerOptions options;
  options.out = folder;
  options.device = training.device;
  options.loader_threads = training.loader_threads;
  options.init = training.init;
  options.init_name = training.init_name;
  options.resume = resume;
  options.world = training.world;
  Trainer trainer(run, std::move(dataset), options);
  TrainedClassifier result;
  result.training = trainer.run();
  Method& method = trainer.method();
  result.model.encoder = std::dynamic_pointer_cast<Encoder>(method.encoder().shared_from_this());
  if (MlpHead* projector = method.projector()) {
    result.model.projector = std::dynamic_pointer_cast<MlpHead>(projector->shared_from_this());
  }
  // Judged in float32, whatever it was trained in.
  for (torch::nn::Module* part : {static_cast<torch::nn::Module*>(result.model.encoder.get()),
                                  static_cast<torch::nn::Module*>(result.model.projector.get())}) {
    if (part != nullptr) place_module(*part, training.device, false, Precision::float32);
  }
  const auto parameters = method.named_parameters();
  const auto part = [&parameters](const char* name) {
    return parameters[name].detach().to(torch::kCPU, torch::kFloat32).contiguous();
  };
  result.head = {part("classifier.weight"), part("classifier.bias")};
  return result;
}

}  // namespace clr
