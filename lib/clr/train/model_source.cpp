// SPDX-License-Identifier: Apache-2.0
#include "clr/train/model_source.h"

#include <algorithm>
#include <fstream>
#include <set>

#include "clr/core/log.h"
#include "clr/core/rng.h"
#include "clr/io/file.h"
#include "clr/model/foreign_names.h"
#include "clr/train/checkpoint.h"
#include "clr/train/hugging_face_folder.h"
#include "clr/train/run_config.h"
#include "clr/train/run_setup.h"
#include "clr/train/training_state.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

void describe_by_config(ModelSource& source, const ConfigDocument& document) {
  const RunConfig config = read_run_config(document);
  source.encoder = dump_value(config.encoder);
  if (config.text) {
    source.text = dump_value(whole_texts(*config.text));
    source.views = dump_value(*config.text);
  } else {
    source.augment = dump_value(evaluation_augment(config));
    source.views = dump_value(config.augment);
  }
  source.projector = config.projector;
}

/// Random weights know no vocabulary but the configuration's.
void read_vocabulary(ModelSource& source, const ConfigDocument& document) {
  if (source.text.is_null()) return;
  RunConfig config = read_run_config(document);
  read_vocabulary(*config.text);
  source.vocabulary = config.text->pieces->text();
  fit_to_texts(config.encoder, *config.text);
  source.encoder = dump_value(config.encoder);
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

/// Throws where a file is one of PyTorch's pickles, which are programs.
void refuse_pickle(const fs::path& path) {
  static const std::set<std::string> kEndings{".pth", ".pt", ".ckpt", ".tar", ".bin", ".pkl"};
  std::ifstream stream(path, std::ios::binary);
  char start[9] = {};
  stream.read(start, sizeof start);
  // A .safetensors file begins with eight bytes of any value, a length, and then a brace.
  const bool safetensors = stream.gcount() == sizeof start && start[8] == '{';
  const bool zip = std::string_view(start, 4) == "PK\x03\x04";
  const bool pickle = start[0] == '\x80' && start[1] > 0 && start[1] < 6;
  if (stream && !safetensors && (zip || pickle || kEndings.contains(path.extension().string()))) {
    throw Error(
        ErrorKind::checkpoint,
        fmt::format("{}: expected a .safetensors file, got a pickle of PyTorch's, which clr "
                    "does not run; scripts/convert_checkpoint.py {} {} makes one of it",
                    path.string(), path.string(),
                    fs::path(path).replace_extension(".safetensors").string()));
  }
}

/// Whose names a file has and what became of its tensors, for people.
std::string describe(const NameMap& map, std::size_t counters, bool padded_stem) {
  std::string text =
      fmt::format("names of {}: {} tensors of the encoder{}", map.origin, map.names.size(),
                  map.prefix.empty() ? "" : " after " + map.prefix);
  if (counters > 0) text += fmt::format("; {} counters it lacks start at 0", counters);
  if (padded_stem) {
    text += "; its 3x3 stem is taken to pad by 2, as solo-learn's do (encoder.stem = cifar_padded)";
  }
  if (map.left_out.empty()) return text;
  text += "; left out: ";
  const char* separator = "";
  for (const NameMap::LeftOut& group : map.left_out) {
    text += fmt::format("{}{} ({}, {})", separator, group.prefix, group.reason, group.count);
    separator = ", ";
  }
  return text;
}

/// Old files lack batch norm's counters, which training alone reads, and only some kinds of it.
std::size_t add_missing_counters(SafeTensors& content) {
  std::set<std::string> names;
  for (const auto& [name, tensor] : content.tensors) names.insert(name);
  std::size_t added = 0;
  constexpr std::string_view kMean = ".running_mean";
  for (const std::string& name : names) {
    if (!name.ends_with(kMean)) continue;
    const std::string counter = name.substr(0, name.size() - kMean.size()) + ".num_batches_tracked";
    if (names.contains(counter)) continue;
    content.tensors.emplace_back(counter, torch::zeros({}, torch::dtype(torch::kInt64)));
    ++added;
  }
  return added;
}

/// A BERT of Hugging Face's: by the files beside its weights.
void describe_by_folder(ModelSource& source, const Component<Encoder>& shapes,
                        const fs::path& folder) {
  HuggingFaceFolder beside = read_hugging_face_folder(folder);
  Json merged = dump_value(shapes);
  merged.update(beside.encoder);
  Component<Encoder> encoder;
  read_value(merged, Place(source.name + ": the files beside it"), encoder);
  source.encoder = dump_value(encoder);
  TextConfig text;
  read_value(beside.text, Place(source.name + ": text"), text);
  source.text = dump_value(whole_texts(text));
  source.vocabulary = std::move(beside.vocabulary);
  source.note += fmt::format(
      "; a {} with {} heads and pooling {}, that sees texts up to {} tokens{}", shapes.type,
      source.encoder.value("heads", 0), source.encoder.value("pooling", ""), text.max_tokens,
      text.lowercase ? ", lower-cased" : "");
}

/// A file without configuration: whatever its names and shapes say.
void describe_by_tensors(ModelSource& source, bool padded_stem, const fs::path& path) {
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> shapes;
  for (const auto& [name, tensor] : source.weights.tensors) {
    shapes.emplace_back(name, tensor.sizes().vec());
  }
  const Component<Encoder> encoder = infer_encoder(shapes, source.name);
  if (encoder.type == "bert") return describe_by_folder(source, encoder, path.parent_path());
  source.encoder = dump_value(encoder);
  const bool cifar = encoder.options.value("stem", "") == "cifar";
  if (cifar && padded_stem) source.encoder["stem"] = "cifar_padded";
  // A vision transformer's position embeddings tell the size.
  const int side = encoder.options.value("image_size", cifar ? 32 : 224);
  const bool small = side <= 64;
  const int resized = small ? side : side * 256 / 224;
  source.augment =
      dump_value(make_evaluation_augment(resized, side, small ? Json() : imagenet_normalization()));
  const std::string kind =
      encoder.options.contains("patch")
          ? fmt::format("patches of {0} x {0}", encoder.options["patch"].get<int>())
          : fmt::format("the {} stem, width {}", source.encoder.value("stem", ""),
                        encoder.options.value("width", 1.0));
  source.note += fmt::format(
      "; no configuration inside: taken for a plain {} with {}, that sees {}; "
      "another transform: augment in --config",
      encoder.type, kind,
      small
          ? fmt::format("images of {0} x {0} as they are, not normalised", side)
          : fmt::format("{0} x {0}, its middle {1} x {1}, normalised as ImageNet", resized, side));
}

/// A file that clr exported: architecture and transform as its metadata has them.
void describe_by_export(ModelSource& source, const std::string& text) {
  const std::string where = source.name + " (its metadata)";
  const Json json = parse_json(text, where);
  Component<Encoder> encoder;
  AugmentConfig augment;
  for (const char* key : {"encoder", "augment"}) {
    if (!json.is_object() || !json.contains(key)) {
      (Place(where) / key).fail("expected one, got none");
    }
  }
  read_value(json["encoder"], Place(where) / "encoder", encoder);
  read_value(json["augment"], Place(where) / "augment", augment);
  source.encoder = dump_value(encoder);
  source.augment = dump_value(augment);
}

void open_file(ModelSource& source, const fs::path& path) {
  Weights weights = read_weights(path);
  source.weights = std::move(weights.content);
  source.note = weights.note;
  const auto& metadata = source.weights.metadata;
  try {
    if (const auto config = metadata.find(kConfigKey); config != metadata.end()) {
      describe_by_config(source,
                         document_of(config->second, path.string() + " (its configuration)"));
      if (const auto vocabulary = metadata.find(kVocabularyKey); vocabulary != metadata.end())
        source.vocabulary = vocabulary->second;
    } else if (const auto model = metadata.find(kExportKey); model != metadata.end()) {
      describe_by_export(source, model->second);
    } else {
      describe_by_tensors(source, weights.padded_stem, path);
    }
  } catch (const Error& error) {
    throw Error(ErrorKind::checkpoint, error.what());
  }
}

void open_folder(ModelSource& source, const fs::path& folder) {
  const fs::path file = model_file(folder);
  source.name = file.string();
  if (file.parent_path().parent_path().filename() == "checkpoints")
    source.run = file.parent_path().parent_path().parent_path();
  open_file(source, file);
}

}  // namespace

fs::path model_file(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path;
  if (fs::exists(path / "model.safetensors", ignored)) {
    if (fs::exists(path / "manifest.json", ignored)) {
      if (const std::string problem = verify_checkpoint(path); !problem.empty())
        throw Error(ErrorKind::checkpoint, path.string() + ": damaged: " + problem);
    }
    return path / "model.safetensors";
  }
  const auto checkpoint = newest_good_checkpoint(path);
  if (!checkpoint) {
    throw Error(ErrorKind::checkpoint,
                path.string() + ": expected a run with checkpoints or a checkpoint, got neither");
  }
  return *checkpoint / "model.safetensors";
}

Weights read_weights(const fs::path& path) {
  refuse_pickle(path);
  Weights weights;
  weights.content = read_safetensors(path);
  const auto& metadata = weights.content.metadata;
  for (const char* key : {kConfigKey, kExportKey}) {
    const auto found = metadata.find(key);
    if (found == metadata.end()) continue;
    const Json json = Json::parse(found->second, nullptr, /*allow_exceptions=*/false);
    // What is wrong with it is said where it is read.
    if (!json.is_object()) continue;
    weights.padded_stem = json.value(Json::json_pointer("/encoder/stem"), Json()) == "cifar_padded";
  }
  if (metadata.contains(kConfigKey)) return weights;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : weights.content.tensors) names.push_back(name);
  const NameMap map = map_names(names, path.string());
  SafeTensors own;
  own.metadata = weights.content.metadata;
  for (const auto& [name, encoder_name] : map.names) {
    log_debug("{}: {} is the encoder's {}", path.string(), name, encoder_name);
    own.tensors.emplace_back("encoder." + encoder_name, weights.content.find(name));
  }
  weights.content = std::move(own);
  const torch::Tensor stem = weights.content.find("encoder.conv1.weight");
  const bool small = stem.defined() && stem.dim() == 4 && stem.size(3) == 3;
  if (!weights.content.metadata.contains(kExportKey))
    weights.padded_stem = map.padded_stem && small;
  const std::size_t counters = add_missing_counters(weights.content);
  weights.note = path.string() + ": " + describe(map, counters, weights.padded_stem);
  return weights;
}

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
    read_vocabulary(source, *config);
    return source;
  }
  if (spec.starts_with("random:")) {
    const fs::path path = fs::path(spec.substr(7)) / "config.json";
    source.random = true;
    const ConfigDocument document =
        document_of(read_file(path, ErrorKind::checkpoint), path.string());
    describe_by_config(source, document);
    read_vocabulary(source, document);
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

Json evaluation_sections(const ModelSource& source) {
  Json result = {{"encoder", source.encoder}};
  if (source.text.is_null()) {
    result["augment"] = source.augment;
  } else {
    result["text"] = source.text;
  }
  return result;
}

void take_vocabulary(const ModelSource& source, TextConfig& text) {
  const bool own = !source.text.is_null() && text.vocabulary == source.text.value("vocabulary", "");
  if (own && !source.vocabulary.empty())
    text.pieces = std::make_shared<const WordPiece>(
        WordPiece::parse(source.vocabulary, text.lowercase, source.name));
  read_vocabulary(text);
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
    load_tensors(*model.encoder, source.weights, "encoder.", source.name);
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
