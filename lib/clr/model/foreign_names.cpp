// SPDX-License-Identifier: Apache-2.0
// Sources of the names: facebookresearch/moco moco/builder.py, facebookresearch/moco-v3
// moco/builder.py, facebookresearch/simsiam simsiam/builder.py, vturrisi/solo-learn
// solo/methods/base.py, facebookresearch/dino utils.py (MultiCropWrapper), facebookresearch/swav
// src/resnet50.py, lightly-ai/lightly examples.
#include "clr/model/foreign_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string_view>

#include "clr/core/error.h"

namespace clr {
namespace {

/// What wraps a whole network: DataParallel, Lightning modules, torch.compile.
constexpr std::array<std::string_view, 3> kWrappers{"module.", "model.", "_orig_mod."};

struct Dialect {
  const char* origin;
  const char* prefix;
  const char* beside;  ///< something must be named so too; "": nothing need be
  bool padded_stem;
};

/// The first that fits is taken.
constexpr std::array kDialects{
    Dialect{"MoCo", "encoder_q.", "", false},
    Dialect{"MoCo v3", "base_encoder.", "", false},
    Dialect{"lightly's DINO", "teacher_backbone.", "", false},
    // Its networks for CIFAR pad the first convolution by 2.
    Dialect{"solo-learn", "backbone.", "classifier.", true},
    Dialect{"solo-learn (before 1.0.3)", "encoder.", "classifier.", true},
    Dialect{"DINO, lightly, VICReg or Barlow Twins", "backbone.", "", false},
    Dialect{"SimSiam or clr", "encoder.", "", false},
    Dialect{"BERT with a head", "bert.", "", false},
    Dialect{"sentence-transformers", "0.auto_model.", "", false},
    Dialect{"torchvision or timm", "", "", false},
};

/// torch.nn.Sequential(*list(torchvision's resnet.children())[:-1]), as lightly's examples have it;
/// null: a part without tensors.
constexpr std::array<const char*, 8> kNumbered{"conv1",  "bn1",    nullptr,  nullptr,
                                               "layer1", "layer2", "layer3", "layer4"};

struct Known {
  const char* reason;
  std::vector<std::string_view> names;  ///< first parts of names
};

/// What stands beside an encoder and is not part of it.
const std::vector<Known>& known_parts() {
  static const std::vector<Known> parts{
      {"another encoder",
       {"encoder_k", "momentum_encoder", "momentum_backbone", "backbone_momentum",
        "student_backbone", "target_encoder", "target_backbone"}},
      {"a head",
       {"fc", "head", "classifier", "online_classifier", "momentum_classifier", "projector",
        "projection_head", "projection_head_momentum", "momentum_projector", "student_projector",
        "teacher_projector", "student_head", "teacher_head", "projection_mlp", "predictor",
        "prediction_head", "prediction_mlp", "prototypes",
        "bn"}},  // the batch norm after Barlow Twins' projector
      {"what other tasks of BERT's have on top", {"pooler", "cls"}},
      {"a memory of embeddings", {"queue", "queue_ptr", "queue_y", "queue_labels", "memory_bank"}},
      {"state of the loss", {"criterion", "loss", "loss_func", "dino_loss_func"}},
  };
  return parts;
}

/// Tensors of a ResNet as torchvision names them, of a vision transformer as timm does, or of BERT as
/// Hugging Face does.
bool is_encoder_name(const std::string& name) {
  // Real ones are short, and std::regex needs stack for each character.
  if (name.size() > 200) return false;
  static const std::regex pattern(
      "(conv1\\.weight|bn1\\.(weight|bias|running_mean|running_var|num_batches_tracked)"
      "|layer[1-4]\\.[0-9]+\\.(conv[1-3]\\.weight"
      "|(bn[1-3]|downsample\\.1)\\.(weight|bias|running_mean|running_var|num_batches_tracked)"
      "|downsample\\.0\\.weight)"
      "|cls_token|pos_embed|patch_embed\\.proj\\.(weight|bias)|norm\\.(weight|bias)"
      "|blocks\\.[0-9]+\\.(norm[12]|attn\\.(qkv|proj)|mlp\\.fc[12])\\.(weight|bias)"
      "|embeddings\\.(word|position|token_type)_embeddings\\.weight"
      "|embeddings\\.LayerNorm\\.(weight|bias)"
      "|encoder\\.layer\\.[0-9]+\\.(attention\\.(self\\.(query|key|value)|output\\.(dense|"
      "LayerNorm))"
      "|intermediate\\.dense|output\\.(dense|LayerNorm))\\.(weight|bias))");
  return std::regex_match(name, pattern);
}

/// BERT's first files have TensorFlow's names for the weights of layer norms.
std::string today(std::string name) {
  for (const auto& [old, now] : {std::pair{"LayerNorm.gamma", "LayerNorm.weight"},
                                 std::pair{"LayerNorm.beta", "LayerNorm.bias"}}) {
    if (name.ends_with(old))
      name.replace(name.size() - std::string_view(old).size(), name.size(), now);
  }
  return name;
}

std::string first_part(std::string_view name) {
  return std::string(name.substr(0, name.find('.')));
}

/// A numbered name as torchvision has it, or "".
std::string named(std::string_view name) {
  const std::string number = first_part(name);
  if (number.size() != 1 || number[0] < '0' || number[0] > '7') return "";
  const char* part = kNumbered[static_cast<std::size_t>(number[0] - '0')];
  return part == nullptr ? "" : part + std::string(name.substr(number.size()));
}

/// What every name starts with, of wrappers.
std::string wrapping(const std::vector<std::string>& names) {
  std::string prefix;
  for (bool found = true; found && !names.empty();) {
    found = false;
    for (const std::string_view wrapper : kWrappers) {
      const std::string longer = prefix + std::string(wrapper);
      if (std::all_of(names.begin(), names.end(),
                      [&](const std::string& name) { return name.starts_with(longer); })) {
        prefix = longer;
        found = true;
      }
    }
  }
  return prefix;
}

struct Found {
  const Dialect* dialect;
  bool numbered;
};

std::optional<Found> find_dialect(const std::set<std::string>& names, const std::string& wrapper,
                                  const std::string& where) {
  const auto any_starts = [&names](const std::string& prefix) {
    const auto at = names.lower_bound(prefix);
    return at != names.end() && at->starts_with(prefix);
  };
  for (const Dialect& dialect : kDialects) {
    const std::string prefix = wrapper + dialect.prefix;
    if (*dialect.beside != '\0' && !any_starts(wrapper + dialect.beside)) continue;
    for (const char* first :
         {"conv1.weight", "patch_embed.proj.weight", "embeddings.word_embeddings.weight"}) {
      if (names.contains(prefix + first)) return Found{&dialect, false};
    }
    if (!names.contains(prefix + "0.weight")) continue;
    if (names.contains(prefix + "2.0.conv1.weight")) {
      throw Error(ErrorKind::checkpoint,
                  where +
                      ": expected a ResNet with a ReLU in its stem, got lightly's own in a "
                      "Sequential, which has none there and is another network");
    }
    if (names.contains(prefix + "4.0.conv1.weight")) return Found{&dialect, true};
  }
  return std::nullopt;
}

/// "a. 3, b. 1, ...": the first parts of names, with how many begin so.
std::string summary(const std::map<std::string, std::int64_t>& counts) {
  constexpr std::size_t kShown = 8;
  std::vector<std::string> parts;
  for (const auto& [prefix, count] : counts) {
    if (parts.size() == kShown) {
      parts.push_back(fmt::format("{} more", counts.size() - kShown));
      break;
    }
    parts.push_back(fmt::format("{} ({})", prefix, count));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

[[noreturn]] void fail_unknown(const std::vector<std::string>& names, const std::string& where) {
  std::map<std::string, std::int64_t> counts;
  for (const std::string& name : names) ++counts[first_part(name)];
  std::vector<std::string> prefixes;
  for (const Dialect& dialect : kDialects) {
    const std::string prefix = dialect.prefix;
    if (!prefix.empty() && std::find(prefixes.begin(), prefixes.end(), prefix) == prefixes.end()) {
      prefixes.push_back(prefix);
    }
  }
  throw Error(ErrorKind::checkpoint,
              fmt::format("{}: expected a ResNet under torchvision's names, a vision transformer "
                          "under timm's or BERT under Hugging Face's, plain or after {}, got {} "
                          "tensors: {}",
                          where, fmt::join(prefixes, ", "), names.size(), summary(counts)));
}

}  // namespace

NameMap map_names(const std::vector<std::string>& names, const std::string& where) {
  const std::string wrapper = wrapping(names);
  const auto found = find_dialect({names.begin(), names.end()}, wrapper, where);
  if (!found) fail_unknown(names, where);
  NameMap map;
  map.origin = found->dialect->origin;
  if (found->numbered) map.origin = "lightly (numbered parts)";
  map.prefix = wrapper + found->dialect->prefix;
  const std::string words = map.prefix + "embeddings.word_embeddings.weight";
  if (std::find(names.begin(), names.end(), words) != names.end())
    map.origin = "Hugging Face's BERT";
  map.padded_stem = found->dialect->padded_stem;

  std::map<std::string, NameMap::LeftOut> left_out;
  std::map<std::string, std::int64_t> unknown;
  for (const std::string& name : names) {
    const bool inside = name.starts_with(map.prefix);
    const std::string before = inside ? map.prefix : wrapper;
    const std::string rest = name.substr(before.size());
    if (inside) {
      const std::string own = found->numbered ? named(rest) : today(rest);
      if (is_encoder_name(own)) {
        map.names.emplace_back(name, own);
        continue;
      }
    }
    // 0, 1, 2, ...: no weights.
    if (rest == "embeddings.position_ids") continue;
    const std::string part = first_part(rest);
    const auto known =
        std::find_if(known_parts().begin(), known_parts().end(), [&part](const Known& each) {
          return std::find(each.names.begin(), each.names.end(), part) != each.names.end();
        });
    // Of a ResNet's own parts the whole name helps, of others their beginning.
    const std::string shown = part.starts_with("layer") ? name : before + part;
    if (known == known_parts().end()) {
      ++unknown[shown];
      continue;
    }
    NameMap::LeftOut& group = left_out[shown];
    group.prefix = shown;
    group.reason = known->reason;
    ++group.count;
  }
  if (!unknown.empty()) {
    throw Error(ErrorKind::checkpoint,
                fmt::format("{}: an encoder as {} has it, but also tensors that belong to no part "
                            "that is known: {}; if they are not needed, leave them out: "
                            "scripts/convert_checkpoint.py --drop PREFIX",
                            where, map.origin, summary(unknown)));
  }
  for (auto& [prefix, group] : left_out) map.left_out.push_back(std::move(group));
  return map;
}

}  // namespace clr
