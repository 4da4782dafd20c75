// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace clr {

/// Throws Error{usage} where this build cannot write ONNX: `where: this build has no protobuf-c ...`.
void require_onnx(const std::string& where);

/// Writes the method `forward` of a recorded network as an ONNX model (IR 8, opset 15): one input
/// `pixels` [N, 3, side, side], one output `features` [N, features], any N.
///
/// Metadata goes to the model's metadata_props. Batch norms become BatchNormalization with their
/// running statistics. Initialisers have the tensors' names.
/// Memory:  the parameters once more, one at a time.
/// Throws:  Error{usage} naming `where`: an operation that has no form here, or a model above
///          protobuf's 2 GiB; Error{output}.
/// Source:  onnx/onnx docs/IR.md, docs/Operators.md.
void write_onnx(const std::filesystem::path& path, const torch::jit::Module& network,
                std::int64_t side, std::int64_t features,
                const std::map<std::string, std::string>& metadata);

}  // namespace clr
