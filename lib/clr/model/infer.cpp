// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "clr/model/encoder.h"

namespace clr {
namespace {

using Shapes = std::map<std::string, std::vector<std::int64_t>>;

struct Depth {
  const char* type;
  std::array<std::int64_t, 4> blocks;
  bool bottleneck;
  std::int64_t inner = 1;   ///< channels of layer1.0.conv1, in those of conv1
  std::int64_t groups = 1;  ///< of a bottleneck's second convolution
};

constexpr std::array kDepths{
    Depth{"resnet18", {2, 2, 2, 2}, false},
    Depth{"resnet34", {3, 4, 6, 3}, false},
    Depth{"resnet50", {3, 4, 6, 3}, true},
    Depth{"resnet101", {3, 4, 23, 3}, true},
    Depth{"resnet152", {3, 8, 36, 3}, true},
    Depth{"resnext50_32x4d", {3, 4, 6, 3}, true, 2, 32},
    Depth{"wide_resnet50_2", {3, 4, 6, 3}, true, 2, 1},
};

struct Width {
  const char* type;
  std::int64_t features;
};

constexpr std::array kWidths{Width{"vit_tiny", 192}, Width{"vit_small", 384},
                             Width{"vit_base", 768}};

constexpr const char* kHint =
    "; only ResNets under torchvision's names, vision transformers under timm's and BERT under "
    "Hugging Face's are known, for any other file its configuration is needed";

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

/// A vision transformer by timm's names.
Component<Encoder> infer_transformer(const Shapes& shapes, const std::string& where) {
  const auto& patches = convolution(shapes, "patch_embed.proj.weight", where);
  const std::int64_t patch = patches[2];
  const auto found = shapes.find("pos_embed");
  if (found == shapes.end() || found->second.size() != 3) {
    fail(where, "expected pos_embed with 3 dimensions, got " +
                    (found == shapes.end() ? "none" : text(found->second)));
  }
  const auto side =
      static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(found->second[1] - 1))));
  if (patches[1] != 3 || patch != patches[3] || side * side + 1 != found->second[1]) {
    fail(where, fmt::format("expected square patches of 3 channels and a class token, got "
                            "patch_embed.proj.weight {} and pos_embed {}",
                            text(patches), text(found->second)));
  }
  std::int64_t blocks = 0;
  while (shapes.contains(fmt::format("blocks.{}.attn.qkv.weight", blocks))) ++blocks;
  for (const Width& width : kWidths) {
    if (width.features != patches[0] || blocks != 12) continue;
    Component<Encoder> component;
    component.read({{"type", width.type}, {"patch", patch}, {"image_size", side * patch}},
                   Place(where));
    return component;
  }
  fail(where, fmt::format("expected 12 blocks of 192, 384 or 768 features, got {} of {}", blocks,
                          patches[0]));
}

/// BERT by Hugging Face's names. Heads leave no trace: of 64 values, of 32 where the width is MiniLM's.
Component<Encoder> infer_bert(const Shapes& shapes, const std::string& where) {
  const auto matrix = [&](const std::string& name) {
    const auto found = shapes.find(name);
    if (found == shapes.end()) fail(where, "expected a tensor " + name + ", got none");
    if (found->second.size() != 2) {
      fail(where, fmt::format("expected {} with 2 dimensions, got {}", name, text(found->second)));
    }
    return found->second;
  };
  const auto words = matrix("embeddings.word_embeddings.weight");
  const std::int64_t width = words[1];
  std::int64_t layers = 0;
  while (shapes.contains(fmt::format("encoder.layer.{}.intermediate.dense.weight", layers)))
    ++layers;
  Component<Encoder> component;
  component.read({{"type", "bert"},
                  {"vocabulary", words[0]},
                  {"layers", layers},
                  {"width", width},
                  {"heads", std::max<std::int64_t>(1, width / (width == 384 ? 32 : 64))},
                  {"intermediate", matrix("encoder.layer.0.intermediate.dense.weight")[0]},
                  {"positions", matrix("embeddings.position_embeddings.weight")[0]}},
                 Place(where));
  return component;
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
  for (const auto& [name, shape] : names_and_shapes) shapes[name] = shape;
  // BERT's own layers have names that begin so.
  if (!shapes.contains("embeddings.word_embeddings.weight")) {
    shapes.clear();
    for (const auto& [name, shape] : names_and_shapes)
      shapes[name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name] = shape;
  }

  if (shapes.contains("patch_embed.proj.weight")) return infer_transformer(shapes, where);
  if (shapes.contains("embeddings.word_embeddings.weight")) return infer_bert(shapes, where);
  const auto& first = convolution(shapes, "conv1.weight", where);
  const std::int64_t channels = first[0];
  const std::int64_t kernel = first[2];
  const bool known_kernel = kernel == first[3] && (kernel == 7 || kernel == 3);
  if (first[1] != 3 || !known_kernel || channels < 4 || channels > 512) {
    fail(where,
         "expected conv1.weight [4 to 512, 3, 7, 7] or [4 to 512, 3, 3, 3], got " + text(first));
  }

  std::array<std::int64_t, 4> blocks{};
  std::int64_t inner = 1;
  for (std::size_t s = 0; s < blocks.size(); ++s) {
    blocks[s] = count_blocks(shapes, s + 1);
    if (blocks[s] == 0) {
      fail(where, fmt::format("expected a tensor layer{}.0.conv1.weight, got none", s + 1));
    }
    // Wide and grouped residual networks have the same names with other inner widths.
    const std::string name = fmt::format("layer{}.0.conv1.weight", s + 1);
    const auto& shape = convolution(shapes, name, where);
    if (s == 0 && shape[0] == 2 * channels) inner = 2;
    if (shape[0] != (channels << s) * inner) {
      fail(where, fmt::format("expected {} with {} output channels, got {}", name,
                              (channels << s) * inner, text(shape)));
    }
  }
  const bool bottleneck = shapes.contains("layer1.0.conv3.weight");
  const auto& second = convolution(shapes, "layer1.0.conv2.weight", where);
  const std::int64_t groups =
      std::max<std::int64_t>(1, channels * inner / std::max<std::int64_t>(1, second[1]));

  for (const Depth& depth : kDepths) {
    if (depth.blocks != blocks || depth.bottleneck != bottleneck || depth.inner != inner ||
        depth.groups != groups)
      continue;
    Component<Encoder> component;
    component.read({{"type", depth.type},
                    {"stem", kernel == 7 ? "imagenet" : "cifar"},
                    {"width", static_cast<double>(channels) / 64.0}},
                   Place(where));
    return component;
  }
  fail(where, fmt::format(
                  "expected the blocks of a ResNet-18, 34, 50, 101 or 152, a ResNeXt-50 32x4d or a "
                  "wide ResNet-50-2, got {} {} blocks of {} groups",
                  fmt::join(blocks, ", "), bottleneck ? "bottleneck" : "basic", groups));
}

}  // namespace clr
