// SPDX-License-Identifier: Apache-2.0
#include "clr/train/model_source.h"

#include <cstdint>
#include <fstream>

#include "clr/train/training_state.h"
#include "support/catch.h"
#include "support/temporary_folder.h"

namespace clr {
namespace {

std::string safetensors_with_header(std::uint64_t length) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(length >> (8 * i) & 0xff);
  std::string header = R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  header.resize(length, ' ');
  return file + header + std::string(4, '\0');
}

}  // namespace

CATCH_TEST_CASE("a .safetensors file is told from a pickle, whatever its length", "[train]") {
  const TemporaryFolder folder;
  const auto error_of = [&folder](const std::string& content) {
    const auto path = folder.path() / "file.safetensors";
    std::ofstream(path, std::ios::binary) << content;
    try {
      read_weights(path);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  // Lengths whose bytes are those that archives (PK) and pickles (0x80, version) begin with.
  for (const std::uint64_t length : {384, 640, 1408, 19280}) {
    const std::string message = error_of(safetensors_with_header(length));
    CATCH_CHECK_THAT(message, !Catch::Contains("pickle") && Catch::Contains("x"));
  }
  CATCH_CHECK_THAT(error_of("PK\x03\x04 and the rest of it"), Catch::Contains("got a pickle"));
  CATCH_CHECK_THAT(error_of("\x80\x02 and the rest of it"), Catch::Contains("got a pickle"));
}

CATCH_TEST_CASE("whole numbers are no weights", "[train]") {
  torch::nn::Linear network(2, 1);
  SafeTensors content;
  content.tensors = {{"weight", torch::ones({1, 2}, torch::kInt8)}, {"bias", torch::ones({1})}};
  CATCH_CHECK_THROWS_WITH(load_tensors(*network, content, "", "q.safetensors"),
                          Catch::Contains("a quantised file is not read"));
}

}  // namespace clr
