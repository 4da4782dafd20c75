// SPDX-License-Identifier: Apache-2.0
// Training steps of moco and moco_v3 as PyTorch took them: test/golden/moco/README.md.
#include <torch/types.h>

#include "clr/io/file.h"
#include "method/golden_steps.h"
#include "support/catch.h"

namespace clr {
namespace {

const std::string kFolder = std::string(CLR_TEST_DATA_DIR) + "/moco/";

}  // namespace

CATCH_TEST_CASE("steps of moco and moco_v3 are PyTorch's", "[method]") {
  // Mistakes, each seen in a later loss: an average of the wrong weights or at the wrong time; the
  // ramp a step off; joint statistics; a queue out of order, or one that stands still; weight decay
  // of the target; a factor of the loss. In float64, where rounding hides nothing.
  const std::string path = kFolder + "steps.json";
  const Json expected = parse_json(read_file(path, ErrorKind::data), path);
  Json moco = {{"type", "moco"}, {"temperature", 0.1}, {"queue_size", 20}, {"momentum", 0.8}};
  const Json moco_v3 = {{"type", "moco_v3"},
                        {"temperature", 0.2},
                        {"momentum", 0.8},
                        {"predictor", {{"hidden", 48}, {"batch_norm", "hidden"}}}};
  test::GoldenSteps golden;
  golden.own = [](const std::string& name) {
    return name == "queue" ? read_npy(kFolder + "queue.npy") : torch::Tensor();
  };
  test::check_golden_losses(expected, "moco", moco, golden);
  moco["symmetric"] = true;
  test::check_golden_losses(expected, "moco_symmetric", moco, golden);
  test::check_golden_losses(expected, "moco_v3", moco_v3, golden);
}

}  // namespace clr
