// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "clr/config/json.h"
#include "clr/dist/world.h"

namespace clr {

/// The options of commands that several processes may run together.
struct ProcessOptions {
  int join_timeout = 60;
  int stall_timeout = 600;

  void add_to(CLI::App& command);
};

/// The processes that a launcher has started with this one; alone without a launcher. Of several,
/// all but rank 0 write errors only, and these have their rank in front. `alike` says what they were told,
/// by option, as far as it decides what they exchange.
/// Throws:  as World::join(); Error{usage} where `alike` is not the same for all.
std::shared_ptr<World> join_processes(const ProcessOptions& options, const std::string& command,
                                      Json alike = Json::object());

/// For commands that one process runs.
/// Throws:  Error{usage} where a launcher has started several.
void require_one_process(const std::string& command);

/// The last things before the program ends. A process that ends with an error tells the others and
/// the launcher, and one that ends because of another gives the launcher time to see who was first.
void leave_processes();
void end_processes(int code, const std::string& message);

/// Returns `code` to return from main. Of several processes one ends here: what has been begun with
/// others may never come, and its objects would wait for it.
int leave_program(int code);

/// "rank 2: " where there are several, for an error's line.
std::string rank_prefix();

}  // namespace clr
