// SPDX-License-Identifier: Apache-2.0
// Sinkhorn-Knopp and SwAV's loss written down in float64, without any tensor library.
#pragma once

#include <cstddef>
#include <vector>

namespace clr::test {

using Matrix = std::vector<std::vector<double>>;

/// Codes [N][K] of scores [N][K], as the paper's text has it: exp(scores / epsilon), a matrix of sum
/// 1, whose prototypes are scaled to 1 / K each and then its samples to 1 / N each, `iterations`
/// times; at last times N. scores / epsilon within 600.
Matrix sinkhorn_reference(const Matrix& scores, double epsilon, int iterations);

struct SwavProblem {
  std::vector<Matrix> views;  ///< [V][N][D], of unit length
  Matrix prototypes;          ///< [K][D]
  std::vector<Matrix> queue;  ///< [assigned][L][D], or empty
  std::size_t assigned = 2;   ///< the first views give codes
  double temperature = 0.1;
  double epsilon = 0.05;
  int iterations = 3;
};

/// Mean over assigned views v, other views w and samples n of -sum_k q_v[n][k] log p_w[n][k].
double swav_reference(const SwavProblem& problem);

}  // namespace clr::test
