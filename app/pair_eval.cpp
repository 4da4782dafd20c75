// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/cosine_similarity.h>
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <memory>

#include "clr/core/error.h"
#include "clr/core/log.h"
#include "clr/data/scored_pairs.h"
#include "clr/eval/pair_similarity.h"
#include "feature_extraction.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

struct PairEvalOptions {
  FeatureOptions features;
  std::vector<std::string> data;
  std::vector<std::string> columns;
  bool json = false;
};

/// One file's pairs and what the model makes of them.
struct Judged {
  std::string name;
  std::vector<double> similarities;
  std::vector<double> scores;
  std::int64_t unscored = 0;
};

std::array<std::string, 3> three_columns(const std::vector<std::string>& columns) {
  if (columns.empty()) return {};
  if (columns.size() != 3) {
    throw Error(ErrorKind::usage,
                fmt::format("--columns: expected three, of one item, the other and the score, got "
                            "{}",
                            columns.size()));
  }
  return {columns[0], columns[1], columns[2]};
}

/// Cosines of each pair's features.
std::vector<double> similarities_of(const Features& features, const std::string& name) {
  // A missing half would shift all that follow.
  if (!features.bad.empty()) {
    throw Error(ErrorKind::data,
                fmt::format("{}: {}: expected both items of each pair, one cannot "
                            "be read: {}",
                            name, features.bad.front().name, features.bad.front().reason));
  }
  const torch::Tensor sides = features.values.to(torch::kFloat64).unflatten(0, {-1, 2});
  const torch::Tensor cosines =
      at::cosine_similarity(sides.select(1, 0), sides.select(1, 1), 1).contiguous();
  const auto* data = cosines.const_data_ptr<double>();
  return {data, data + cosines.numel()};
}

Json json_of(const PairAgreement& agreement) {
  return {{"pairs", agreement.pairs},
          {"spearman", agreement.spearman},
          {"spearman_ci95", agreement.spearman_ci95},
          {"pearson", agreement.pearson}};
}

std::vector<std::string> row_of(const std::string& name, const PairAgreement& agreement) {
  return {name, format_count(agreement.pairs),
          fmt::format("{:.2f} [{:.2f}, {:.2f}]", 100 * agreement.spearman,
                      100 * agreement.spearman_ci95[0], 100 * agreement.spearman_ci95[1]),
          fmt::format("{:.2f}", 100 * agreement.pearson)};
}

void run(const PairEvalOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const std::array<std::string, 3> columns = three_columns(options.columns);
  // All files before the first feature: what is wrong with the last is said at once.
  std::vector<ScoredPairs> sets;
  for (const std::string& path : options.data) sets.push_back(read_scored_pairs(path, columns));
  const ModelSource source = open_source(options.features);
  const FeatureExtractor extractor(
      source, read_eval_config(evaluation_document(options.features, source)), options.features);
  if (!source.note.empty()) log_info("{}", source.note);

  const auto seed = static_cast<std::uint64_t>(options.features.seed);
  std::vector<std::vector<std::string>> table = {
      {"pairs of", "pairs", "Spearman x 100", "Pearson"}};
  Json files = Json::array();
  Judged all;
  double sum = 0.0;
  double weighted = 0.0;
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const ScoredPairs& set = sets[i];
    const std::string name = fs::path(options.data[i]).filename().string();
    const std::vector<double> similarities =
        similarities_of(extractor.compute(set.items, name), options.data[i]);
    const PairAgreement agreement = agree_on_pairs(similarities, set.scores, seed);
    table.push_back(row_of(name, agreement));
    Json entry = {{"file", options.data[i]}, {"unscored", set.unscored}};
    entry.update(json_of(agreement));
    files.push_back(std::move(entry));
    sum += agreement.spearman;
    weighted += agreement.spearman * static_cast<double>(agreement.pairs);
    all.similarities.insert(all.similarities.end(), similarities.begin(), similarities.end());
    all.scores.insert(all.scores.end(), set.scores.begin(), set.scores.end());
    all.unscored += set.unscored;
  }
  const PairAgreement together = agree_on_pairs(all.similarities, all.scores, seed);
  Json result = {
      {"checkpoint", source.name}, {"files", std::move(files)}, {"all", json_of(together)}};
  if (sets.size() > 1) {
    const double mean = sum / static_cast<double>(sets.size());
    const double by_pairs = weighted / static_cast<double>(together.pairs);
    table.push_back(row_of("all together", together));
    table.push_back({"mean of files", "", fmt::format("{:.2f}", 100 * mean), ""});
    table.push_back({"mean by pairs", "", fmt::format("{:.2f}", 100 * by_pairs), ""});
    result["mean"] = mean;
    result["weighted_mean"] = by_pairs;
  }
  print_table(table);
  if (all.unscored > 0) log_info("{} rows without a score left out", all.unscored);
  result["encoder_sha256"] = extractor.encoder_sha256();
  result["seconds"] =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  log_info("{} pairs in {}", format_count(together.pairs),
           format_duration(result["seconds"].get<double>()));
  if (options.json) print_json(result);
}

}  // namespace

void add_pair_eval_command(CLI::App& program, Action& action) {
  auto options = std::make_shared<PairEvalOptions>();
  CLI::App* command = program.add_subcommand(
      "pair-eval", "how far cosines of pairs go with the scores that people gave them");
  options->features.add_to(*command);
  command
      ->add_option("--data", options->data,
                   "table (.csv, .tsv, .jsonl) of pairs and scores; several are also judged "
                   "together")
      ->required();
  command
      ->add_option("--columns", options->columns,
                   "A,B,SCORE by name, or by number without names (default: text_a,text_b,score "
                   "or path_a,path_b,score)")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
