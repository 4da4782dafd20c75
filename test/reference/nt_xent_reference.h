// SPDX-License-Identifier: Apache-2.0
// NT-Xent and its gradient written down in float64, without any tensor library.
#pragma once

#include <cstddef>
#include <vector>

namespace clr::test {

struct NtXentReference {
  double loss = 0.0;
  std::vector<double> gradient;  ///< [2N, D], of the loss by the rows as given
};

/// rows [2N, D]: N rows of view 0, then the N rows of view 1, not normalised.
///
/// In the form loss_i = log1p(Rneg_i / Epos_i) with q_i = Rneg_i / R_i, which cancels nothing, so
/// that losses of 1e-13 have all their digits. temperature at least 0.005.
NtXentReference nt_xent_reference(const std::vector<double>& rows, std::size_t n, std::size_t d,
                                  double temperature);

}  // namespace clr::test
