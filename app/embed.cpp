// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>

#include "clr/core/log.h"
#include "clr/data/text_dataset.h"
#include "clr/io/csv.h"
#include "clr/io/file.h"
#include "clr/io/npy.h"
#include "clr/io/safetensors.h"
#include "clr/train/run_folder.h"
#include "feature_extraction.h"
#include "neighbor_sheet.h"
#include "processes.h"
#include "sheet_pictures.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

struct EmbedOptions {
  FeatureOptions features;
  std::string data;
  std::string output;
  std::string neighbors;
  std::string dtype = "float32";
  bool json = false;
  ProcessOptions processes;
};

void write_csv(const fs::path& path, const Dataset& dataset, const Features& features) {
  std::string text = "name,label";
  const std::int64_t width = features.values.size(1);
  for (std::int64_t j = 0; j < width; ++j) text += fmt::format(",f{}", j);
  text += "\n";
  const float* values = features.values.const_data_ptr<float>();
  const auto* indices = features.indices.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < features.values.size(0); ++i) {
    text += csv_field(dataset.name(indices[i])) + "," + csv_field(class_of(dataset, indices[i]));
    for (std::int64_t j = 0; j < width; ++j) text += fmt::format(",{}", values[i * width + j]);
    text += "\n";
  }
  write_file_durably(path, text);
}

void write_index(const fs::path& path, const Dataset& dataset, const Features& features) {
  std::string text = "row,name,label\n";
  const auto* indices = features.indices.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < features.indices.size(0); ++i) {
    text += fmt::format("{},{},{}\n", i, csv_field(dataset.name(indices[i])),
                        csv_field(class_of(dataset, indices[i])));
  }
  write_file_durably(path, text);
}

/// The features as they are stored.
/// Throws:  Error{output} where float16 cannot hold one of them.
torch::Tensor stored_values(const Features& features, const EmbedOptions& options) {
  if (options.dtype == "float32") return features.values;
  torch::Tensor halves = features.values.to(torch::kFloat16);
  if (!halves.isfinite().all().item<bool>()) {
    throw Error(ErrorKind::output,
                fmt::format("{}: expected features up to 65504, which float16 holds, got {:.6g}; "
                            "leave --dtype float16 out",
                            options.output, features.values.abs().max().item<double>()));
  }
  return halves;
}

void write_tensors(const fs::path& path, const Dataset& dataset, const Features& features,
                   const torch::Tensor& values, const FeatureExtractor& extractor) {
  Json names = Json::array();
  const auto* indices = features.indices.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < features.indices.size(0); ++i)
    names.push_back(dataset.name(indices[i]));
  SafeTensors content;
  content.tensors = {{"features", values}, {"labels", features.labels}};
  content.metadata = {{"clr.names", dump_text(names)},
                      {"clr.classes", dump_text(dataset.classes())},
                      {"clr.encoder_sha256", extractor.encoder_sha256()}};
  write_safetensors(path, content);
}

void run(EmbedOptions options) {
  const std::shared_ptr<World> world =
      join_processes(options.processes, "embed", {{"--layer", to_string(options.features.layer)}});
  options.features.world = world;
  const auto start = std::chrono::steady_clock::now();
  const fs::path output = options.output;
  const std::string kind = output.extension().string();
  if (kind != ".npy" && kind != ".csv" && kind != ".safetensors") {
    throw Error(ErrorKind::usage, "--output " + options.output +
                                      ": expected a name that ends in .npy, .csv or .safetensors");
  }
  if (kind == ".csv" && options.dtype != "float32") {
    throw Error(
        ErrorKind::usage,
        "--dtype float16: expected --output FILE.npy or FILE.safetensors, got " + options.output);
  }
  const fs::path index = fs::path(output).replace_extension(".index.csv");
  if (world->leads()) prepare_output_file(output);
  if (world->leads() && kind == ".npy") prepare_output_file(index);
  const bool as_text = fs::path(options.neighbors).extension() == ".txt";
  if (world->leads() && as_text) {
    prepare_output_file(options.neighbors);
  } else if (world->leads() && !options.neighbors.empty()) {
    prepare_sheet("--neighbors", options.neighbors);
  }
  const ModelSource source = open_source(options.features);
  const FeatureExtractor extractor(
      source, read_eval_config(evaluation_document(options.features, source)), options.features);
  const std::shared_ptr<const Dataset> dataset =
      open_dataset(options.data, extractor.config().data);
  if (!options.neighbors.empty() && as_text != (as_texts(*dataset) != nullptr)) {
    throw Error(ErrorKind::usage,
                fmt::format("--neighbors {}: expected FILE.png for images, FILE.txt "
                            "for texts",
                            options.neighbors));
  }
  if (!source.note.empty()) log_info("{}", source.note);
  const Features features = extractor.extract(dataset, "embedding");
  if (!world->leads()) return;
  if (kind == ".npy") {
    write_npy(output, stored_values(features, options));
    write_index(index, *dataset, features);
  } else if (kind == ".csv") {
    write_csv(output, *dataset, features);
  } else {
    write_tensors(output, *dataset, features, stored_values(features, options), extractor);
  }
  if (!options.neighbors.empty()) {
    const EmbeddedImages images{*dataset, features};
    if (as_text) {
      write_neighbor_texts(options.neighbors, images, images);
    } else {
      write_neighbor_sheet(options.neighbors, images, images, extractor.config().data);
    }
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  log_info("{} {}, {} features each, in {}: {}", format_count(features.values.size(0)),
           items_of(*dataset), features.values.size(1), format_duration(seconds), options.output);
  if (options.json) {
    print_json({{"output", options.output},
                {"images", features.values.size(0)},
                {"features", features.values.size(1)},
                {"dtype", options.dtype},
                {"bad_images", features.bad.size()},
                {"encoder_sha256", extractor.encoder_sha256()},
                {"seconds", seconds}});
  }
}

}  // namespace

void add_embed_command(CLI::App& program, Action& action) {
  auto options = std::make_shared<EmbedOptions>();
  CLI::App* command =
      program.add_subcommand("embed", "write the features of images or texts to a file");
  options->features.add_to(*command);
  command->add_option("--data", options->data, kDataHelp)->required();
  command
      ->add_option("--output", options->output,
                   "FILE.npy (with FILE.index.csv), FILE.csv or FILE.safetensors")
      ->required();
  command->add_option("--dtype", options->dtype, "float32 or float16 (not for .csv)")
      ->check(CLI::IsMember({"float32", "float16"}))
      ->capture_default_str();
  command->add_option("--neighbors", options->neighbors,
                      "FILE.png: some of the images, each beside the images most like it; FILE.txt "
                      "of texts");
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  options->processes.add_to(*command);
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
