// SPDX-License-Identifier: Apache-2.0
#include "head_file.h"

#include <fmt/format.h>

#include "clr/io/safetensors.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

constexpr const char* kName = "head.safetensors";

fs::path full_path(const fs::path& path) {
  std::error_code ignored;
  const fs::path whole = fs::weakly_canonical(path, ignored);
  return ignored ? fs::absolute(path) : whole;
}

FeatureLayer read_layer(const std::string& name, const Place& place) {
  FeatureLayer layer{};
  read_value(Json(name), place, layer);
  return layer;
}

fs::path find_checkpoint(const fs::path& folder, const std::string& relative,
                         const std::string& full) {
  std::error_code ignored;
  for (const fs::path& path : {folder / relative, fs::path(full)}) {
    if (fs::is_regular_file(path, ignored)) return path.lexically_normal();
  }
  throw Error(ErrorKind::checkpoint,
              fmt::format("{}: expected the model file that its classifier stands on, {}, got "
                          "none; evaluate the run again",
                          folder.string(), full));
}

}  // namespace

void write_head(const fs::path& folder, const HeadFile& content) {
  SafeTensors file;
  file.tensors = {{"weight", content.head.weight}, {"bias", content.head.bias}};
  file.metadata = {{"clr.classes", dump_text(content.classes)},
                   {"clr.layer", to_string(content.layer)},
                   {"clr.encoder_sha256", content.encoder_sha256},
                   {"clr.evaluation", dump_text(dump_value(content.config))}};
  if (content.checkpoint == "random") {
    file.metadata["clr.checkpoint"] = "random";
  } else {
    const fs::path checkpoint = full_path(content.checkpoint);
    file.metadata["clr.checkpoint"] = checkpoint.string();
    file.metadata["clr.checkpoint_relative"] =
        checkpoint.lexically_relative(full_path(folder)).string();
  }
  write_safetensors(folder / kName, file);
}

HeadFile read_head(const fs::path& folder) {
  const fs::path path = folder / kName;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    throw Error(ErrorKind::checkpoint,
                fmt::format("{}: expected the folder of a linear-eval or finetune, with {}, got "
                            "none; with --seeds name one of its seed_K",
                            folder.string(), kName));
  }
  const SafeTensors file = read_safetensors(path);
  const auto text = [&](const char* key) {
    const auto found = file.metadata.find(key);
    if (found == file.metadata.end()) {
      throw Error(
          ErrorKind::checkpoint,
          fmt::format("{}: expected metadata {}, got none; evaluate the run again with this "
                      "version of clr",
                      path.string(), key));
    }
    return found->second;
  };
  HeadFile content;
  content.head = {file.find("weight"), file.find("bias")};
  if (text("clr.checkpoint") == "random") {
    throw Error(ErrorKind::checkpoint,
                path.string() +
                    ": expected a classifier on a model file, got one on random weights "
                    "that no file holds");
  }
  content.checkpoint =
      find_checkpoint(folder, text("clr.checkpoint_relative"), text("clr.checkpoint"));
  content.encoder_sha256 = text("clr.encoder_sha256");
  try {
    const Place place(path.string());
    read_value(parse_json(text("clr.classes"), path.string()), place / "clr.classes",
               content.classes);
    content.layer = read_layer(text("clr.layer"), place / "clr.layer");
    read_value(parse_json(text("clr.evaluation"), path.string()), place / "clr.evaluation",
               content.config);
  } catch (const Error& error) {
    throw Error(ErrorKind::checkpoint, error.what());
  }
  const auto& [weight, bias] = content.head;
  const auto classes = static_cast<std::int64_t>(content.classes.size());
  if (!weight.defined() || !bias.defined() || weight.dim() != 2 || bias.dim() != 1 ||
      weight.size(0) != classes || bias.size(0) != classes) {
    throw Error(ErrorKind::checkpoint,
                fmt::format("{}: expected weight [{}, F] and bias [{}]; the file is damaged",
                            path.string(), classes, classes));
  }
  return content;
}

}  // namespace clr
