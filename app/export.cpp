// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <torch/csrc/jit/serialization/export.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "clr/core/log.h"
#include "clr/io/file.h"
#include "clr/io/onnx_file.h"
#include "clr/io/safetensors.h"
#include "clr/model/network_graph.h"
#include "clr/train/model_source.h"
#include "clr/train/run_config.h"
#include "clr/train/run_folder.h"
#include "command.h"
#include "export_sentence_transformers.h"
#include "feature_extraction.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

struct ExportOptions {
  std::string checkpoint;
  std::string format;
  std::string output;
  FeatureLayer layer = FeatureLayer::feature;
  bool json = false;

  /// Whether names and tensors alone are written, for a network that Python builds.
  bool tensors_only() const { return format == "torchvision" || format == "timm"; }
};

void check_output(const ExportOptions& options) {
  const std::map<std::string, std::string> endings{{"torchvision", ".safetensors"},
                                                   {"timm", ".safetensors"},
                                                   {"onnx", ".onnx"},
                                                   {"torchscript", ".pt"}};
  const std::string& ending = endings.at(options.format);
  if (fs::path(options.output).extension() != ending) {
    throw Error(ErrorKind::usage,
                fmt::format("--output {}: expected a name that ends in {} for --format {}",
                            options.output, ending, options.format));
  }
  if (options.tensors_only() && options.layer != FeatureLayer::feature) {
    throw Error(ErrorKind::usage,
                fmt::format("--layer projection: expected --format onnx or torchscript, got {}, "
                            "whose networks have no projection head",
                            options.format));
  }
  if (options.format == "onnx") require_onnx("--format onnx");
}

/// The evaluation transform step by step, and in the words that other libraries have for it.
Json preprocessing(const AugmentConfig& augment) {
  // Not normalised, unless a step says otherwise.
  Json result = {{"mean", Json::array({0.0, 0.0, 0.0})}, {"std", Json::array({1.0, 1.0, 1.0})}};
  const Json dumped = dump_value(augment);
  const Json& steps = dumped["views"][0]["chain"];
  for (const Json& step : steps) {
    const std::string type = step["type"];
    if (type == "resize") {
      result["resize"] = step["size"];
      result["interpolation"] = step["interpolation"];
      result["antialias"] = true;
    } else if (type == "center_crop") {
      result["crop"] = step["size"];
    } else if (type == "normalize") {
      result["mean"] = step["mean"];
      result["std"] = step["std"];
    }
  }
  result["compat"] = dumped["compat"];
  result["steps"] = steps;
  return result;
}

bool is_transformer(const std::string& type) { return type.starts_with("vit_"); }

/// The lines of Python that build the network and load the file into it.
Json python_lines(const ExportOptions& options, const Json& encoder) {
  // A literal of Python's too.
  const std::string file = dump_text(Json(fs::path(options.output).filename().string()));
  if (options.format == "torchscript") {
    return Json::array({"import torch", fmt::format("model = torch.jit.load({})", file)});
  }
  if (options.format == "onnx") {
    return Json::array(
        {"import onnxruntime", fmt::format("model = onnxruntime.InferenceSession({})", file)});
  }
  Json lines = Json::array({"import torch", "from safetensors.torch import load_file"});
  const std::string type = encoder["type"];
  if (options.format == "timm" && is_transformer(type)) {
    lines.push_back("import timm");
    lines.push_back(fmt::format(
        "model = timm.create_model(\"{}_patch16_224\", img_size={}, patch_size={}, num_classes=0, "
        "dynamic_img_size=True)",
        type, encoder["image_size"].get<int>(), encoder["patch"].get<int>()));
  } else if (options.format == "timm") {
    lines.push_back("import timm");
    lines.push_back(fmt::format("model = timm.create_model(\"{}\", num_classes=0)", type));
  } else {
    lines.push_back("import torchvision");
    lines.push_back(fmt::format("model = torchvision.models.{}()", type));
    lines.push_back("model.fc = torch.nn.Identity()");
  }
  if (!is_transformer(type) && encoder["stem"] != "imagenet") {
    lines.push_back(fmt::format("model.conv1 = torch.nn.Conv2d(3, 64, 3, padding={}, bias=False)",
                                encoder["stem"] == "cifar_padded" ? 2 : 1));
    lines.push_back("model.maxpool = torch.nn.Identity()");
  }
  lines.push_back(fmt::format("model.load_state_dict(load_file({}))", file));
  lines.push_back("model.eval()");
  return lines;
}

/// torchvision and timm build ResNets of one width, and timm vision transformers, whose mean of patches
/// is another than clr's.
void check_network(const ExportOptions& options, const ModelSource& source) {
  if (is_transformer(source.encoder["type"])) {
    const std::string reason =
        options.format == "torchvision" ? "torchvision's have other names: take timm"
        : options.format == "onnx" ? "attention cannot be written yet: take timm or torchscript"
        : options.format == "timm" && source.encoder["pooling"] != "token"
            ? "timm takes the norm after the mean of the patches: take torchscript"
            : "";
    if (reason.empty()) return;
    throw Error(ErrorKind::checkpoint,
                fmt::format("{}: --format {}: expected a ResNet, got {} with pooling {}; {}",
                            source.name, options.format, source.encoder["type"].get<std::string>(),
                            source.encoder["pooling"].get<std::string>(), reason));
  }
  const double width = source.encoder.value("width", 1.0);
  if (options.tensors_only() && width != 1.0) {
    throw Error(ErrorKind::checkpoint,
                fmt::format("{}: --format {}: expected an encoder of width 1, got {}, which {} "
                            "cannot build; the formats onnx and torchscript hold any",
                            source.name, options.format, width, options.format));
  }
}

void write_torchscript(const fs::path& path, const torch::jit::Module& network,
                       const std::string& description) {
  DurableFile file(path);
  torch::jit::ExportModule(network,
                           [&file](const void* bytes, std::size_t size) {
                             file.write(bytes, size);
                             return size;
                           },
                           {{"clr.json", description}});
  file.commit();
}

/// A folder instead of a file, and another kind of network than everything below is about.
void run_sentence_transformers(const ExportOptions& options) {
  if (options.layer != FeatureLayer::feature) {
    throw Error(ErrorKind::usage,
                "--layer projection: expected feature with --format sentence-transformers");
  }
  const ModelSource source = open_model(options.checkpoint, nullptr);
  export_sentence_transformers(options.output, source);
  log_info("sentence-transformers of {}: {}", source.name, options.output);
  const std::string line = fmt::format("model = SentenceTransformer({})",
                                       dump_text(Json(fs::path(options.output).string())));
  log_info("  from sentence_transformers import SentenceTransformer");
  log_info("  {}", line);
  if (options.json) {
    print_json(
        {{"output", options.output},
         {"format", options.format},
         {"encoder", source.encoder},
         {"text", source.text},
         {"python", Json::array({"from sentence_transformers import SentenceTransformer", line})}});
  }
}

void run(const ExportOptions& options) {
  if (options.format == "sentence-transformers") return run_sentence_transformers(options);
  check_output(options);
  const fs::path output = options.output;
  const fs::path beside = options.output + ".json";
  prepare_output_file(output);
  prepare_output_file(beside);
  const ModelSource source = open_model(options.checkpoint, nullptr);
  if (!source.text.is_null()) {
    throw Error(ErrorKind::checkpoint,
                fmt::format("{}: --format {}: expected an encoder of images, got one of texts",
                            source.name, options.format));
  }
  check_network(options, source);
  AugmentConfig augment;
  read_value(source.augment, Place(source.name), augment);
  Component<Encoder> encoder;
  read_value(source.encoder, Place(source.name), encoder);
  const FeatureModel model = build_model(source, encoder, /*seed=*/0);
  require_layer(model, options.layer, source.name);
  if (!source.note.empty()) log_info("{}", source.note);
  MlpHead* projector = options.layer == FeatureLayer::projection ? model.projector.get() : nullptr;
  const std::int64_t features =
      projector != nullptr ? projector->output_dim() : model.encoder->feature_dim();
  const std::int64_t side = Augmenter(augment).view_size(0).width;

  const std::string sha256 = tensors_sha256(*model.encoder);
  Json description = {{"format", options.format},
                      {"encoder", source.encoder},
                      {"layer", to_string(options.layer)},
                      {"features", features},
                      {"input",
                       {{"name", "pixels"},
                        {"layout", "NCHW"},
                        {"size", Json::array({"N", 3, side, side})},
                        {"channels", "RGB, 0 to 1 before mean and std"}}},
                      {"preprocessing", preprocessing(augment)},
                      {"encoder_sha256", sha256},
                      {"python", python_lines(options, source.encoder)}};
  const std::string text = dump_text(description);
  if (options.tensors_only()) {
    SafeTensors content;
    for (const auto& item : model.encoder->named_parameters())
      content.tensors.emplace_back(item.key(), item.value().detach());
    for (const auto& item : model.encoder->named_buffers())
      content.tensors.emplace_back(item.key(), item.value());
    content.metadata = {
        {"format", "pt"},
        {"clr.description", text},
        {kExportKey, dump_text({{"encoder", source.encoder}, {"augment", source.augment}})}};
    write_safetensors(output, content);
  } else {
    const torch::jit::Module network = record_network(*model.encoder, projector, side);
    if (options.format == "onnx") {
      write_onnx(output, network, side, features, {{"clr.description", text}});
    } else {
      write_torchscript(output, network, text);
    }
  }
  write_file_durably(beside, dump_text(description, 2) + "\n");

  log_info("{} of {}: {} features, SHA-256 of the encoder {}", options.format, source.name,
           features, sha256);
  for (const Json& line : description["python"]) log_info("  {}", line.get<std::string>());
  if (options.json) {
    Json result = {{"output", options.output}, {"description", beside.string()}};
    result.update(description);
    print_json(result);
  }
}

}  // namespace

void add_export_command(CLI::App& program, Action& action) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command =
      program.add_subcommand("export", "write a model's weights as other programs load them");
  command
      ->add_option("--checkpoint", options->checkpoint,
                   "run folder, checkpoint folder or .safetensors file")
      ->required();
  command
      ->add_option("--format", options->format,
                   "torchvision or timm: names that load strictly; onnx; torchscript; "
                   "sentence-transformers: a folder, of encoders of texts")
      ->required()
      ->check(
          CLI::IsMember({"torchvision", "timm", "onnx", "torchscript", "sentence-transformers"}));
  command
      ->add_option(
          "--output", options->output,
          "FILE.safetensors (torchvision, timm), FILE.onnx or FILE.pt (torchscript); what "
          "its images go through is in FILE.json beside it; or FOLDER (sentence-transformers)")
      ->required();
  command
      ->add_option_function<std::string>(
          "--layer",
          [options = options.get()](const std::string& name) {
            options->layer =
                name == "projection" ? FeatureLayer::projection : FeatureLayer::feature;
          },
          "feature (h, before the projection head) or projection (z); onnx and torchscript")
      ->check(CLI::IsMember({"feature", "projection"}))
      ->default_str("feature");
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
