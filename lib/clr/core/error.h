// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

namespace clr {

/// What went wrong, by who can mend it. The value is the program's exit code.
enum class ErrorKind : int {
  usage = 2,       ///< the command line
  config = 3,      ///< a configuration file, a preset or `--set`
  data = 4,        ///< images, labels, splits
  checkpoint = 5,  ///< a checkpoint that is missing, damaged or of another architecture
  device = 6,      ///< a device that is not there or lacks memory
  diverged = 7,    ///< a loss that is not finite
  output = 8,      ///< a result that cannot be written
  stopped = 75,    ///< stopped by a signal after saving
};

/// The one exception of `clr`: thrown where the fault is known, caught once, in main.
///
/// Message: one line, `where: expected X, got Y; hint`. `where` is a path, `file: /json/pointer` or
/// an option's name.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}

  ErrorKind kind() const noexcept { return kind_; }
  int exit_code() const noexcept { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

}  // namespace clr
