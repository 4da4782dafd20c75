// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include "clr/core/error.h"
#include "clr/core/log.h"
#include "clr/data/text_dataset.h"
#include "clr/io/file.h"
#include "clr/text/vocabulary.h"
#include "clr/text/wordpiece.h"
#include "clr/text/words.h"
#include "clr/train/run_folder.h"
#include "data.h"

namespace clr {
namespace {

struct VocabCommandOptions {
  std::vector<std::string> data;
  std::string output;
  VocabularyOptions vocabulary;
  bool cased = false;
  int threads = 0;
  bool json = false;
};

/// How pieces cut texts.
struct Cut {
  std::int64_t words = 0;
  std::int64_t tokens = 0;
  std::int64_t unknown = 0;
};

/// A text, or nothing where it cannot be read: pretraining may pass over it too.
std::optional<std::string_view> readable(const TextDataset& texts, std::int64_t index,
                                         std::int64_t column) {
  try {
    return texts.text(index, column);
  } catch (const Error&) {
    return std::nullopt;
  }
}

Cut cut_texts(const std::vector<std::unique_ptr<Dataset>>& sets, const WordPiece& pieces) {
  Cut cut;
  std::vector<std::int32_t> ids;
  for (const auto& set : sets) {
    const TextDataset& texts = *as_texts(*set);
    for (std::int64_t i = 0; i < texts.size(); ++i) {
      for (std::int64_t column = 0; column < texts.columns(); ++column) {
        const auto read = readable(texts, i, column);
        if (!read) continue;
        const std::string_view text = *read;
        ids.clear();
        pieces.encode(text, ids);
        for_each_word(text, pieces.lowercase(), [&](std::string_view) { ++cut.words; });
        cut.tokens += static_cast<std::int64_t>(ids.size());
        cut.unknown += std::count(ids.begin(), ids.end(), pieces.special().unknown);
      }
    }
  }
  return cut;
}

void run(VocabCommandOptions options) {
  const auto start = std::chrono::steady_clock::now();
  prepare_output_file(options.output);
  std::vector<std::unique_ptr<Dataset>> sets;
  std::int64_t count = 0;
  for (const std::string& path : options.data) {
    sets.push_back(open_dataset(path, {}));
    if (as_texts(*sets.back()) == nullptr)
      throw Error(ErrorKind::data, path + ": expected texts for clr data vocab, got images");
    count += sets.back()->size();
  }
  options.vocabulary.lowercase = !options.cased;
  options.vocabulary.threads = all_cores_unless(options.threads);
  log_info("learning pieces of {} texts", format_count(count));
  std::size_t set = 0;
  std::int64_t index = 0;
  std::int64_t column = 0;
  std::int64_t bad = 0;
  const auto next = [&]() -> std::optional<std::string_view> {
    while (set < sets.size()) {
      if (index == sets[set]->size()) {
        ++set;
        index = 0;
        continue;
      }
      const TextDataset& texts = *as_texts(*sets[set]);
      const auto text = readable(texts, index, column);
      if (++column == texts.columns()) {
        column = 0;
        ++index;
      }
      if (text) return text;
      ++bad;
    }
    return std::nullopt;
  };
  const std::vector<std::string> learned = learn_vocabulary(next, options.vocabulary);
  if (bad > 0)
    log_warning("{} texts cannot be read and were left out; clr data check names them", bad);
  const WordPiece pieces(learned, options.vocabulary.lowercase, options.output);
  write_file_durably(options.output, pieces.text());
  const Cut cut = cut_texts(sets, pieces);
  const double per_word =
      static_cast<double>(cut.tokens) / static_cast<double>(std::max<std::int64_t>(1, cut.words));
  const double unknown =
      static_cast<double>(cut.unknown) / static_cast<double>(std::max<std::int64_t>(1, cut.tokens));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  print_facts({{"texts", format_count(count)},
               {"words", format_count(cut.words)},
               {"pieces", format_count(pieces.size())},
               {"tokens a word", fmt::format("{:.3f}", per_word)},
               {"[UNK]", fmt::format("{:.3f} % of the tokens", 100 * unknown)},
               {"vocabulary", options.output}});
  log_info("in {}", format_duration(seconds));
  if (options.json) {
    print_json({{"output", options.output},
                {"texts", count},
                {"words", cut.words},
                {"pieces", pieces.size()},
                {"tokens_per_word", per_word},
                {"unknown", unknown},
                {"lowercase", pieces.lowercase()},
                {"seconds", seconds}});
  }
}

}  // namespace

void add_data_vocab_command(CLI::App& data, Action& action) {
  auto options = std::make_shared<VocabCommandOptions>();
  CLI::App* command =
      data.add_subcommand("vocab", "learn a WordPiece vocabulary from texts, for text.vocabulary");
  command->add_option("data", options->data, "a .txt, a folder of them, a table with a column text")
      ->type_name("TEXTS")
      ->required();
  command->add_option("--size", options->vocabulary.size, "pieces")
      ->check(CLI::Range(16, 1 << 20))
      ->capture_default_str();
  command->add_option("--output", options->output, "vocab.txt, a piece a line")->required();
  command->add_flag("--cased", options->cased,
                    "keep capitals and accents (text.lowercase = false)");
  command->add_option("--threads", options->threads, "threads (default: all cores)")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
