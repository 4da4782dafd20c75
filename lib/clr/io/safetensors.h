// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace clr {

/// The content of a safetensors file: tensors on the CPU, contiguous, in the file's order of names, and its
/// `__metadata__`.
struct SafeTensors {
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  std::map<std::string, std::string> metadata;

  /// The tensor of that name, or an undefined one.
  torch::Tensor find(const std::string& name) const;
};

/// Names, dtypes and shapes of a file's tensors, without reading their values.
struct SafeTensorsHeader {
  struct Entry {
    std::string name;
    torch::ScalarType dtype;
    std::vector<std::int64_t> shape;
  };
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;
};

/// Writes a safetensors file: little-endian, row-major, aligned, without holes, and fsyncs it.
///
/// Tensors may lie on any device and in any layout; dtypes float64/32/16, bfloat16, int64/32/16/8, uint8, bool.
/// The order in the file is by alignment, then name, as the reference implementation has it, so equal
/// content gives equal bytes.
/// Throws:  Error{output} naming the file: cannot be created, disk full. Error{usage} never.
/// Source:  huggingface/safetensors, README "Format".
void write_safetensors(const std::filesystem::path& path, const SafeTensors& content);

/// Reads a file strictly: header at most 100 MB, offsets that cover the buffer without holes or overlaps,
/// known dtypes, no duplicate names.
/// Throws:  Error{checkpoint} naming the file and what is wrong.
SafeTensors read_safetensors(const std::filesystem::path& path);

/// Reads the header alone, with the same checks (the file's size included).
SafeTensorsHeader read_safetensors_header(const std::filesystem::path& path);

}  // namespace clr
