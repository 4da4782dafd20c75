// SPDX-License-Identifier: Apache-2.0
// The parts of `clr data`, each in a file of its own.
#pragma once

#include "command.h"

namespace clr {

/// Threads for work that does nothing but read or draw: as many as given, or, for 0, a core each.
int all_cores_unless(int given);

void add_data_shapes_command(CLI::App& data, Action& action);
void add_data_sentences_command(CLI::App& data, Action& action);
void add_data_views_command(CLI::App& data, Action& action);
void add_data_pack_command(CLI::App& data, Action& action);
void add_data_audit_command(CLI::App& data, Action& action);
void add_data_vocab_command(CLI::App& data, Action& action);
void add_data_check_command(CLI::App& data, Action& action);

}  // namespace clr
