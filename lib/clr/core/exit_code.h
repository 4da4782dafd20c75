// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <string>

namespace clr {

/// What the program says and returns when an exception reaches main.
struct ExitReport {
  int code = 0;
  std::string message;  ///< one line, without `clr: error: `
};

/// Error -> its kind; memory that ran out -> 6; anything else -> 70, a bug, with what to report.
ExitReport report_exception(const std::exception_ptr& exception);

}  // namespace clr
