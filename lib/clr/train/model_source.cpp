// SPDX-License-Identifier: Apache-2.0
#include "clr/train/model_source.h"

#include <algorithm>

#include "clr/core/rng.h"
#include "clr/io/file.h"
#include "clr/train/checkpoint.h"
#include "clr/train/run_config.h"
#include "clr/train/training_state.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

constexpr const char* kConfigKey = "clr.config";

void describe_by_config(ModelSource& source, const ConfigDocument& document) {
  const RunConfig config = read_run_config(document);
  source.encoder = dump_value(config.encoder);
  source.augment = dump_value(evaluation_augment(config));
  source.views = dump_value(config.augment);
  source.projector = config.projector;
}

ConfigDocument document_of(const std::string& text, const std::string& where) {
  ConfigDocument document;
  document.merge(parse_json(text, where), where);
  return document;
}

Json imagenet_normalization() {
  return {{"type", "normalize"},
          {"mean", Json::array({0.485, 0.456, 0.406})},
          {"std", Json::array({0.229, 0.224, 0.225})}};
}

/// A file without metadata: whatever its names and shapes say.
void describe_by_tensors(ModelSource& source) {
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> shapes;
  for (const auto& [name, tensor] : source.weights.tensors) {
    shapes.emplace_back(name, tensor.sizes().vec());
  }
  const Component<Encoder> encoder = infer_encoder(shapes, source.name);
  source.encoder = dump_value(encoder);
  const bool cifar = encoder.options.value("stem", "") == "cifar";
  source.augment = dump_value(cifar ? make_evaluation_augment(32, 32, Json())
                                    : make_evaluation_augment(256, 224, imagenet_normalization()));
  source.note = fmt::format(
      "{}: no configuration inside; its tensors are a {} with the {} stem, width {}", source.name,
      encoder.type, encoder.options.value("stem", ""), encoder.options.value("width", 1.0));
}

void open_file(ModelSource& source, const fs::path& path) {
  source.weights = read_safetensors(path);
  const auto config = source.weights.metadata.find(kConfigKey);
  if (config != source.weights.metadata.end()) {
    try {
      describe_by_config(source,
                         document_of(config->second, path.string() + " (its configuration)"));
    } catch (const Error& error) {
      throw Error(ErrorKind::checkpoint, error.what());
    }
  } else {
    describe_by_tensors(source);
  }
}

void open_folder(ModelSource& source, const fs::path& folder) {
  std::error_code ignored;
  if (fs::exists(folder / "model.safetensors", ignored)) {
    if (fs::exists(folder / "manifest.json", ignored)) {
      if (const std::string problem = verify_checkpoint(folder); !problem.empty()) {
        throw Error(ErrorKind::checkpoint, folder.string() + ": damaged: " + problem);
      }
    }
    source.name = (folder / "model.safetensors").string();
    if (folder.parent_path().filename() == "checkpoints")
      source.run = folder.parent_path().parent_path();
    open_file(source, folder / "model.safetensors");
    return;
  }
  const auto checkpoint = newest_good_checkpoint(folder);
  if (!checkpoint) {
    throw Error(ErrorKind::checkpoint,
                folder.string() + ": expected a run with checkpoints or a checkpoint, got neither");
  }
  source.run = folder;
  source.name = (*checkpoint / "model.safetensors").string();
  open_file(source, *checkpoint / "model.safetensors");
}

}  // namespace

ModelSource open_model(const std::string& spec, const ConfigDocument* config) {
  ModelSource source;
  source.name = spec;
  if (spec == "random") {
    if (config == nullptr) {
      throw Error(ErrorKind::usage,
                  "--checkpoint random: expected a training --config that names the architecture, "
                  "got none");
    }
    source.random = true;
    describe_by_config(source, *config);
    return source;
  }
  if (spec.starts_with("random:")) {
    const fs::path path = fs::path(spec.substr(7)) / "config.json";
    source.random = true;
    describe_by_config(source, document_of(read_file(path, ErrorKind::checkpoint), path.string()));
    return source;
  }
  std::error_code error;
  const auto status = fs::status(spec, error);
  if (!fs::exists(status)) {
    throw Error(ErrorKind::checkpoint, spec + ": no such run, checkpoint or .safetensors file");
  }
  if (fs::is_directory(status)) {
    const fs::path folder = fs::path(spec).lexically_normal();
    open_folder(source, folder.has_filename() ? folder : folder.parent_path());
  } else {
    open_file(source, spec);
    const fs::path folder = fs::path(spec).parent_path();
    if (folder.parent_path().filename() == "checkpoints")
      source.run = folder.parent_path().parent_path();
  }
  return source;
}

FeatureModel build_model(const ModelSource& source, const Component<Encoder>& encoder,
                         std::uint64_t seed) {
  // As build_method() does, so that `random:RUN` with the run's seed gives the weights it began
  // with.
  torch::manual_seed(Rng(seed, {}, OpId::initialization).bits64(0));
  FeatureModel model;
  model.encoder = encoders().make(encoder);
  // A model may have been trained without the head that its configuration describes.
  // A head without layers is the identity, and leaves nothing in a file.
  if (source.projector && (source.random || source.projector->layers == 0 ||
                           has_prefix(source.weights, "projector."))) {
    model.projector = std::make_shared<MlpHead>(model.encoder->feature_dim(), *source.projector);
  }
  if (!source.random) {
    load_encoder(*model.encoder, source.weights, source.name);
    if (model.projector) load_tensors(*model.projector, source.weights, "projector.", source.name);
  }
  model.encoder->eval();
  if (model.projector) model.projector->eval();
  return model;
}

SafeTensors weights_of(const FeatureModel& model) {
  SafeTensors content;
  const auto add = [&content](const std::string& prefix, const torch::nn::Module& module) {
    for (const auto& item : module.named_parameters())
      content.tensors.emplace_back(prefix + item.key(), item.value().detach().cpu());
    for (const auto& item : module.named_buffers())
      content.tensors.emplace_back(prefix + item.key(), item.value().cpu());
  };
  add("encoder.", *model.encoder);
  if (model.projector) add("projector.", *model.projector);
  return content;
}

std::string tensors_sha256(const torch::nn::Module& module) {
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  for (const auto& item : module.named_parameters()) tensors.emplace_back(item.key(), item.value());
  for (const auto& item : module.named_buffers()) tensors.emplace_back(item.key(), item.value());
  std::sort(tensors.begin(), tensors.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  Sha256 sha;
  for (const auto& [name, tensor] : tensors) {
    const torch::Tensor values = tensor.detach().cpu().contiguous();
    const std::string header =
        fmt::format("{} [{}]\n", name, fmt::join(values.sizes().vec(), ", "));
    sha.update(header.data(), header.size());
    sha.update(values.data_ptr(), values.nbytes());
  }
  return sha.hex();
}

}  // namespace clr
