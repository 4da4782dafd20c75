// SPDX-License-Identifier: Apache-2.0
#include "export_sentence_transformers.h"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "clr/core/error.h"
#include "clr/io/file.h"
#include "clr/text/wordpiece.h"
#include "clr/train/run_folder.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

void write_json(const fs::path& path, const Json& json) {
  write_file_durably(path, dump_text(json, 2) + "\n");
}

Json special_token(const WordPiece& pieces, std::int32_t id) {
  return {
      {"id", id},        {"content", pieces.piece(id)}, {"single_word", false}, {"lstrip", false},
      {"rstrip", false}, {"normalized", false},         {"special", true}};
}

/// The tokenizer as Hugging Face's tokenizers library reads it. `marks`: with [CLS] and [SEP].
Json tokenizer_of(const WordPiece& pieces, std::int64_t max_tokens, bool marks) {
  const WordPiece::Special& special = pieces.special();
  Json added = Json::array();
  for (const std::int32_t id :
       {special.pad, special.unknown, special.begin, special.end, special.mask}) {
    if (id >= 0) added.push_back(special_token(pieces, id));
  }
  Json vocabulary = Json::object();
  for (std::int32_t id = 0; id < pieces.size(); ++id) vocabulary[pieces.piece(id)] = id;
  Json result = {{"version", "1.0"},
                 {"truncation",
                  {{"direction", "Right"},
                   {"max_length", max_tokens},
                   {"strategy", "LongestFirst"},
                   {"stride", 0}}},
                 {"padding", nullptr},
                 {"added_tokens", std::move(added)},
                 {"normalizer",
                  {{"type", "BertNormalizer"},
                   {"clean_text", true},
                   {"handle_chinese_chars", true},
                   {"strip_accents", nullptr},
                   {"lowercase", pieces.lowercase()}}},
                 {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                 {"post_processor", nullptr},
                 {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
                 {"model",
                  {{"type", "WordPiece"},
                   {"unk_token", pieces.piece(special.unknown)},
                   {"continuing_subword_prefix", "##"},
                   {"max_input_chars_per_word", 100},
                   {"vocab", std::move(vocabulary)}}}};
  if (marks) {
    result["post_processor"] = {{"type", "BertProcessing"},
                                {"sep", Json::array({pieces.piece(special.end), special.end})},
                                {"cls", Json::array({pieces.piece(special.begin), special.begin})}};
  }
  return result;
}

Json module_entry(int index, const std::string& path, const std::string& type) {
  return {{"idx", index},
          {"name", std::to_string(index)},
          {"path", path},
          {"type", "sentence_transformers.models." + type}};
}

SafeTensors weights_of_encoder(const Encoder& encoder) {
  SafeTensors content;
  content.metadata = {{"format", "pt"}};
  for (const auto& item : encoder.named_parameters())
    content.tensors.emplace_back(item.key(), item.value().detach());
  return content;
}

Json pooling_config(const Json& encoder, const std::string& name) {
  const std::string pooling = encoder["pooling"];
  if (pooling != "cls" && pooling != "mean" && pooling != "max") {
    throw Error(
        ErrorKind::checkpoint,
        fmt::format("{}: --format sentence-transformers: expected pooling cls, mean or max, got "
                    "{}, which it does not have",
                    name, pooling));
  }
  return {{"word_embedding_dimension", encoder["width"]},
          {"pooling_mode_cls_token", pooling == "cls"},
          {"pooling_mode_mean_tokens", pooling == "mean"},
          {"pooling_mode_max_tokens", pooling == "max"},
          {"pooling_mode_mean_sqrt_len_tokens", false}};
}

void write_bert(const fs::path& folder, const ModelSource& source, const Encoder& encoder,
                const WordPiece& pieces, const TextConfig& text) {
  const Json& config = source.encoder;
  const Json pooling = pooling_config(config, source.name);
  SafeTensors content = weights_of_encoder(encoder);
  // What only training has.
  std::erase_if(content.tensors,
                [](const auto& item) { return item.first.starts_with("pooler."); });
  write_safetensors(folder / "model.safetensors", content);
  write_json(folder / "config.json", {{"architectures", Json::array({"BertModel"})},
                                      {"model_type", "bert"},
                                      {"vocab_size", config["vocabulary"]},
                                      {"hidden_size", config["width"]},
                                      {"num_hidden_layers", config["layers"]},
                                      {"num_attention_heads", config["heads"]},
                                      {"intermediate_size", config["intermediate"]},
                                      {"max_position_embeddings", config["positions"]},
                                      {"hidden_dropout_prob", config["dropout"]},
                                      {"attention_probs_dropout_prob", config["attention_dropout"]},
                                      {"layer_norm_eps", config["norm_epsilon"]},
                                      {"hidden_act", "gelu"},
                                      {"position_embedding_type", "absolute"},
                                      {"is_decoder", config["causal"]},
                                      {"type_vocab_size", 2},
                                      {"pad_token_id", pieces.special().pad}});
  write_json(folder / "sentence_bert_config.json",
             {{"max_seq_length", text.max_tokens}, {"do_lower_case", false}});
  Json names = {{"pad_token", pieces.piece(pieces.special().pad)},
                {"unk_token", pieces.piece(pieces.special().unknown)},
                {"cls_token", pieces.piece(pieces.special().begin)},
                {"sep_token", pieces.piece(pieces.special().end)}};
  if (pieces.special().mask >= 0) names["mask_token"] = pieces.piece(pieces.special().mask);
  write_json(folder / "special_tokens_map.json", names);
  names.update({{"tokenizer_class", "BertTokenizer"},
                {"do_lower_case", pieces.lowercase()},
                {"model_max_length", text.max_tokens}});
  write_json(folder / "tokenizer_config.json", names);
  write_json(folder / "tokenizer.json", tokenizer_of(pieces, text.max_tokens, /*marks=*/true));
  write_json(folder / "1_Pooling" / "config.json", pooling);
  write_json(folder / "modules.json", Json::array({module_entry(0, "", "Transformer"),
                                                   module_entry(1, "1_Pooling", "Pooling"),
                                                   module_entry(2, "2_Normalize", "Normalize")}));
}

void write_static(const fs::path& folder, const Encoder& encoder, const WordPiece& pieces,
                  const TextConfig& text) {
  SafeTensors content = weights_of_encoder(encoder);
  content.tensors.at(0).first = "embedding.weight";
  const fs::path inner = folder / "0_StaticEmbedding";
  write_safetensors(inner / "model.safetensors", content);
  // [CLS] and [SEP] count among clr's tokens, and are not there here.
  write_json(inner / "tokenizer.json", tokenizer_of(pieces, text.max_tokens - 2, /*marks=*/false));
  write_json(folder / "modules.json",
             Json::array({module_entry(0, "0_StaticEmbedding", "StaticEmbedding"),
                          module_entry(1, "1_Normalize", "Normalize")}));
}

}  // namespace

void export_sentence_transformers(const fs::path& folder, const ModelSource& source) {
  if (source.text.is_null()) {
    throw Error(
        ErrorKind::checkpoint,
        source.name +
            ": --format sentence-transformers: expected an encoder of texts, got one of images");
  }
  TextConfig text;
  read_value(source.text, Place(source.name), text);
  take_vocabulary(source, text);
  Component<Encoder> component;
  read_value(source.encoder, Place(source.name), component);
  const FeatureModel model = build_model(source, component, /*seed=*/0);
  const bool bert = component.type == "bert";
  if (bert) pooling_config(source.encoder, source.name);
  std::error_code ignored;
  if (fs::exists(folder, ignored) &&
      !(fs::is_directory(folder, ignored) && fs::is_empty(folder, ignored))) {
    throw Error(ErrorKind::usage,
                folder.string() + ": expected a new or empty folder, got one that holds something");
  }
  make_output_folder(folder);
  make_output_folder(folder / (bert ? "1_Pooling" : "0_StaticEmbedding"));
  make_output_folder(folder / (bert ? "2_Normalize" : "1_Normalize"));
  if (bert) {
    write_bert(folder, source, *model.encoder, *text.pieces, text);
  } else {
    write_static(folder, *model.encoder, *text.pieces, text);
  }
  write_file_durably(folder / "vocab.txt", text.pieces->text());
}

}  // namespace clr
