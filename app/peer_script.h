// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "clr/config/json.h"

namespace clr {

/// A program of test/peers/ in the peers' Python: the other side of a comparison.
class PeerScript {
 public:
  /// Finds both: the script in the source tree that holds this program or the working folder,
  /// Python as test/peers/find_python.sh does.
  /// Throws:  Error{usage} where one of them is missing.
  explicit PeerScript(const std::string& name);

  /// Runs it with `arguments`, words quoted for the shell, and reads the JSON that it prints.
  /// Throws:  Error{usage} with its last line when it fails.
  Json run(const std::string& arguments) const;

 private:
  std::filesystem::path script_;
  std::string python_;
};

}  // namespace clr
