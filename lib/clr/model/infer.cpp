// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include <array>
#include <map>

#include "clr/model/encoder.h"

namespace clr {
namespace {

using Shapes = std::map<std::string, std::vector<std::int64_t>>;

struct Depth {
  const char* type;
  std::array<std::int64_t, 4> blocks;
  bool bottleneck;
};

constexpr std::array kDepths{
    Depth{"resnet18", {2, 2, 2, 2}, false},  Depth{"resnet34", {3, 4, 6, 3}, false},
    Depth{"resnet50", {3, 4, 6, 3}, true},   Depth{"resnet101", {3, 4, 23, 3}, true},
    Depth{"resnet152", {3, 8, 36, 3}, true},
};

constexpr const char* kHint =
    "; only ResNets under torchvision's names are known, for any other file its configuration is "
    "needed";

[[noreturn]] void fail(const std::string& where, const std::string& message) {
  throw Error(ErrorKind::checkpoint, where + ": " + message + kHint);
}

std::string text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

/// The shape of a convolution's weight.
const std::vector<std::int64_t>& convolution(const Shapes& shapes, const std::string& name,
                                             const std::string& where) {
  const auto found = shapes.find(name);
  if (found == shapes.end()) fail(where, "expected a tensor " + name + ", got none");
  if (found->second.size() != 4) {
    fail(where, fmt::format("expected {} with 4 dimensions, got {}", name, text(found->second)));
  }
  return found->second;
}

std::int64_t count_blocks(const Shapes& shapes, std::size_t stage) {
  std::int64_t count = 0;
  while (shapes.contains(fmt::format("layer{}.{}.conv1.weight", stage, count))) ++count;
  return count;
}

}  // namespace

Component<Encoder> infer_encoder(
    const std::vector<std::pair<std::string, std::vector<std::int64_t>>>& names_and_shapes,
    const std::string& where) {
  constexpr std::string_view kPrefix = "encoder.";
  Shapes shapes;
  for (const auto& [name, shape] : names_and_shapes) {
    shapes[name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name] = shape;
  }

  const auto& first = convolution(shapes, "conv1.weight", where);
  const std::int64_t channels = first[0];
  const std::int64_t kernel = first[2];
  const bool known_kernel = kernel == first[3] && (kernel == 7 || kernel == 3);
  if (first[1] != 3 || !known_kernel || channels < 4 || channels > 512) {
    fail(where,
         "expected conv1.weight [4 to 512, 3, 7, 7] or [4 to 512, 3, 3, 3], got " + text(first));
  }

  std::array<std::int64_t, 4> blocks{};
  for (std::size_t s = 0; s < blocks.size(); ++s) {
    blocks[s] = count_blocks(shapes, s + 1);
    if (blocks[s] == 0) {
      fail(where, fmt::format("expected a tensor layer{}.0.conv1.weight, got none", s + 1));
    }
    // Wide and grouped residual networks have the same names with other inner widths.
    const std::string name = fmt::format("layer{}.0.conv1.weight", s + 1);
    const auto& inner = convolution(shapes, name, where);
    if (inner[0] != channels << s) {
      fail(where, fmt::format("expected {} with {} output channels, got {}", name, channels << s,
                              text(inner)));
    }
  }
  const bool bottleneck = shapes.contains("layer1.0.conv3.weight");

  for (const Depth& depth : kDepths) {
    if (depth.blocks != blocks || depth.bottleneck != bottleneck) continue;
    Component<Encoder> component;
    component.read({{"type", depth.type},
                    {"stem", kernel == 7 ? "imagenet" : "cifar"},
                    {"width", static_cast<double>(channels) / 64.0}},
                   Place(where));
    return component;
  }
  fail(where,
       fmt::format("expected the blocks of a ResNet-18, 34, 50, 101 or 152, got {} {} blocks",
                   fmt::join(blocks, ", "), bottleneck ? "bottleneck" : "basic"));
}

}  // namespace clr
