// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "loss_measure.h"

namespace clr {

/// NT-Xent as Python programs compute it: test/peers/bench_loss.py in the peers' Python.
class LossPeers {
 public:
  /// Finds both: the script in the source tree that holds this program or the working folder,
  /// Python as test/peers/find_python.sh does.
  /// Throws:  Error{usage} where one of them is missing.
  LossPeers();

  /// Runs all of them on x [2N, D], whose exact gradient is float64; what does not work is logged
  /// and left out.
  std::vector<LossRow> measure(const torch::Tensor& x, const torch::Tensor& exact,
                               double temperature, std::int64_t repeats) const;

 private:
  std::filesystem::path script_;
  std::string python_;
};

}  // namespace clr
