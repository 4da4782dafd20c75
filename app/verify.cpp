// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "clr/config/load.h"
#include "clr/core/log.h"
#include "clr/train/reference_band.h"
#include "clr/train/run_folder.h"
#include "command.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

struct VerifyOptions {
  std::vector<std::string> runs;
  std::string band;
  std::string make_band;
  bool json = false;
};

/// The bands beside the presets.
std::vector<fs::path> known_bands() {
  std::vector<fs::path> files;
  for (const Preset& preset : list_presets()) {
    std::error_code ignored;
    if (fs::exists(band_file_of(preset.path), ignored)) files.push_back(band_file_of(preset.path));
  }
  return files;
}

/// The band that --band names: a file, or a preset.
ReferenceBand named_band(const std::string& name) {
  std::error_code ignored;
  if (fs::is_regular_file(name, ignored)) return read_reference_band(name);
  std::vector<std::string> names;
  for (const fs::path& file : known_bands()) {
    names.push_back(file.stem().string());
    if (names.back() == name) return read_reference_band(file);
  }
  throw Error(ErrorKind::usage,
              fmt::format("--band: expected a band's file or a preset that has one, got {}{}", name,
                          did_you_mean(name, names)));
}

std::string difference_text(const ConfigDifference& difference) {
  const auto value = [](const Json& json) { return json.is_null() ? "nothing" : show(json); };
  return fmt::format("{} is {} (reference: {})", difference.key, value(difference.run),
                     value(difference.reference));
}

/// The band of the run's own configuration.
ReferenceBand fitting_band(const RunRecord& run) {
  std::optional<std::pair<std::string, std::vector<ConfigDifference>>> nearest;
  for (const fs::path& file : known_bands()) {
    ReferenceBand band = read_reference_band(file);
    auto differences = config_differences(run, band);
    if (differences.empty()) return band;
    if (!nearest || differences.size() < nearest->second.size())
      nearest = {band.name, std::move(differences)};
  }
  std::string hint = "; make one of three runs or more with clr verify --make-band FILE RUN...";
  if (nearest) {
    hint = fmt::format(
        "; nearest is {}, of which {}{}; --band {} holds it against that all the "
        "same",
        nearest->first, difference_text(nearest->second.front()),
        nearest->second.size() == 1 ? std::string()
                                    : fmt::format(" and {} more", nearest->second.size() - 1),
        nearest->first);
  }
  throw Error(ErrorKind::data, fmt::format("{}: expected a configuration that a preset has a "
                                           "reference band of, got another{}",
                                           run.folder.string(), hint));
}

/// What is known of one run.
struct Verified {
  const RunRecord& run;
  ReferenceBand band;
  std::vector<ConfigDifference> differences;
  bool other_images = false;
  BandVerdict verdict;
};

Verified verify(const RunRecord& run, const VerifyOptions& options) {
  if (!run.training || run.config.empty()) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected a training run, got {}", run.folder.string(),
                            run.training ? run.problem : "an evaluation"));
  }
  Verified result{
      run, options.band.empty() ? fitting_band(run) : named_band(options.band), {}, false, {}};
  result.differences = config_differences(run, result.band);
  const std::string images =
      run.config.value(Json::json_pointer("/data/fingerprint"), std::string());
  result.other_images = !images.empty() && images != result.band.data;
  result.verdict = verify_run(run, result.band);
  return result;
}

/// "18 epochs", "5 of 18 epochs, not finished".
std::string extent(const Verified& verified) {
  const RunRecord& run = verified.run;
  const auto epochs = verified.verdict.epochs;
  if (run.finished) return fmt::format("{} epoch{}", epochs, epochs == 1 ? "" : "s");
  const auto all = run.config.value(Json::json_pointer("/train/epochs"), std::int64_t{0});
  return fmt::format("{} of {} epochs, {}", epochs, all,
                     run.problem.empty() ? "not finished" : run.problem);
}

std::string sentence(const Verified& verified) {
  const std::string run = verified.run.folder.string();
  const BandVerdict& verdict = verified.verdict;
  if (!verdict.left_at) {
    std::int64_t compared = 0;
    std::int64_t outside = 0;
    for (const BandMetric& metric : verdict.metrics) {
      compared += metric.compared;
      outside += metric.outside;
    }
    return fmt::format("{}: has not left the band of {}: {} of {} values outside ({})", run,
                       verified.band.name, outside, compared, extent(verified));
  }
  std::string names;
  for (const BandMetric& metric : verdict.metrics) {
    if (metric.left_at == verdict.left_at) names += (names.empty() ? "" : ", ") + metric.name;
  }
  return fmt::format("{}: left the band of {} in epoch {} ({})", run, verified.band.name,
                     *verdict.left_at + 1, names);
}

void print(const Verified& verified) {
  const std::string run = verified.run.folder.string();
  for (const ConfigDifference& difference : verified.differences)
    log_warning("{}: {}", run, difference_text(difference));
  if (verified.other_images) {
    log_warning("{}: trained on other images than the {} runs of {}", run,
                verified.band.seeds.size(), verified.band.name);
  }
  std::vector<std::vector<std::string>> rows = {
      {"metric", "epochs", "outside", "left in", "furthest in", "value", "expected from", "to"}};
  for (const BandMetric& metric : verified.verdict.metrics) {
    const auto number = [](double value) { return fmt::format("{:.4g}", value); };
    rows.push_back({metric.name, std::to_string(metric.compared), std::to_string(metric.outside),
                    metric.left_at ? std::to_string(*metric.left_at + 1) : "-",
                    std::to_string(metric.furthest.epoch + 1), number(metric.value),
                    number(metric.furthest.low), number(metric.furthest.high)});
  }
  print_table(rows);
  log_info("{}", sentence(verified));
}

Json json_of(const Verified& verified) {
  const auto epoch = [](const std::optional<std::int64_t>& value) {
    return value ? Json(*value) : Json();
  };
  Json differences = Json::array();
  for (const ConfigDifference& difference : verified.differences) {
    differences.push_back(
        {{"key", difference.key}, {"run", difference.run}, {"reference", difference.reference}});
  }
  Json metrics = Json::array();
  for (const BandMetric& metric : verified.verdict.metrics) {
    metrics.push_back({{"metric", metric.name},
                       {"epochs", metric.compared},
                       {"outside", metric.outside},
                       {"left_at", epoch(metric.left_at)},
                       {"furthest_epoch", metric.furthest.epoch},
                       {"value", std::isfinite(metric.value) ? Json(metric.value) : Json()},
                       {"mean", metric.furthest.mean},
                       {"low", metric.furthest.low},
                       {"high", metric.furthest.high}});
  }
  return {{"run", verified.run.folder.string()},
          {"band", verified.band.name},
          {"reference_runs", verified.band.seeds.size()},
          {"epochs", verified.verdict.epochs},
          {"finished", verified.run.finished},
          {"problem", verified.run.problem},
          {"within", !verified.verdict.left_at},
          {"left_at", epoch(verified.verdict.left_at)},
          {"other_images", verified.other_images},
          {"differences", std::move(differences)},
          {"metrics", std::move(metrics)}};
}

/// How many of the runs lie within the band of the others: what the band does to runs that it does
/// not know.
std::int64_t within_others(const std::vector<RunRecord>& runs, const std::string& name) {
  std::int64_t within = 0;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    std::vector<RunRecord> others = runs;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    within += verify_run(runs[i], make_reference_band(others, name)).left_at ? 0 : 1;
  }
  return within;
}

void make_band(const std::vector<RunRecord>& runs, const VerifyOptions& options) {
  const std::string name = fs::path(options.make_band).stem().string();
  prepare_output_file(options.make_band);
  const ReferenceBand band = make_reference_band(runs, name);
  write_reference_band(band, options.make_band);
  Json result = {
      {"band", options.make_band}, {"runs", runs.size()}, {"metrics", band.metrics.size()}};
  log_info("{}: {} metrics of {} runs", options.make_band, band.metrics.size(), runs.size());
  if (runs.size() > ReferenceBand::kLeastRuns) {
    const std::int64_t within = within_others(runs, name);
    log_info("{} of the {} runs lie within the band of the others", within, runs.size());
    result["within_others"] = within;
  }
  if (options.json) print_json(result);
}

void run(const VerifyOptions& options) {
  const std::vector<RunRecord> runs = read_run_records(options.runs);
  if (!options.make_band.empty()) {
    make_band(runs, options);
    return;
  }
  Json list = Json::array();
  std::string left;
  std::size_t count = 0;
  for (const RunRecord& record : runs) {
    const Verified verified = verify(record, options);
    print(verified);
    list.push_back(json_of(verified));
    if (!verified.verdict.left_at) continue;
    ++count;
    if (left.empty()) left = sentence(verified);
  }
  if (options.json) print_json({{"runs", std::move(list)}});
  if (count == 0) return;
  throw Error(ErrorKind::diverged,
              count == 1 ? left : fmt::format("{}; and {} more", left, count - 1));
}

}  // namespace

void add_verify_command(CLI::App& program, Action& action) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command = program.add_subcommand(
      "verify", "holds training runs against the reference band of their preset");
  command->add_option("runs", options->runs, "run folders, or folders of them; finished or not")
      ->required()
      ->type_name("RUN");
  auto* band = command->add_option(
      "--band", options->band,
      "band's file, or a preset that has one (default: of the run's configuration)");
  command
      ->add_option("--make-band", options->make_band,
                   "write a band of these runs, at least three that differ in the seed alone")
      ->type_name("FILE")
      ->excludes(band);
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
