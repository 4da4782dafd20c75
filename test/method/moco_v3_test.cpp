// SPDX-License-Identifier: Apache-2.0
// MoCo v3's loss; its target is tested in momentum_encoder_test.cpp. Values: test/golden/moco/README.md.
#include <torch/types.h>

#include "clr/io/file.h"
#include "clr/io/npy.h"
#include "method/method_fixtures.h"
#include "support/catch.h"

namespace clr {
namespace {

using test::make_described;
using test::tiny_context;
using torch::Tensor;

std::string golden_path(const std::string& name) {
  return std::string(CLR_TEST_DATA_DIR) + "/moco/" + name;
}

}  // namespace

CATCH_TEST_CASE("moco_v3's loss is the paper's", "[method]") {
  // Mistakes: keys of the query's own view; the mean for the sum; 2 * temperature left out.
  const Json json = {{"type", "moco_v3"}, {"temperature", 0.2}};
  const auto method = make_described(json, tiny_context());
  const Tensor queries = read_npy(golden_path("queries.npy")).requires_grad_();
  const Tensor keys = read_npy(golden_path("keys.npy")).requires_grad_();
  const StepOutput output = method->loss({{queries, keys}}, {}, {});
  const Json expected =
      parse_json(read_file(golden_path("expected.json"), ErrorKind::data), "expected.json");
  CATCH_CHECK(output.loss.item<double>() ==
              Approx(expected.at("moco_v3").get<double>()).epsilon(1e-5));
  output.loss.backward();
  CATCH_CHECK(queries.grad().defined());
  CATCH_CHECK_FALSE(keys.grad().defined());
}

}  // namespace clr
