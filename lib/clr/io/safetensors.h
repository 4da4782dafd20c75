// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace clr {

/// The content of a safetensors file: tensors and its `__metadata__`. Read tensors are on the CPU,
/// contiguous, in the order in which the file's header names them.
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

/// Writes a safetensors file: little-endian, row-major, aligned, without holes; durable, and there
/// whole or not at all (io/file.h).
///
/// Tensors may lie on any device and in any layout; dtypes float64/32/16, bfloat16, int64/32/16/8,
/// uint8, bool. The order in the file is by dtype (wide ones first), then name, as the reference
/// implementation has it, so equal content gives equal bytes.
/// Memory:  one tensor at a time, where it is not on the CPU and contiguous already.
/// Throws:  Error{output} naming the file: cannot be created, disk full. c10::Error for another
///          dtype, an undefined tensor or a name given twice.
/// Source:  huggingface/safetensors, README "Format".
void write_safetensors(const std::filesystem::path& path, const SafeTensors& content);

/// Reads a file strictly: header at most 100 MB, offsets that cover the buffer without holes or
/// overlaps, known dtypes, no duplicate names.
///
/// Throws:  Error{checkpoint} naming the file and what is wrong.
SafeTensors read_safetensors(const std::filesystem::path& path);

/// Reads the header alone, with the same checks (the file's size included).
SafeTensorsHeader read_safetensors_header(const std::filesystem::path& path);

}  // namespace clr
