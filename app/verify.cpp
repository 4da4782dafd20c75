// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
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

/// The band of the run's own configuration, of the run's images if there are several.
ReferenceBand fitting_band(const RunRecord& run) {
  std::optional<ReferenceBand> fitting;
  std::optional<std::pair<std::string, std::vector<ConfigDifference>>> nearest;
  for (const fs::path& file : known_bands()) {
    ReferenceBand band;
    try {
      band = read_reference_band(file);
    } catch (const Error& error) {
      log_warning("{}; it is left out", error.what());
      continue;
    }
    auto differences = config_differences(run.config, band);
    if (differences.empty()) {
      const bool same = of_same_images(run, band).value_or(false);
      if (!fitting || same) fitting = std::move(band);
      if (same) break;
    } else if (!nearest || differences.size() < nearest->second.size()) {
      nearest = {band.name, std::move(differences)};
    }
  }
  if (fitting) return *fitting;
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
  std::optional<bool> same_images;
  bool member = false;  ///< the band may have been made of it
  BandVerdict verdict;
};

Verified verify(const RunRecord& run, const VerifyOptions& options) {
  if (!run.training || run.config.empty()) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected a training run, got {}", run.folder.string(),
                            run.training ? run.problem : "an evaluation"));
  }
  Verified result{
      run, options.band.empty() ? fitting_band(run) : named_band(options.band), {}, {}, false, {}};
  const ReferenceBand& band = result.band;
  result.differences = config_differences(run.config, band);
  result.same_images = of_same_images(run, band);
  result.member = result.differences.empty() && result.same_images.value_or(true) &&
                  std::find(band.seeds.begin(), band.seeds.end(), run.seed) != band.seeds.end();
  result.verdict = verify_run(run, band);
  return result;
}

/// "18 epochs", "5 of 18 epochs, not finished".
std::string extent(const Verified& verified) {
  const RunRecord& run = verified.run;
  const auto epochs = verified.verdict.epochs;
  if (run.finished) return plural(epochs, "epoch");
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
  std::string text = fmt::format("{}: left the band of {} in epoch {} ({})", run,
                                 verified.band.name, *verdict.left_at + 1, names);
  const auto members = static_cast<std::int64_t>(verified.band.seeds.size());
  if (const auto within = verified.band.within_others; within && *within < members) {
    text += fmt::format("; of its own {} runs {} leave{} the band of the others", members,
                        members - *within, members - *within == 1 ? "s" : "");
  }
  return text;
}

void print(const Verified& verified) {
  const std::string run = verified.run.folder.string();
  const ReferenceBand& band = verified.band;
  for (const ConfigDifference& difference : verified.differences)
    log_warning("{}: {}", run, difference_text(difference));
  if (verified.same_images == false) {
    log_warning("{}: trained on other images than the {} runs of {}", run, band.seeds.size(),
                band.name);
  }
  if (verified.member) {
    log_warning("{}: {} has a run of seed {} in it already; a run of another seed says more", run,
                band.name, verified.run.seed);
  }
  if (!verified.verdict.missing.empty()) {
    log_warning("{}: not compared, for it has no such value: {}", run,
                fmt::join(verified.verdict.missing, ", "));
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
  // What is said of a run that has left is the command's error.
  if (!verified.verdict.left_at) log_info("{}", sentence(verified));
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
          {"reference_runs_within",
           verified.band.within_others ? Json(*verified.band.within_others) : Json()},
          {"seed_in_band", verified.member},
          {"epochs", verified.verdict.epochs},
          {"finished", verified.run.finished},
          {"problem", verified.run.problem},
          {"within", !verified.verdict.left_at},
          {"left_at", epoch(verified.verdict.left_at)},
          {"same_images", verified.same_images ? Json(*verified.same_images) : Json()},
          {"missing", verified.verdict.missing},
          {"differences", std::move(differences)},
          {"metrics", std::move(metrics)}};
}

void make_band(const std::vector<RunRecord>& runs, const VerifyOptions& options) {
  prepare_output_file(options.make_band);
  const ReferenceBand band = make_reference_band(runs, fs::path(options.make_band).stem().string());
  write_reference_band(band, options.make_band);
  Json result = {
      {"band", options.make_band}, {"runs", runs.size()}, {"metrics", band.metrics.size()}};
  log_info("{}: {} metrics of {} runs", options.make_band, band.metrics.size(), runs.size());
  if (band.within_others) {
    log_info("{} of the {} runs lie within the band of the others", *band.within_others,
             runs.size());
    result["within_others"] = *band.within_others;
  }
  if (options.json) print_json(result);
}

/// Judges all runs that can be judged before it fails for one that has left its band or cannot be.
void run(const VerifyOptions& options) {
  const std::vector<RunRecord> runs = read_run_records(options.runs);
  if (!options.make_band.empty()) {
    make_band(runs, options);
    return;
  }
  Json list = Json::array();
  std::vector<Error> left;
  std::vector<Error> unsuitable;
  for (const RunRecord& record : runs) {
    std::optional<Error> bad;
    try {
      const Verified verified = verify(record, options);
      print(verified);
      list.push_back(json_of(verified));
      if (verified.verdict.left_at) {
        left.emplace_back(ErrorKind::diverged, sentence(verified));
        bad = left.back();
      }
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::data) throw;
      unsuitable.push_back(error);
      list.push_back({{"run", record.folder.string()}, {"error", error.what()}});
      bad = error;
    }
    // The only one is the command's own error.
    if (bad && runs.size() > 1) log_warning("{}", bad->what());
  }
  if (options.json) print_json({{"runs", std::move(list)}});
  const std::vector<Error>& worst = left.empty() ? unsuitable : left;
  if (worst.empty()) return;
  const std::size_t others = left.size() + unsuitable.size() - 1;
  if (others == 0) throw worst.front();
  throw Error(worst.front().kind(), fmt::format("{}; and {} more", worst.front().what(), others));
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
