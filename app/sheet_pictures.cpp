// SPDX-License-Identifier: Apache-2.0
#include "sheet_pictures.h"

#include <utility>

#include "clr/core/error.h"
#include "clr/data/decode_record.h"
#include "clr/io/drawing.h"
#include "clr/train/run_folder.h"

namespace fs = std::filesystem;

namespace clr {

void prepare_sheet(const std::string& option, const fs::path& path) {
  const std::string where = option + " " + path.string();
  if (path.extension() != ".png")
    throw Error(ErrorKind::usage, where + ": expected a name that ends in .png");
  require_drawing(where);
  prepare_output_file(path);
}

std::string class_of(const Dataset& images, std::int64_t index) {
  const std::int64_t label = images.label(index);
  return label < 0 ? "" : images.classes()[static_cast<std::size_t>(label)];
}

std::string caption_of(const Dataset& images, std::int64_t index) {
  const std::string name = class_of(images, index);
  return name.empty() ? fs::path(images.name(index)).filename().string() : name;
}

Image decoded(const Dataset& images, std::int64_t index, const DataConfig& config) {
  Record record = images.get(index);
  try {
    return decode_record(std::move(record), config);
  } catch (const Error& error) {
    throw Error(error.kind(), images.location(index) + ": " + error.what());
  }
}

}  // namespace clr
