// SPDX-License-Identifier: Apache-2.0
#include "clr/train/hugging_face_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "clr/core/error.h"
#include "clr/io/file.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

[[noreturn]] void fail(const fs::path& file, const std::string& what) {
  throw Error(ErrorKind::checkpoint, file.string() + ": " + what);
}

/// A JSON object in a file; nothing where there is no such file.
std::optional<Json> read_object(const fs::path& file) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return std::nullopt;
  Json json = Json::parse(read_file(file, ErrorKind::checkpoint), nullptr, false);
  if (!json.is_object()) fail(file, "expected a JSON object, got something else");
  return json;
}

/// Copies a value under clr's key where there is one that is not null.
void take(const Json& from, const char* theirs, Json& to, const char* ours) {
  if (const auto found = from.find(theirs); found != from.end() && !found->is_null())
    to[ours] = *found;
}

void require(const Json& config, const fs::path& file, const char* key, const char* value) {
  const auto found = config.find(key);
  if (found == config.end() || *found == value) return;
  fail(file, fmt::format("expected {} {}, got {}", key, value, show(*found)));
}

/// `pooling` by the switch that is on.
std::string pooling(const Json& config, const fs::path& file) {
  struct Mode {
    const char* theirs;
    const char* ours;
  };
  constexpr std::array kModes{Mode{"pooling_mode_cls_token", "cls"},
                              Mode{"pooling_mode_mean_tokens", "mean"},
                              Mode{"pooling_mode_max_tokens", "max"}};
  std::string found;
  std::int64_t on = 0;
  for (const auto& [key, value] : config.items()) {
    if (!key.starts_with("pooling_mode") || value != true) continue;
    ++on;
    for (const Mode& mode : kModes) {
      if (key == mode.theirs) found = mode.ours;
    }
  }
  if (on != 1 || found.empty())
    fail(file, "expected one of the poolings cls_token, mean_tokens and max_tokens");
  return found;
}

/// sentence-transformers' list of what follows the weights: a dense layer, say, would be another model.
void require_known_modules(const fs::path& file) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return;
  const Json modules = Json::parse(read_file(file, ErrorKind::checkpoint), nullptr, false);
  if (!modules.is_array()) fail(file, "expected a JSON list, got something else");
  for (const Json& entry : modules) {
    const std::string type =
        entry.is_object() && entry.contains("type") && entry["type"].is_string()
            ? entry["type"].get<std::string>()
            : "";
    const std::string last = type.substr(type.rfind('.') + 1);
    if (last == "Transformer" || last == "Pooling" || last == "Normalize") continue;
    fail(file,
         fmt::format("expected the modules Transformer, Pooling and Normalize, got {}",
                     show(entry.is_object() && entry.contains("type") ? entry["type"] : entry)));
  }
}

}  // namespace

HuggingFaceFolder read_hugging_face_folder(const fs::path& folder) {
  HuggingFaceFolder result{Json::object(), Json::object(), {}};
  const fs::path vocabulary = folder / "vocab.txt";
  std::error_code ignored;
  if (!fs::exists(vocabulary, ignored)) {
    fail(vocabulary, "expected the vocabulary that belongs to the weights beside them, got none");
  }
  result.vocabulary = read_file(vocabulary, ErrorKind::checkpoint);
  require_known_modules(folder / "modules.json");
  std::int64_t most = 512;
  if (const auto config = read_object(folder / "config.json")) {
    require(*config, folder / "config.json", "hidden_act", "gelu");
    require(*config, folder / "config.json", "position_embedding_type", "absolute");
    take(*config, "num_attention_heads", result.encoder, "heads");
    take(*config, "layer_norm_eps", result.encoder, "norm_epsilon");
    take(*config, "is_decoder", result.encoder, "causal");
    take(*config, "hidden_dropout_prob", result.encoder, "dropout");
    take(*config, "attention_probs_dropout_prob", result.encoder, "attention_dropout");
    if (const auto positions = config->find("max_position_embeddings");
        positions != config->end() && positions->is_number_integer())
      most = std::min(most, positions->get<std::int64_t>());
  }
  if (const auto config = read_object(folder / "1_Pooling" / "config.json"))
    result.encoder["pooling"] = pooling(*config, folder / "1_Pooling" / "config.json");
  result.text["max_tokens"] = most;
  if (const auto config = read_object(folder / "sentence_bert_config.json"))
    take(*config, "max_seq_length", result.text, "max_tokens");
  // Not sentence_bert_config's key of the same name, which says whether text is lower-cased before that.
  if (const auto config = read_object(folder / "tokenizer_config.json"))
    take(*config, "do_lower_case", result.text, "lowercase");
  return result;
}

}  // namespace clr
