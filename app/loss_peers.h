// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "loss_measure.h"
#include "peer_script.h"

namespace clr {

/// NT-Xent as Python programs compute it: test/peers/bench_loss.py in the peers' Python.
class LossPeers {
 public:
  /// Throws:  Error{usage} where the script or its Python is missing.
  LossPeers() : script_("bench_loss.py") {}

  /// Runs all of them on x [2N, D], whose exact gradient is float64; what does not work is logged
  /// and left out.
  std::vector<LossRow> measure(const torch::Tensor& x, const torch::Tensor& exact,
                               double temperature, std::int64_t repeats) const;

 private:
  PeerScript script_;
};

}  // namespace clr
