// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <tuple>

#include "clr/core/log.h"
#include "clr/core/parallel.h"
#include "clr/core/progress.h"
#include "clr/eval/image_match.h"
#include "clr/eval/knn.h"
#include "clr/eval/unit_features.h"
#include "clr/io/contact_sheet.h"
#include "clr/io/csv.h"
#include "clr/io/drawing.h"
#include "clr/io/file.h"
#include "clr/train/run_folder.h"
#include "data.h"
#include "feature_extraction.h"
#include "sheet_pictures.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

constexpr std::size_t kMostListed = 20;
constexpr std::size_t kMostDrawn = 40;

struct AuditOptions {
  FeatureOptions features;
  std::string first;
  std::string second;
  std::int64_t neighbors = 20;
  double threshold = 0.87;
  std::string sheet;
  std::string list;
  bool json = false;
};

/// A set with what its images are compared by.
struct AuditedSet {
  std::string path;
  std::shared_ptr<const Dataset> images;
  torch::Tensor features;             ///< [n, F], the same for an image and its mirror image
  std::vector<std::int64_t> indices;  ///< of the rows
  std::vector<Thumbnail> thumbnails;

  std::string name(std::int64_t row) const {
    return images->name(indices[static_cast<std::size_t>(row)]);
  }
  std::int64_t index(std::int64_t row) const { return indices[static_cast<std::size_t>(row)]; }
};

/// Two images that may be one; rows of their sets.
struct Pair {
  std::int64_t a = 0;
  std::int64_t b = 0;
  float cosine = 0.0F;
  ImageMatch match{};
};

/// The evaluation transform, and mirrored.
EvalConfig mirrored(EvalConfig config) {
  auto& chain = config.augment.views.front().chain;
  Json augment = dump_value(config.augment);
  Json& operations = augment["views"][0]["chain"];
  const bool normalizes = !chain.empty() && chain.back().type == "normalize";
  const auto place = operations.end() - (normalizes ? 1 : 0);
  const Json flip = {{"type", "horizontal_flip"}, {"p", 1.0}};
  operations.insert(place, flip);
  read_value(augment, Place("augment"), config.augment);
  return config;
}

AuditedSet open_set(const std::string& path, const FeatureExtractor& plain,
                    const FeatureExtractor& flipped, int threads) {
  AuditedSet set;
  set.path = path;
  set.images = open_images(path, plain.config().data, "clr data audit");
  const Features features = plain.extract(set.images, "features of " + path);
  const Features mirror = flipped.compute(set.images, "mirrored");
  TORCH_CHECK(torch::equal(features.indices, mirror.indices), "audit: other images when mirrored");
  set.features = unit_features(features.values, torch::kFloat32) +
                 unit_features(mirror.values, torch::kFloat32);
  const auto* rows = features.indices.const_data_ptr<std::int64_t>();
  set.indices.assign(rows, rows + features.indices.size(0));
  set.thumbnails.resize(set.indices.size());
  parallel_for(static_cast<std::int64_t>(set.indices.size()), threads, [&](std::int64_t row) {
    set.thumbnails[static_cast<std::size_t>(row)] =
        make_thumbnail(decoded(*set.images, set.index(row), plain.config().data));
  });
  return set;
}

/// Pairs of near features, each once. Within a set (both the same) an image is no pair with itself.
std::vector<Pair> candidates(const AuditedSet& first, const AuditedSet& second,
                             std::int64_t neighbors) {
  const bool within = &first == &second;
  const Neighbors found =
      nearest_neighbors(first.features, second.features, neighbors + (within ? 1 : 0));
  const auto* rows = found.rows.const_data_ptr<std::int64_t>();
  const auto* cosines = found.cosines.const_data_ptr<float>();
  const std::int64_t width = found.rows.size(1);
  std::map<std::pair<std::int64_t, std::int64_t>, float> pairs;
  for (std::int64_t i = 0; i < found.rows.numel(); ++i) {
    std::int64_t a = rows[i];
    std::int64_t b = i / width;
    if (within && a == b) continue;
    if (within && a > b) std::swap(a, b);
    pairs.emplace(std::make_pair(a, b), cosines[i]);
  }
  std::vector<Pair> list;
  for (const auto& [rows_of_pair, cosine] : pairs)
    list.push_back({rows_of_pair.first, rows_of_pair.second, cosine});
  return list;
}

/// The candidates that are one image, best first.
std::vector<Pair> near_duplicates(const AuditedSet& first, const AuditedSet& second,
                                  const AuditOptions& options, int threads,
                                  const std::string& title) {
  std::vector<Pair> pairs = candidates(first, second, options.neighbors);
  Progress progress(title, static_cast<std::int64_t>(pairs.size()));
  parallel_for(
      static_cast<std::int64_t>(pairs.size()), threads,
      [&](std::int64_t i) {
        Pair& pair = pairs[static_cast<std::size_t>(i)];
        pair.match = match_images(first.thumbnails[static_cast<std::size_t>(pair.a)],
                                  second.thumbnails[static_cast<std::size_t>(pair.b)]);
      },
      [&progress](std::int64_t done) { progress.update(done); });
  progress.finish();
  std::erase_if(pairs,
                [&options](const Pair& pair) { return pair.match.likeness() < options.threshold; });
  std::sort(pairs.begin(), pairs.end(), [](const Pair& x, const Pair& y) {
    return std::make_tuple(-x.match.likeness(), x.a, x.b) <
           std::make_tuple(-y.match.likeness(), y.a, y.b);
  });
  return pairs;
}

/// Rows of the first set to leave out: all but the first of each group of near-duplicates, and
/// all of a group of which any is in the second set too.
std::set<std::int64_t> superfluous(const AuditedSet& set, const std::vector<Pair>& within,
                                   const std::vector<Pair>& across) {
  std::vector<std::int64_t> group(set.indices.size());
  std::iota(group.begin(), group.end(), std::int64_t{0});
  const auto root = [&group](std::int64_t row) {
    while (group[static_cast<std::size_t>(row)] != row) row = group[static_cast<std::size_t>(row)];
    return row;
  };
  for (const Pair& pair : within) {
    const std::int64_t a = root(pair.a);
    const std::int64_t b = root(pair.b);
    // The smallest row of a group is its root.
    group[static_cast<std::size_t>(std::max(a, b))] = std::min(a, b);
  }
  std::set<std::int64_t> shared;
  for (const Pair& pair : across) shared.insert(root(pair.a));
  std::set<std::int64_t> rows;
  for (std::size_t i = 0; i < group.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    if (root(row) != row || shared.contains(root(row))) rows.insert(row);
  }
  return rows;
}

/// A list file without them; paths as seen from its folder.
void write_list(const fs::path& path, const AuditedSet& set,
                const std::set<std::int64_t>& left_out) {
  const fs::path folder = fs::absolute(path).parent_path();
  const bool labelled = set.images->labelled();
  std::string text = labelled ? "path,label\n" : "path\n";
  for (std::size_t i = 0; i < set.indices.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    if (left_out.contains(row)) continue;
    const fs::path file = fs::absolute(set.images->location(set.index(row)));
    text += csv_field(file.lexically_proximate(folder).string());
    if (labelled) text += "," + csv_field(class_of(*set.images, set.index(row)));
    text += "\n";
  }
  write_file_durably(path, text);
}

/// A list file names files: images inside of others have none.
void require_files(const Dataset& images, const std::string& path) {
  std::error_code ignored;
  if (fs::is_regular_file(images.location(0), ignored)) return;
  throw Error(ErrorKind::usage, fmt::format("--list: expected a set of image files, got {}, whose "
                                            "images lie in another file; leave --list out",
                                            path));
}

struct Section {
  const char* key;
  std::string title;
  const AuditedSet& first;
  const AuditedSet& second;
  std::vector<Pair> pairs;
};

Json pairs_json(const std::vector<Section>& sections) {
  Json list = Json::array();
  for (const Section& section : sections) {
    for (const Pair& pair : section.pairs) {
      list.push_back({{"in", section.key},
                      {"a", section.first.name(pair.a)},
                      {"b", section.second.name(pair.b)},
                      {"cosine", pair.cosine},
                      {"correlation", pair.match.correlation},
                      {"detail", pair.match.detail},
                      {"mirrored", pair.match.mirrored}});
    }
  }
  return list;
}

void print(const Section& section) {
  log_info("{}: {} near-duplicate {}", section.title,
           format_count(static_cast<std::int64_t>(section.pairs.size())),
           section.pairs.size() == 1 ? "pair" : "pairs");
  if (section.pairs.empty()) return;
  std::vector<std::vector<std::string>> table = {
      {"image", "and", "correlation", "of detail", "cosine"}};
  for (std::size_t i = 0; i < std::min(kMostListed, section.pairs.size()); ++i) {
    const Pair& pair = section.pairs[i];
    table.push_back({section.first.name(pair.a),
                     section.second.name(pair.b) + (pair.match.mirrored ? " (mirrored)" : ""),
                     fmt::format("{:.3f}", pair.match.correlation),
                     fmt::format("{:.3f}", pair.match.detail), fmt::format("{:.3f}", pair.cosine)});
  }
  print_table(table);
  if (section.pairs.size() > kMostListed)
    log_info("  ... and {} more", section.pairs.size() - kMostListed);
}

/// Two pairs a row.
void write_sheet(const fs::path& path, const std::vector<Section>& sections,
                 const DataConfig& config) {
  std::vector<SheetRow> rows;
  for (const Section& section : sections) {
    for (std::size_t i = 0; i < std::min(kMostDrawn, section.pairs.size()); ++i) {
      const Pair& pair = section.pairs[i];
      if (i % 2 == 0) rows.push_back({i == 0 ? section.title : "", {}});
      const auto picture = [&config](const AuditedSet& set, std::int64_t row, std::string caption) {
        return SheetPicture{decoded(*set.images, set.index(row), config), std::move(caption)};
      };
      rows.back().pictures.push_back(
          picture(section.first, pair.a, fs::path(section.first.name(pair.a)).filename().string()));
      rows.back().pictures.push_back(picture(
          section.second, pair.b,
          fmt::format("{:.3f}{}", pair.match.likeness(), pair.match.mirrored ? " mirrored" : "")));
      rows.back().pictures.back().frame = kSheetRed;
    }
  }
  if (rows.empty()) {
    log_info("{}: not written, for there is no pair to draw", path.string());
    return;
  }
  write_file_durably(path, encode_png(draw_contact_sheet(rows)));
  log_info("{}", path.string());
}

void run(const AuditOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  if (!options.sheet.empty()) prepare_sheet("--sheet", options.sheet);
  if (!options.list.empty()) {
    if (fs::path(options.list).extension() != ".csv")
      throw Error(ErrorKind::usage,
                  "--list " + options.list + ": expected a name that ends in .csv");
    prepare_output_file(options.list);
  }
  const ModelSource source = open_source(options.features);
  EvalConfig config = read_eval_config(evaluation_document(options.features, source));
  // One image that cannot be read is no reason to look at none.
  if (config.data.on_error != OnError::skip) config.data.on_error = OnError::skip;
  const FeatureExtractor plain(source, config, options.features);
  const FeatureExtractor flipped(plain.model(), plain.layer(), mirrored(plain.config()),
                                 plain.device(), plain.loader_threads());
  if (!options.list.empty())
    require_files(*open_images(options.first, config.data, "clr data audit"), options.first);
  if (!source.note.empty()) log_info("{}", source.note);
  const int threads = all_cores_unless(options.features.compute.threads);
  const AuditedSet first = open_set(options.first, plain, flipped, threads);
  AuditedSet second;
  if (!options.second.empty()) second = open_set(options.second, plain, flipped, threads);

  std::vector<Section> sections;
  const auto add = [&](const char* key, const AuditedSet& a, const AuditedSet& b) {
    const bool within = &a == &b;
    std::string title = within ? "within " + a.path : a.path + " and " + b.path;
    auto pairs = near_duplicates(a, b, options, threads, "comparing");
    sections.push_back({key, std::move(title), a, b, std::move(pairs)});
  };
  add("first", first, first);
  if (second.images) {
    add("second", second, second);
    add("both", first, second);
  }
  for (const Section& section : sections) print(section);
  const std::set<std::int64_t> left_out = superfluous(
      first, sections.front().pairs, second.images ? sections.back().pairs : std::vector<Pair>{});
  if (!options.sheet.empty()) write_sheet(options.sheet, sections, plain.config().data);
  if (!options.list.empty()) {
    write_list(options.list, first, left_out);
    log_info("{}: {} of {} images", options.list,
             format_count(static_cast<std::int64_t>(first.indices.size() - left_out.size())),
             format_count(static_cast<std::int64_t>(first.indices.size())));
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  log_info("done in {}", format_duration(seconds));
  if (options.json) {
    Json result = {{"first", {{"path", first.path}, {"images", first.indices.size()}}},
                   {"threshold", options.threshold},
                   {"pairs", pairs_json(sections)},
                   {"left_out", left_out.size()},
                   {"seconds", seconds}};
    if (second.images)
      result["second"] = {{"path", second.path}, {"images", second.indices.size()}};
    print_json(result);
  }
}

}  // namespace

void add_data_audit_command(CLI::App& data, Action& action) {
  auto options = std::make_shared<AuditOptions>();
  CLI::App* command = data.add_subcommand(
      "audit", "find near-duplicates (cropped, mirrored, encoded anew) by a model's features");
  options->features.add_to(*command);
  command->add_option("path", options->first, "images, as --data takes them")
      ->type_name("PATH")
      ->required();
  command->add_option("path2", options->second, "a second set: the test images, say")
      ->type_name("PATH2");
  command
      ->add_option("--neighbors", options->neighbors,
                   "nearest images that each is compared with, pixel by pixel")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command
      ->add_option("--threshold", options->threshold,
                   "least correlation of the colours and of the detail where two images overlap "
                   "best; 1 = the same pixels")
      ->check(CLI::Range(0.75, 1.0))
      ->capture_default_str();
  command->add_option("--sheet", options->sheet, "FILE.png: the pairs, side by side");
  command->add_option("--list", options->list,
                      "FILE.csv: the images of PATH without duplicates and without those of PATH2");
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
