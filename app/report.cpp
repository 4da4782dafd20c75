// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>

#include "clr/core/log.h"
#include "clr/io/file.h"
#include "clr/train/paired_results.h"
#include "clr/train/run_folder.h"
#include "clr/train/run_report.h"
#include "command.h"
#include "report_page.h"

namespace clr {
namespace {

struct ReportOptions {
  std::vector<std::string> runs;
  std::string format = "text";
  bool json = false;
  std::string output;
  std::string chart;
  std::string rows;
  std::string columns;
  std::string value = "linear";
};

using Row = std::vector<std::string>;

std::string lines_of(const std::vector<Row>& rows) {
  std::string text;
  for (const std::string& line : align_table(rows)) text += line + "\n";
  return text;
}

std::string number_text(const std::string& metric, double value) {
  if (is_accuracy(metric)) return fmt::format("{:.1f}", 100 * value);
  return metric == "images_per_s" ? fmt::format("{:.0f}", value) : fmt::format("{:.4f}", value);
}

std::string cell_text(const ReportGroup& group, const std::string& metric) {
  const auto found = group.metrics.find(metric);
  if (found == group.metrics.end()) return "-";
  const Summary& summary = found->second.summary;
  std::string text = number_text(metric, summary.mean);
  if (found->second.values.size() > 1) text += " ± " + number_text(metric, summary.deviation);
  return text;
}

std::string names_of(const RunReport& report, const ReportGroup& group) {
  const std::string name = report.runs[group.runs[0]].folder.string();
  return group.runs.size() == 1 ? name : fmt::format("{} +{}", name, group.runs.size() - 1);
}

/// "temperature 0.1, epochs 5": a group in words.
std::string describe(const RunReport& report, const ReportGroup& group) {
  if (report.keys.empty() || !report.keys_tell_apart) return names_of(report, group);
  std::string text;
  for (std::size_t k = 0; k < report.keys.size(); ++k) {
    if (group.values[k].is_null()) continue;
    text += (text.empty() ? "" : ", ") + report.keys[k].head + " " + value_text(group.values[k]);
  }
  return text;
}

std::string best_line(const RunReport& report) {
  const ReportGroup& group = report.groups[*report.best];
  const MetricSummary& metric = group.metrics.at(report.judged_by);
  const auto& [low, high] = metric.summary.ci95;
  if (metric.values.size() == 1 && low == high) {
    // As of a mean over several data sets.
    return fmt::format("* best {}: {} with {}\n  (of one run; its evaluation states no interval)\n",
                       metric_title(report.judged_by), percent(metric.summary.mean),
                       describe(report, group));
  }
  return fmt::format(
      "* best {}: {} with {}\n  (95 % interval {})\n", metric_title(report.judged_by),
      percent_interval(metric.summary.mean, low, high), describe(report, group),
      metric.values.size() == 1
          ? std::string("of one run, by its test images")
          : fmt::format("of the mean over {} seeds, Student's t", metric.values.size()));
}

/// A heading over several lines, a word each, so that columns are as wide as what they hold.
std::vector<Row> wrapped(const Row& heading) {
  std::vector<Row> columns;
  std::size_t height = 1;
  for (const std::string& title : heading) {
    Row& words = columns.emplace_back();
    std::istringstream stream(title);
    // A unit stays with its quantity.
    for (std::string word; stream >> word;) {
      if (word == "%" && !words.empty()) {
        words.back() += " %";
      } else {
        words.push_back(word);
      }
    }
    height = std::max(height, words.size());
  }
  std::vector<Row> lines(height, Row(heading.size()));
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const std::size_t first = height - columns[c].size();
    for (std::size_t i = 0; i < columns[c].size(); ++i) lines[first + i][c] = columns[c][i];
  }
  return lines;
}

std::string text_of(const RunReport& report) {
  const bool named = report.keys.empty() || !report.keys_tell_apart;
  const auto has = [&report](const char* metric) {
    return std::find(report.metrics.begin(), report.metrics.end(), metric) != report.metrics.end();
  };
  std::vector<std::string> metrics = report.metrics;
  // A test says more than the check during training.
  if (has("knn_top1")) std::erase(metrics, "training_knn_top1");

  Row heading{""};
  if (named) heading.emplace_back("run");
  for (const ReportKey& key : report.keys) heading.push_back(key.head);
  heading.emplace_back("seeds");
  for (const std::string& metric : metrics)
    heading.push_back(metric_title(metric) + (is_accuracy(metric) ? " %" : ""));
  std::vector<Row> rows = wrapped(heading);
  for (std::size_t i = 0; i < report.groups.size(); ++i) {
    const ReportGroup& group = report.groups[i];
    Row& row = rows.emplace_back(Row{report.best == i ? "*" : ""});
    if (named) row.push_back(names_of(report, group));
    for (const Json& value : group.values) row.push_back(value_text(value));
    row.push_back(std::to_string(group.runs.size()));
    for (const std::string& metric : metrics) row.push_back(cell_text(group, metric));
  }
  std::string text = lines_of(rows);
  if (report.best) text += best_line(report);

  std::string problems;
  std::int64_t count = 0;
  for (const RunRecord& run : report.runs) {
    if (run.problem.empty()) continue;
    problems += fmt::format("  {}: {}\n", run.folder.string(), run.problem);
    ++count;
  }
  if (count > 0) text += fmt::format("{} not complete:\n{}", plural(count, "run"), problems);
  return text;
}

std::string tsv_field(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\t' || c == '\n' || c == '\r'; }, ' ');
  return text;
}

/// Not cut off, unlike in a table for people.
std::string full_text(const Json& value) {
  if (value.is_null()) return "";
  return tsv_field(value.is_string() ? value.get<std::string>() : dump_text(value));
}

std::string tsv_line(const Row& fields) { return fmt::format("{}\n", fmt::join(fields, "\t")); }

std::string tsv_of(const RunReport& report) {
  Row heading;
  for (const ReportKey& key : report.keys) heading.push_back(key.head);
  heading.insert(heading.end(), {"runs", "seeds", "best"});
  for (const std::string& metric : report.metrics) {
    for (const char* part : {"", "_deviation", "_low", "_high", "_runs"})
      heading.push_back(metric + part);
  }
  heading.insert(heading.end(), {"folders", "problem"});
  std::string text = tsv_line(heading);
  for (std::size_t i = 0; i < report.groups.size(); ++i) {
    const ReportGroup& group = report.groups[i];
    Row row;
    for (const Json& value : group.values) row.push_back(full_text(value));
    Row seeds;
    Row folders;
    Row problems;
    for (const std::size_t member : group.runs) {
      const RunRecord& run = report.runs[member];
      seeds.push_back(std::to_string(run.seed));
      folders.push_back(tsv_field(run.folder.string()));
      if (!run.problem.empty()) problems.push_back(tsv_field(run.problem));
    }
    row.push_back(std::to_string(group.runs.size()));
    row.push_back(fmt::format("{}", fmt::join(seeds, " ")));
    row.emplace_back(report.best == i ? "1" : "0");
    for (const std::string& metric : report.metrics) {
      const auto found = group.metrics.find(metric);
      if (found == group.metrics.end()) {
        row.insert(row.end(), {"", "", "", "", "0"});
        continue;
      }
      const auto& [values, summary] = found->second;
      for (const double number :
           {summary.mean, summary.deviation, summary.ci95[0], summary.ci95[1]}) {
        row.push_back(fmt::format("{}", number));
      }
      row.push_back(std::to_string(values.size()));
    }
    row.push_back(fmt::format("{}", fmt::join(folders, "; ")));
    row.push_back(fmt::format("{}", fmt::join(problems, "; ")));
    text += tsv_line(row);
  }
  for (const RunRecord& run : report.runs) {
    if (run.finished) continue;
    Row row;
    for (const ReportKey& key : report.keys) {
      const Json::json_pointer place(key.pointer);
      row.push_back(run.config.contains(place) ? full_text(run.config.at(place)) : "");
    }
    row.insert(row.end(), {"0", std::to_string(run.seed), "0"});
    row.insert(row.end(), 5 * report.metrics.size(), "");
    row.push_back(tsv_field(run.folder.string()));
    row.push_back(tsv_field(run.problem));
    text += tsv_line(row);
  }
  return text;
}

Json json_of(const RunReport& report) {
  Json keys = Json::array();
  for (const ReportKey& key : report.keys)
    keys.push_back({{"pointer", key.pointer}, {"head", key.head}});
  Json groups = Json::array();
  for (const ReportGroup& group : report.groups) {
    Json values = Json::object();
    for (std::size_t k = 0; k < report.keys.size(); ++k)
      values[report.keys[k].pointer] = group.values[k];
    Json runs = Json::array();
    for (const std::size_t member : group.runs) {
      const RunRecord& run = report.runs[member];
      runs.push_back({{"run", run.folder.string()}, {"seed", run.seed}});
    }
    Json metrics = Json::object();
    for (const std::string& metric : report.metrics) {
      const auto found = group.metrics.find(metric);
      if (found == group.metrics.end()) continue;
      const auto& [numbers, summary] = found->second;
      metrics[metric] = {{"mean", summary.mean},
                         {"deviation", summary.deviation},
                         {"ci95", summary.ci95},
                         {"values", numbers}};
    }
    groups.push_back({{"values", std::move(values)},
                      {"runs", std::move(runs)},
                      {"metrics", std::move(metrics)}});
  }
  Json incomplete = Json::array();
  for (const RunRecord& run : report.runs) {
    if (!run.problem.empty()) {
      incomplete.push_back(
          {{"run", run.folder.string()}, {"finished", run.finished}, {"problem", run.problem}});
    }
  }
  Json json = {{"keys", std::move(keys)},
               {"groups", std::move(groups)},
               {"incomplete", std::move(incomplete)}};
  if (report.best) json["best"] = {{"metric", report.judged_by}, {"group", *report.best}};
  return json;
}

/// Of two runs or evaluations that were named: which is better on the same test images.
std::optional<PairedResults> paired(const RunReport& report) {
  if (report.runs.size() != 2) return std::nullopt;
  try {
    return compare_predictions(report.runs[0].folder, report.runs[1].folder);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) throw;
    PairedResults none;
    none.problem = error.what();
    return none;
  }
}

std::string paired_line(const RunReport& report, const PairedResults& paired) {
  if (!paired.problem.empty()) return "no paired test: " + paired.problem + "\n";
  return paired.str(report.runs[0].folder.string(), report.runs[1].folder.string()) + "\n";
}

Json paired_json(const PairedResults& paired) {
  if (!paired.problem.empty()) return {{"problem", paired.problem}};
  const PairedCounts& counts = paired.counts;
  return {{"first", paired.first.string()},
          {"second", paired.second.string()},
          {"images", counts.total()},
          {"both_right", counts.both},
          {"first_only", counts.first_only},
          {"second_only", counts.second_only},
          {"neither", counts.neither},
          {"difference", paired.comparison.difference},
          {"ci95", paired.comparison.ci95},
          {"mcnemar_p", paired.comparison.p_value},
          {"images_needed", paired.comparison.images_needed}};
}

void write_chart(const RunReport& report, const ReportOptions& options) {
  const std::size_t row = find_key(report, options.rows, "--rows");
  const std::size_t column = find_key(report, options.columns, "--columns");
  if (row == column) {
    throw Error(ErrorKind::usage, fmt::format("--columns: expected another key than --rows, got {}",
                                              options.columns));
  }
  const std::string metric = find_metric(report, options.value, "--value");
  std::vector<std::string> others;
  for (std::size_t k = 0; k < report.keys.size(); ++k) {
    if (k != row && k != column) others.push_back(report.keys[k].head);
  }
  if (!others.empty()) {
    log_warning("{}: each cell is a mean over {} too", options.chart, fmt::join(others, ", "));
  }
  write_file_durably(options.chart, heat_map_svg(make_heat_map(report, row, column, metric)));
}

bool is_page(const std::string& output) {
  std::string ending = std::filesystem::path(output).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending == ".html" || ending == ".htm";
}

void run(const ReportOptions& options) {
  const std::string format = options.json ? "json" : options.format;
  const int charting = !options.chart.empty() + !options.rows.empty() + !options.columns.empty();
  if (charting != 0 && charting != 3) {
    throw Error(ErrorKind::usage,
                fmt::format("--chart: expected FILE together with --rows KEY and --columns KEY, "
                            "got {} of the three",
                            charting == 1 ? "one" : "two"));
  }
  const bool page = is_page(options.output);
  if (page && format != "text") {
    throw Error(ErrorKind::usage, fmt::format("--output {}: expected no --{} for a page, which has "
                                              "a form of its own; give one of the two",
                                              options.output, options.json ? "json" : "format"));
  }
  const RunReport report = make_report(read_run_records(options.runs));
  if (!options.output.empty()) prepare_output_file(options.output);
  if (report.groups.empty() && !page) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected a finished run, got {} not complete ({}: {})",
                            options.runs[0], plural(std::ssize(report.runs), "run"),
                            report.runs[0].folder.string(), report.runs[0].problem));
  }
  for (const std::string& warning : report.warnings) log_warning("{}", warning);
  if (!options.chart.empty()) write_chart(report, options);
  const auto comparison = format == "tsv" ? std::nullopt : paired(report);
  std::string text;
  if (page) {
    text = report_page(report, json_of(report), comparison);
  } else if (format == "json") {
    Json json = json_of(report);
    if (comparison) json["paired"] = paired_json(*comparison);
    text = dump_text(json, 2) + "\n";
  } else {
    text = format == "tsv" ? tsv_of(report) : text_of(report);
    if (comparison) text += paired_line(report, *comparison);
  }
  if (options.output.empty()) {
    std::cout << text << std::flush;
  } else {
    write_file_durably(options.output, text);
    log_info("{}: {}", plural(std::ssize(report.runs), "run"), options.output);
  }
}

}  // namespace

void add_report_command(CLI::App& program, Action& action) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command =
      program.add_subcommand("report", "several runs side by side: a table, or a page to look at");
  command
      ->add_option("runs", options->runs,
                   "run folders, evaluation folders, or folders of them (a sweep's)")
      ->required()
      ->type_name("RUN");
  command->add_option("--format", options->format, "text, tsv or json")
      ->check(CLI::IsMember({"text", "tsv", "json"}))
      ->capture_default_str();
  command->add_flag("--json", options->json, "the same as --format json");
  command->add_option("--output", options->output,
                      "file for the report (default: printed); FILE.html: one page with curves, "
                      "pictures and all there is");
  command->add_option("--chart", options->chart, "also draw a heat map to this .svg file");
  command->add_option("--rows", options->rows, "key of the heat map's rows");
  command->add_option("--columns", options->columns, "key of the heat map's columns");
  command
      ->add_option("--value", options->value,
                   "metric of the heat map: linear, knn, loss, images_per_s, ...")
      ->capture_default_str();
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
