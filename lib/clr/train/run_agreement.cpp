// SPDX-License-Identifier: Apache-2.0
#include "clr/train/run_agreement.h"

#include <fmt/format.h>

#include <vector>

#include "clr/config/json.h"
#include "clr/core/error.h"
#include "clr/train/config_difference.h"
#include "clr/train/model_source.h"

namespace clr {

void require_agreement(World& world, Json config, const std::string& data_fingerprint,
                       const torch::nn::Module& model) {
  if (world.is_alone()) return;
  config["train"].erase("compute_threads");
  const std::vector<std::string> texts = world.gather_text(Json{
      {"config", config},
      {"data", data_fingerprint},
      {"weights", tensors_sha256(model)}}.dump());
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
                      "({}); all processes have to be given the same set",
                      rank, first["data"].get<std::string>(), other["data"].get<std::string>()));
    }
    if (other["weights"] != first["weights"]) {
      throw Error(
          ErrorKind::checkpoint,
          fmt::format("rank {}: expected the weights of rank 0, got others; all processes have "
                      "to be given the same file",
                      rank));
    }
  }
}

}  // namespace clr
