// SPDX-License-Identifier: Apache-2.0
#include "clr/train/run_agreement.h"

#include <fmt/format.h>

#include <vector>

#include "clr/config/json.h"
#include "clr/core/error.h"
#include "clr/train/config_difference.h"
#include "clr/train/model_source.h"

namespace clr {

void require_agreement(World& world, const std::string& config_json,
                       const std::string& data_fingerprint, const Method& method) {
  if (world.is_alone()) return;
  Json config = Json::parse(config_json);
  config["train"].erase("compute_threads");
  const std::vector<std::string> texts = world.gather_text(Json{
      {"config", config},
      {"data", data_fingerprint},
      {"weights", tensors_sha256(method)}}.dump());
  const Json first = Json::parse(texts.front());
  for (std::size_t rank = 1; rank < texts.size(); ++rank) {
    const Json other = Json::parse(texts[rank]);
    const auto differing =
        differing_pointers({&first["config"], &other["config"]}, AbsentKey::differs);
    if (!differing.empty()) {
      throw Error(
          ErrorKind::config,
          fmt::format("rank {}: {}: expected {} as rank 0 has, got {}; start all processes "
                      "with one command line",
                      rank, differing.front(), show(value_at(first["config"], differing.front())),
                      show(value_at(other["config"], differing.front()))));
    }
    if (other["data"] != first["data"]) {
      throw Error(
          ErrorKind::data,
          fmt::format("rank {}: expected the images of rank 0 (fingerprint {}), got others "
                      "({}); --data has to name the same set everywhere",
                      rank, first["data"].get<std::string>(), other["data"].get<std::string>()));
    }
    if (other["weights"] != first["weights"]) {
      throw Error(
          ErrorKind::checkpoint,
          fmt::format("rank {}: expected the first weights of rank 0, got others; --init has "
                      "to name the same file everywhere",
                      rank));
    }
  }
}

}  // namespace clr
