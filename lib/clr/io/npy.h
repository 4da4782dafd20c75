// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <filesystem>

namespace clr {

/// Writes a tensor as NumPy's .npy, version 1.0, C order, little-endian: float32/16/64,
/// int64/32, uint8; byte for byte as numpy.save does.
///
/// Throws:  Error{output} naming the file; c10::Error for another dtype.
void write_npy(const std::filesystem::path& path, const torch::Tensor& tensor);

/// Reads a .npy file of those types (version 1.0 or 2.0, C order).
///
/// Memory:  twice the file, for a moment.
/// Throws:  Error{data} naming the file and what is wrong.
torch::Tensor read_npy(const std::filesystem::path& path);

}  // namespace clr
