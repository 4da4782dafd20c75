// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>

#include "clr/core/log.h"
#include "clr/data/sources.h"
#include "clr/eval/knn.h"
#include "clr/io/contact_sheet.h"
#include "clr/io/drawing.h"
#include "clr/io/file.h"
#include "feature_extraction.h"
#include "sheet_pictures.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

struct QueryOptions {
  FeatureOptions features;
  std::string data;
  std::vector<std::string> images;
  std::int64_t k = 10;
  std::string output;
  bool json = false;
};

/// The images that are asked about, as a set.
std::shared_ptr<const Dataset> asked_images(const std::vector<std::string>& paths) {
  auto images = std::make_shared<FileDataset>(".");
  for (const std::string& path : paths) {
    std::error_code error;
    if (!fs::is_regular_file(path, error)) {
      throw Error(ErrorKind::data, path + ": expected an image file, got " +
                                       (fs::exists(path, error) ? "something else" : "nothing"));
    }
    images->add(path, -1);
  }
  return images;
}

Json neighbors_of(const Dataset& set, const Features& known, const Neighbors& found,
                  std::int64_t row) {
  Json list = Json::array();
  for (std::int64_t j = 0; j < found.rows.size(1); ++j) {
    const auto index = known.indices[found.rows[row][j]].item<std::int64_t>();
    Json neighbor = {{"name", set.name(index)}, {"cosine", found.cosines[row][j].item<float>()}};
    if (const std::string label = class_of(set, index); !label.empty()) neighbor["class"] = label;
    list.push_back(std::move(neighbor));
  }
  return list;
}

void write_sheet(const fs::path& path, const Dataset& asked, const Features& queries,
                 const Dataset& set, const Features& known, const Neighbors& found,
                 const DataConfig& config) {
  std::vector<SheetRow> rows;
  for (std::int64_t i = 0; i < found.rows.size(0); ++i) {
    const auto query = queries.indices[i].item<std::int64_t>();
    SheetRow row{asked.name(query), {{decoded(asked, query, config), "", kSheetBlue}}};
    for (std::int64_t j = 0; j < found.rows.size(1); ++j) {
      const auto index = known.indices[found.rows[i][j]].item<std::int64_t>();
      row.pictures.push_back(
          {decoded(set, index, config),
           fmt::format("{:.2f} {}", found.cosines[i][j].item<float>(), caption_of(set, index))});
    }
    rows.push_back(std::move(row));
  }
  write_file_durably(path, encode_png(draw_contact_sheet(rows)));
}

void run(const QueryOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  if (!options.output.empty()) prepare_sheet("--output", options.output);
  const auto asked = asked_images(options.images);
  const ModelSource source = open_source(options.features);
  const FeatureExtractor extractor(
      source, read_eval_config(evaluation_document(options.features, source)), options.features);
  const DataConfig& config = extractor.config().data;
  const std::shared_ptr<const Dataset> set = open_images(options.data, config, "clr query");
  if (!source.note.empty()) log_info("{}", source.note);
  // The few images first: what is wrong with them is then said at once.
  const Features queries = extractor.compute(asked, "images asked about");
  const Features known = extractor.extract(set, "features");
  const Neighbors found = nearest_neighbors(known.values, queries.values, options.k);

  Json results = Json::array();
  std::vector<std::vector<std::string>> table = {{"image", "nearest", "class", "cosine"}};
  for (std::int64_t i = 0; i < found.rows.size(0); ++i) {
    const std::string name = asked->name(queries.indices[i].item<std::int64_t>());
    Json neighbors = neighbors_of(*set, known, found, i);
    for (std::size_t j = 0; j < neighbors.size(); ++j) {
      table.push_back({j == 0 ? name : "", neighbors[j]["name"].get<std::string>(),
                       neighbors[j].value("class", "-"),
                       fmt::format("{:.3f}", neighbors[j]["cosine"].get<double>())});
    }
    results.push_back({{"image", name}, {"neighbors", std::move(neighbors)}});
  }
  print_table(table);
  if (!options.output.empty()) {
    write_sheet(options.output, *asked, queries, *set, known, found, config);
    log_info("{}", options.output);
  }
  if (options.json) {
    print_json({{"images", known.values.size(0)},
                {"queries", std::move(results)},
                {"encoder_sha256", extractor.encoder_sha256()},
                {"seconds",
                 std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()}});
  }
}

}  // namespace

void add_query_command(CLI::App& program, Action& action) {
  auto options = std::make_shared<QueryOptions>();
  CLI::App* command =
      program.add_subcommand("query", "find the images of a set that are most like some images");
  options->features.add_to(*command);
  command->add_option("--data", options->data, "the set that is searched")->required();
  command->add_option("images", options->images, "image files to find the like of")
      ->type_name("IMAGE")
      ->required();
  command->add_option("--k", options->k, "neighbours of each image")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--output", options->output, "FILE.png: each image beside its neighbours");
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
