// SPDX-License-Identifier: Apache-2.0
#include "clr/train/training_state.h"

#include <ATen/Context.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace clr {
namespace {

bool exported(const std::string& name) {
  return name.starts_with("encoder.") || name.starts_with("projector.");
}

NamedTensors module_tensors(const torch::nn::Module& module) {
  NamedTensors tensors;
  for (const auto& item : module.named_parameters()) tensors.emplace_back(item.key(), item.value());
  for (const auto& item : module.named_buffers()) tensors.emplace_back(item.key(), item.value());
  return tensors;
}

torch::Tensor to_file(const torch::Tensor& tensor) {
  return tensor.detach().cpu().contiguous().clone();
}

std::string shape_text(torch::IntArrayRef shape) {
  return fmt::format("[{}]", fmt::join(shape.vec(), ", "));
}

void copy_into(torch::Tensor target, const torch::Tensor& source, const std::string& name,
               const std::string& where) {
  if (target.sizes() != source.sizes()) {
    throw Error(
        ErrorKind::checkpoint,
        fmt::format("{}: expected {} of shape {}, got {}; the file is of another architecture",
                    where, name, shape_text(target.sizes()), shape_text(source.sizes())));
  }
  if (target.is_floating_point() != source.is_floating_point()) {
    throw Error(
        ErrorKind::checkpoint,
        fmt::format("{}: expected {} of {}, got {}; a quantised file is not read", where, name,
                    torch::toString(target.scalar_type()), torch::toString(source.scalar_type())));
  }
  torch::NoGradGuard no_grad;
  target.copy_(source);
}

}  // namespace

void load_tensors(torch::nn::Module& module, const SafeTensors& content, const std::string& prefix,
                  const std::string& where) {
  std::set<std::string> used;
  for (auto& [name, target] : module_tensors(module)) {
    const torch::Tensor source = content.find(prefix + name);
    if (!source.defined()) {
      throw Error(
          ErrorKind::checkpoint,
          fmt::format("{}: expected a tensor {}{}, got none; the file is of another architecture",
                      where, prefix, name));
    }
    copy_into(target, source, prefix + name, where);
    used.insert(prefix + name);
  }
  for (const auto& [name, tensor] : content.tensors) {
    if (name.starts_with(prefix) && !used.contains(name)) {
      throw Error(
          ErrorKind::checkpoint,
          fmt::format(
              "{}: expected no tensor {}, got one of shape {}; the file is of another architecture",
              where, name, shape_text(tensor.sizes())));
    }
  }
}

bool has_prefix(const SafeTensors& content, const std::string& prefix) {
  return std::any_of(content.tensors.begin(), content.tensors.end(),
                     [&prefix](const auto& item) { return item.first.starts_with(prefix); });
}

Checkpoint make_checkpoint(const Method& method, const Optimizer& optimizer,
                           const TrainingState& state,
                           const std::map<std::string, std::string>& metadata) {
  Checkpoint content;
  for (const auto& [name, tensor] : module_tensors(method)) {
    if (exported(name)) {
      content.model.tensors.emplace_back(name, to_file(tensor));
    } else {
      content.state.tensors.emplace_back("method." + name, to_file(tensor));
    }
  }
  for (const auto& [name, tensor] : optimizer.state()) {
    content.state.tensors.emplace_back("optimizer." + name, to_file(tensor));
  }
  for (const auto& [name, tensor] : state.epoch_sums) {
    content.state.tensors.emplace_back("sums." + name, to_file(tensor));
  }
  content.state.tensors.emplace_back("rng.cpu",
                                     at::globalContext().defaultGenerator(at::kCPU).get_state());

  Json bad = Json::array();
  for (const auto& [index, image] : state.bad) {
    bad.push_back({{"index", index}, {"name", image.name}, {"reason", image.reason}});
  }
  const Json trainer = {{"step", state.step},
                        {"epoch", state.epoch},
                        {"step_in_epoch", state.step_in_epoch},
                        {"last_epoch_loss", state.last_epoch_loss},
                        {"bad", std::move(bad)}};
  content.model.metadata = {{"format", "pt"}};
  for (const auto& [key, value] : metadata) {
    if (!value.empty()) content.model.metadata.emplace(key, value);
  }
  content.state.metadata = {{"clr.trainer", dump_text(trainer)}};
  content.metrics_bytes = state.metrics_bytes;
  return content;
}

TrainingState restore_checkpoint(const Checkpoint& content, const std::string& where,
                                 Method& method, Optimizer& optimizer) {
  for (auto& [name, target] : module_tensors(method)) {
    const torch::Tensor source =
        exported(name) ? content.model.find(name) : content.state.find("method." + name);
    if (!source.defined()) {
      throw Error(
          ErrorKind::checkpoint,
          fmt::format("{}: expected a tensor {}, got none; the run is of another architecture",
                      where, name));
    }
    copy_into(target, source, name, where);
  }
  TrainingState state;
  state.metrics_bytes = content.metrics_bytes;
  NamedTensors optimizer_state;
  for (const auto& [name, tensor] : content.state.tensors) {
    if (name.starts_with("optimizer.")) optimizer_state.emplace_back(name.substr(10), tensor);
    if (name.starts_with("sums.")) state.epoch_sums[name.substr(5)] = tensor;
  }
  optimizer.load_state(optimizer_state);
  const torch::Tensor rng = content.state.find("rng.cpu");
  const auto trainer_text = content.state.metadata.find("clr.trainer");
  if (!rng.defined() || trainer_text == content.state.metadata.end()) {
    throw Error(ErrorKind::checkpoint, where + ": expected a training state, got none");
  }
  auto generator = at::globalContext().defaultGenerator(at::kCPU);
  generator.set_state(rng);
  try {
    const Json trainer = parse_json(trainer_text->second, where);
    state.step = trainer.at("step").get<std::int64_t>();
    state.epoch = trainer.at("epoch").get<std::int64_t>();
    state.step_in_epoch = trainer.at("step_in_epoch").get<std::int64_t>();
    state.last_epoch_loss = trainer.at("last_epoch_loss").get<double>();
    for (const Json& item : trainer.at("bad")) {
      const auto index = item.at("index").get<std::int64_t>();
      state.bad[index] = {index, item.at("name").get<std::string>(),
                          item.at("reason").get<std::string>()};
    }
  } catch (const std::exception& error) {
    throw Error(ErrorKind::checkpoint, where + ": its training state is damaged: " + error.what());
  }
  return state;
}

}  // namespace clr
