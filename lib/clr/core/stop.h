// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace clr {

/// From now on SIGINT and SIGTERM ask for a stop instead of ending the program; a second one ends
/// it at once.
void catch_stop_signals();

/// Whether a stop was asked for. Long work looks here between its steps.
bool stop_requested() noexcept;

}  // namespace clr
