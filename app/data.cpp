// SPDX-License-Identifier: Apache-2.0
#include "data.h"

#include <algorithm>
#include <thread>

namespace clr {

int all_cores_unless(int given) {
  if (given > 0) return given;
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

void add_data_command(CLI::App& program, Action& action) {
  CLI::App* data = program.add_subcommand(
      "data", "make, look at, check, audit and pack data; learn vocabularies of texts");
  data->require_subcommand(1);
  add_data_shapes_command(*data, action);
  add_data_sentences_command(*data, action);
  add_data_views_command(*data, action);
  add_data_check_command(*data, action);
  add_data_audit_command(*data, action);
  add_data_pack_command(*data, action);
  add_data_vocab_command(*data, action);
}

}  // namespace clr
