// SPDX-License-Identifier: Apache-2.0
#include "clr/model/foreign_names.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "clr/core/error.h"
#include "support/catch.h"

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

/// A list of test/golden/foreign_names: names, and the encoder's ("-": none).
Pairs golden(const std::string& program) {
  std::ifstream file(std::string(CLR_TEST_DATA_DIR) + "/foreign_names/" + program + ".tsv");
  CATCH_REQUIRE(file);
  Pairs pairs;
  for (std::string line; std::getline(file, line);) {
    const auto tab = line.find('\t');
    pairs.emplace_back(line.substr(0, tab), line.substr(tab + 1));
  }
  CATCH_REQUIRE(pairs.size() >= 120);
  return pairs;
}

std::vector<std::string> names_of(const Pairs& pairs) {
  std::vector<std::string> names;
  for (const auto& pair : pairs) names.push_back(pair.first);
  return names;
}

std::string message(const std::vector<std::string>& names) {
  try {
    clr::map_names(names, "x.safetensors");
  } catch (const clr::Error& error) {
    CATCH_CHECK(error.kind() == clr::ErrorKind::checkpoint);
    return error.what();
  }
  return "";
}

}  // namespace

CATCH_TEST_CASE("the names of other programs' files are understood", "[model]") {
  const std::map<std::string, std::string> prefixes{{"torchvision", ""},
                                                    {"timm", ""},
                                                    {"dataparallel", "module."},
                                                    {"compiled", "model._orig_mod."},
                                                    {"moco", "module.encoder_q."},
                                                    {"moco_v3", "module.base_encoder."},
                                                    {"simsiam", "module.encoder."},
                                                    {"swav", "module."},
                                                    {"dino", "backbone."},
                                                    {"solo_learn", "backbone."},
                                                    {"lightly_simclr", "backbone."},
                                                    {"lightly_byol", "backbone."}};
  for (const auto& [program, prefix] : prefixes) {
    CATCH_INFO(program);
    const Pairs pairs = golden(program);
    std::set<std::pair<std::string, std::string>> expected;
    std::size_t others = 0;
    for (const auto& pair : pairs) {
      if (pair.second == "-") {
        ++others;
      } else {
        expected.insert(pair);
      }
    }
    const clr::NameMap map = clr::map_names(names_of(pairs), "x");
    const std::set<std::pair<std::string, std::string>> got(map.names.begin(), map.names.end());
    CATCH_CHECK(got == expected);
    CATCH_CHECK(map.prefix == prefix);
    CATCH_CHECK(map.padded_stem == (program == "solo_learn"));
    std::size_t left_out = 0;
    for (const auto& group : map.left_out) {
      CATCH_INFO(group.prefix);
      CATCH_CHECK_FALSE(group.reason.empty());
      const auto begins = [&](const auto& pair) {
        return pair.second == "-" && pair.first.starts_with(group.prefix);
      };
      CATCH_CHECK(std::any_of(pairs.begin(), pairs.end(), begins));
      left_out += static_cast<std::size_t>(group.count);
    }
    CATCH_CHECK(left_out == others);
  }
}

CATCH_TEST_CASE("lightly's own ResNet, whose stem lacks a ReLU, is refused", "[model]") {
  CATCH_CHECK_THAT(message(names_of(golden("lightly_cifar"))), Catch::Contains("ReLU"));
}

CATCH_TEST_CASE("DINO's student in DataParallel is understood", "[model]") {
  std::vector<std::string> names = names_of(golden("dino"));
  for (std::string& name : names) name = "module." + name;
  const clr::NameMap map = clr::map_names(names, "x");
  CATCH_CHECK(map.prefix == "module.backbone.");
  CATCH_CHECK(map.names.size() == 120);
}

CATCH_TEST_CASE("tensors that nobody explains are refused by name", "[model]") {
  using Catch::Contains;
  std::vector<std::string> names = names_of(golden("moco"));
  names.emplace_back("module.secret.weight");
  names.emplace_back("module.secret.bias");
  CATCH_CHECK_THAT(message(names), Contains("x.safetensors: ") && Contains("module.secret (2)") &&
                                       Contains("--drop"));
  // Squeeze and excitation: another network under the same names.
  names = names_of(golden("torchvision"));
  names.emplace_back("layer1.0.se.fc1.weight");
  CATCH_CHECK_THAT(message(names), Contains("layer1.0.se.fc1.weight (1)"));
  names = names_of(golden("torchvision"));
  names.emplace_back("layer1.0.conv1.bias");
  CATCH_CHECK_THAT(message(names), Contains("layer1.0.conv1.bias (1)"));
  CATCH_CHECK_THAT(message({"cls_token", "blocks.0.norm1.weight", "blocks.0.norm1.bias"}),
                   Contains("expected a ResNet") && Contains("encoder_q.") &&
                       Contains("blocks (2), cls_token (1)"));
  CATCH_CHECK_THAT(message({}), Contains("got 0 tensors"));
}

CATCH_TEST_CASE("BERT under its users' names", "[model]") {
  const std::vector<std::string> own = {
      "embeddings.word_embeddings.weight", "embeddings.LayerNorm.weight",
      "encoder.layer.0.attention.self.query.bias", "encoder.layer.11.output.LayerNorm.bias"};
  for (const std::string prefix : {"", "bert.", "0.auto_model.", "module.bert."}) {
    CATCH_INFO(prefix);
    std::vector<std::string> names;
    for (const std::string& name : own) names.push_back(prefix + name);
    names.push_back(prefix + "embeddings.position_ids");
    names.push_back(prefix + "pooler.dense.weight");
    if (prefix == "bert.") names.push_back("cls.predictions.bias");
    const clr::NameMap map = clr::map_names(names, "x");
    CATCH_CHECK(map.prefix == prefix);
    CATCH_REQUIRE(map.names.size() == own.size());
    for (std::size_t i = 0; i < own.size(); ++i) CATCH_CHECK(map.names[i].second == own[i]);
    CATCH_CHECK(map.left_out.size() == (prefix == "bert." ? 2 : 1));
  }
  // As TensorFlow's were called.
  const clr::NameMap old =
      clr::map_names({"bert.embeddings.word_embeddings.weight", "bert.embeddings.LayerNorm.gamma",
                      "bert.encoder.layer.0.output.LayerNorm.beta"},
                     "x");
  CATCH_CHECK(old.names.at(1).second == "embeddings.LayerNorm.weight");
  CATCH_CHECK(old.names.at(2).second == "encoder.layer.0.output.LayerNorm.bias");
}
