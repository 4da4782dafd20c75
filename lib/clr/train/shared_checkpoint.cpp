// SPDX-License-Identifier: Apache-2.0
#include "clr/train/shared_checkpoint.h"

#include <ATen/ops/empty.h>

#include <string>
#include <utility>

#include "clr/config/json.h"

namespace clr {
namespace {

Json description(const SafeTensors& content) {
  Json tensors = Json::array();
  for (const auto& [name, tensor] : content.tensors) {
    tensors.push_back({name, static_cast<int>(tensor.scalar_type()), tensor.sizes().vec()});
  }
  return {{"tensors", std::move(tensors)}, {"metadata", content.metadata}};
}

SafeTensors share(World& world, SafeTensors content) {
  const Json header = Json::parse(world.broadcast(description(content).dump()));
  if (!world.leads()) {
    content.metadata = header.at("metadata").get<std::map<std::string, std::string>>();
    for (const Json& entry : header.at("tensors")) {
      content.tensors.emplace_back(
          entry.at(0).get<std::string>(),
          at::empty(entry.at(2).get<std::vector<std::int64_t>>(),
                    torch::dtype(static_cast<torch::ScalarType>(entry.at(1).get<int>()))));
    }
  }
  for (const auto& [name, tensor] : content.tensors) world.broadcast(tensor);
  return content;
}

}  // namespace

std::optional<Checkpoint> share_checkpoint(World& world, std::optional<Checkpoint> content) {
  if (world.is_alone()) return content;
  const Json there = Json::parse(world.broadcast(Json{
      {"there", content.has_value()},
      {"metrics_bytes",
       content ? content->metrics_bytes : 0}}.dump()));
  if (!there.at("there").get<bool>()) return std::nullopt;
  if (!content) content.emplace();
  content->metrics_bytes = there.at("metrics_bytes").get<std::int64_t>();
  content->model = share(world, std::move(content->model));
  content->state = share(world, std::move(content->state));
  return content;
}

}  // namespace clr
