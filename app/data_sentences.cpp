// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "clr/core/error.h"
#include "clr/core/log.h"
#include "clr/data/sentences.h"
#include "data.h"

namespace clr {
namespace {

struct SentencesCommandOptions {
  std::string out;
  SentencesOptions sentences;
  bool json = false;
};

void run(const SentencesCommandOptions& options) {
  const SentencesOptions& sentences = options.sentences;
  for (const auto& [name, count] :
       {std::pair{"--train", sentences.train}, std::pair{"--test", sentences.test}}) {
    if (count < sentences.topics) {
      throw Error(
          ErrorKind::usage,
          fmt::format("{}: expected a text or more of each of {} topics, got {}; raise it or "
                      "lower --topics",
                      name, sentences.topics, count));
    }
  }
  write_sentences(options.out, sentences);
  const std::filesystem::path out = options.out;
  const auto file = [&](const char* name) { return (out / name).string(); };
  print_facts(
      {{"train", fmt::format("{}: {} texts", file("train.csv"), format_count(sentences.train))},
       {"test", fmt::format("{}: {} texts", file("test.csv"), format_count(sentences.test))},
       {"classes", std::to_string(sentences.topics)},
       {"vocabulary", file("vocab.txt")}});
  log_info(
      "next: clr pretrain --config simclr_sentences --data {} --set text.vocabulary={} --out "
      "runs/sentences",
      file("train.csv"), file("vocab.txt"));
  if (options.json) {
    print_json({{"out", options.out},
                {"train", sentences.train},
                {"test", sentences.test},
                {"seed", sentences.seed},
                {"classes", topic_names(sentences.topics)},
                {"vocabulary", file("vocab.txt")}});
  }
}

}  // namespace

void add_data_sentences_command(CLI::App& data, Action& action) {
  auto options = std::make_shared<SentencesCommandOptions>();
  SentencesOptions& sentences = options->sentences;
  CLI::App* command = data.add_subcommand(
      "sentences", "write a labelled text set in which words that go together make the class");
  command
      ->add_option("out", options->out,
                   "new or empty folder: OUT/train.csv, test.csv and vocab.txt")
      ->type_name("OUT")
      ->required();
  command->add_option("--train", sentences.train, "training texts")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  command->add_option("--test", sentences.test, "test texts")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  command->add_option("--topics", sentences.topics, "topics, the classes")
      ->check(CLI::Range(2, kMostTopics))
      ->capture_default_str();
  command->add_option("--seed", sentences.seed, "draws another set")->capture_default_str();
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
