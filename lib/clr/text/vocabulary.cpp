// SPDX-License-Identifier: Apache-2.0
#include "clr/text/vocabulary.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "clr/core/error.h"
#include "clr/text/words.h"

namespace clr {
namespace {

/// SentencePiece's mark for the beginning of a word, U+2581.
constexpr std::string_view kBeginning = "\xe2\x96\x81";
constexpr std::size_t kLongestLine = 4000;
constexpr std::size_t kLongestWord = 100;

bool is_one_character(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char byte) {
           return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
         }) == 1;
}

/// The words of texts, between blanks, in lines that SentencePiece does not pass over for their length.
class Lines final : public sentencepiece::SentenceIterator {
 public:
  Lines(const std::function<std::optional<std::string_view>()>& texts, bool lowercase)
      : texts_(texts), lowercase_(lowercase) {
    Next();
  }

  bool done() const override { return waiting_.empty(); }
  const std::string& value() const override { return waiting_.back(); }
  sentencepiece::util::Status status() const override { return {}; }

  void Next() override {
    if (!waiting_.empty()) waiting_.pop_back();
    while (waiting_.empty()) {
      const auto text = texts_();
      if (!text) return;
      cut(*text);
    }
  }

 private:
  void cut(std::string_view text) {
    std::string line;
    for_each_word(text, lowercase_, [&](std::string_view word) {
      if (word.size() > kLongestWord || word.find(kBeginning) != std::string_view::npos) return;
      if (line.size() + word.size() >= kLongestLine)
        waiting_.push_back(std::exchange(line, std::string()));
      if (!line.empty()) line += ' ';
      line += word;
    });
    if (!line.empty()) waiting_.push_back(std::move(line));
  }

  const std::function<std::optional<std::string_view>()>& texts_;
  bool lowercase_;
  std::vector<std::string> waiting_;
};

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorKind::data, "vocabulary: " + what);
}

std::string train(Lines& lines, const VocabularyOptions& options) {
  const std::unordered_map<std::string, std::string> arguments = {
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(options.size)},
      {"hard_vocab_limit", "false"},
      {"character_coverage", "0.9999"},
      {"normalization_rule_name", "identity"},
      {"split_by_unicode_script", "false"},
      {"split_by_number", "false"},
      {"max_sentence_length", std::to_string(2 * kLongestLine)},
      {"num_threads", std::to_string(options.threads)},
      {"unk_id", "0"},
      {"bos_id", "-1"},
      {"eos_id", "-1"},
      {"pad_id", "-1"},
      {"minloglevel", "3"}};
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &lines, &model);
  if (!status.ok()) {
    fail(fmt::format("SentencePiece cannot learn {} pieces of these texts: {}", options.size,
                     std::string(status.message())));
  }
  return model;
}

}  // namespace

std::vector<std::string> learn_vocabulary(
    const std::function<std::optional<std::string_view>()>& texts,
    const VocabularyOptions& options) {
  Lines lines(texts, options.lowercase);
  if (lines.done()) fail("expected texts with words, got none");
  const std::string trained = train(lines, options);
  sentencepiece::SentencePieceProcessor model;
  if (const auto status = model.LoadFromSerializedProto(trained); !status.ok())
    fail(std::string(status.message()));

  std::vector<std::string> pieces{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  std::set<std::string> characters;
  // These turn up sooner or later, whatever the texts were.
  for (char character = '!'; character <= '~'; ++character) {
    const bool capital = character >= 'A' && character <= 'Z';
    if (!capital || !options.lowercase) characters.insert(std::string(1, character));
  }
  std::vector<std::string> joined;
  for (int id = 0; id < model.GetPieceSize(); ++id) {
    const std::string& piece = model.IdToPiece(id);
    if (model.IsUnknown(id) || piece == kBeginning) continue;
    if (piece.starts_with(kBeginning)) {
      const std::string word = piece.substr(kBeginning.size());
      // Characters come as they are alone, below.
      if (!is_one_character(word)) joined.push_back(word);
    } else if (is_one_character(piece)) {
      characters.insert(piece);
    } else {
      joined.push_back("##" + piece);
    }
  }
  for (const std::string& character : characters) {
    pieces.push_back(character);
    pieces.push_back("##" + character);
  }
  const auto size = static_cast<std::size_t>(options.size);
  if (pieces.size() > size) {
    fail(
        fmt::format("expected room for the {} pieces that characters alone take, got a size of {}; "
                    "raise it",
                    pieces.size(), size));
  }
  joined.resize(std::min(joined.size(), size - pieces.size()));
  pieces.insert(pieces.end(), joined.begin(), joined.end());
  return pieces;
}

}  // namespace clr
