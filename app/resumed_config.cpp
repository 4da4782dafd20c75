// SPDX-License-Identifier: Apache-2.0
#include "resumed_config.h"

#include <cstdint>

#include "clr/io/file.h"
#include "clr/train/run_folder.h"
#include "clr/train/run_setup.h"

namespace fs = std::filesystem;

namespace clr {

bool follow_resumed_config(World& world, bool resume, const fs::path& out, Json own,
                           ConfigDocument& document, const std::string& source) {
  const fs::path path = out / "config.json";
  const std::string text = world.broadcast(
      resume && world.leads() && holds_run(out) ? read_file(path, ErrorKind::checkpoint) : "");
  if (text.empty()) return false;
  const Json stored = parse_json(text, path.string());
  // A seed that nobody names now is the one that the run was started with.
  const auto train = document.value.find("train");
  if (train == document.value.end() || !train->contains("seed"))
    own["train"]["seed"] = stored.value(Json::json_pointer("/train/seed"), std::int64_t{0});
  const Json::json_pointer threads("/train/compute_threads");
  const bool open = own.value(threads, std::int64_t{0}) == 0;
  check_resumed_config(stored, own, document.place());
  // More processes on this machine than the run had then: its number of threads was not meant for so many.
  if (open && own.value(threads, std::int64_t{0}) > default_compute_threads(world.local_size()) &&
      !world.is_alone())
    own[threads] = 0;
  document.merge(own, source);
  return true;
}

}  // namespace clr
