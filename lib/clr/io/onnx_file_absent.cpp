// SPDX-License-Identifier: Apache-2.0
// Stands in for onnx_file.cpp in builds without protobuf-c.
#include "clr/core/error.h"
#include "clr/io/onnx_file.h"

namespace clr {

void require_onnx(const std::string& where) {
  throw Error(ErrorKind::usage,
              where +
                  ": this build has no protobuf-c and cannot write ONNX; use a build with it, "
                  "or the format torchscript");
}

void write_onnx(const std::filesystem::path& path, const torch::jit::Module&, std::int64_t,
                std::int64_t, const std::map<std::string, std::string>&) {
  require_onnx(path.string());
}

}  // namespace clr
