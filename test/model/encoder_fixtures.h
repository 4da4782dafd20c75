// SPDX-License-Identifier: Apache-2.0
#pragma once

// What tests of encoders share: how to make one, what is in it, numbers that another program draws too.
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "clr/model/encoder.h"

namespace clr::test {

using torch::Tensor;
using NamesAndShapes = std::vector<std::pair<std::string, std::vector<std::int64_t>>>;

inline Component<Encoder> describe(const std::string& type, const Json& options = Json::object()) {
  Json json = {{"type", type}};
  json.update(options);
  Component<Encoder> component;
  component.read(json, Place("test"));
  return component;
}

inline std::shared_ptr<Encoder> make(const std::string& type,
                                     const Json& options = Json::object()) {
  return encoders().make(describe(type, options));
}

/// Parameters and buffers in the order of PyTorch's state_dict: module by module.
inline void collect(const torch::nn::Module& module, const std::string& prefix,
                    std::vector<std::pair<std::string, Tensor>>& out) {
  for (const auto& item : module.named_parameters(false)) {
    if (item.value().defined()) out.emplace_back(prefix + item.key(), item.value());
  }
  for (const auto& item : module.named_buffers(false))
    out.emplace_back(prefix + item.key(), item.value());
  for (const auto& item : module.named_children())
    collect(*item.value(), prefix + item.key() + ".", out);
}

inline std::vector<std::pair<std::string, Tensor>> state_of(const torch::nn::Module& module) {
  std::vector<std::pair<std::string, Tensor>> state;
  collect(module, "", state);
  return state;
}

inline NamesAndShapes shapes_of(const torch::nn::Module& module) {
  NamesAndShapes shapes;
  for (const auto& [name, tensor] : state_of(module))
    shapes.emplace_back(name, tensor.sizes().vec());
  return shapes;
}

inline std::uint64_t fnv1a(const std::string& text) {
  std::uint64_t value = 0xCBF29CE484222325ULL;
  for (const unsigned char byte : text) value = (value ^ byte) * 0x100000001B3ULL;
  return value;
}

inline std::string listing(const torch::nn::Module& module) {
  std::string text;
  for (const auto& [name, shape] : shapes_of(module)) {
    text += name + " [";
    for (std::size_t k = 0; k < shape.size(); ++k)
      text += (k ? ", " : "") + std::to_string(shape[k]);
    text += "]\n";
  }
  return text;
}

/// The numbers of make_resnet_golden.py.
inline Tensor uniform(const std::string& name, at::IntArrayRef shape) {
  Tensor values = torch::empty(shape, torch::kFloat64);
  auto* out = values.data_ptr<double>();
  const auto seed = static_cast<std::uint32_t>(fnv1a(name));
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    std::uint32_t x = (static_cast<std::uint32_t>(i) + seed) * 2654435761U;
    x ^= x >> 15U;
    x *= 2246822519U;
    x ^= x >> 13U;
    out[i] = static_cast<double>(x) / 2147483648.0 - 1;
  }
  return values;
}

/// Fills a transformer's tensors as fill() of make_vit_golden.py does.
inline void fill(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (auto& [name, tensor] : state_of(module)) {
    const Tensor u = uniform(name, tensor.sizes());
    if (name.ends_with("weight") && tensor.dim() > 1) {
      tensor.copy_(u * std::sqrt(3.0 / static_cast<double>(tensor[0].numel())));
    } else if (name.ends_with("weight")) {
      tensor.copy_(1 + 0.5 * u);
    } else {
      tensor.copy_(0.2 * u);
    }
  }
}

}  // namespace clr::test
