// SPDX-License-Identifier: Apache-2.0
#include "neighbor_sheet.h"

#include <fmt/format.h>
#include <torch/types.h>

#include <algorithm>
#include <utility>

#include "clr/data/text_dataset.h"
#include "clr/eval/knn.h"
#include "clr/io/contact_sheet.h"
#include "clr/io/drawing.h"
#include "clr/io/file.h"
#include "sheet_pictures.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

constexpr std::int64_t kQueries = 10;
constexpr std::int64_t kNeighbors = 7;

/// A query and what lies nearest to it.
struct NeighborRow {
  std::int64_t query = 0;
  std::vector<std::pair<std::int64_t, float>> neighbors;  ///< dataset index and cosine
};

/// Of some queries, nearest first; an item is no neighbour of itself.
std::vector<NeighborRow> neighbor_rows(const EmbeddedImages& queries, const EmbeddedImages& set) {
  const bool same = &queries.features == &set.features;
  const std::int64_t total = queries.features.values.size(0);
  const std::int64_t count = std::min(kQueries, total);
  std::vector<std::int64_t> chosen;
  // The middles of `count` equal parts: in a labelled folder of balanced classes one of each.
  for (std::int64_t i = 0; i < count; ++i) chosen.push_back((2 * i + 1) * total / (2 * count));
  const Neighbors found = nearest_neighbors(
      set.features.values, queries.features.values.index_select(0, torch::tensor(chosen)),
      kNeighbors + (same ? 1 : 0));
  const auto* asked = queries.features.indices.const_data_ptr<std::int64_t>();
  const auto* known = set.features.indices.const_data_ptr<std::int64_t>();
  std::vector<NeighborRow> rows;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = chosen[static_cast<std::size_t>(i)];
    NeighborRow result{asked[row], {}};
    for (std::int64_t j = 0; j < found.rows.size(1); ++j) {
      const auto neighbor = found.rows[i][j].item<std::int64_t>();
      if (same && neighbor == row) continue;
      if (static_cast<std::int64_t>(result.neighbors.size()) == kNeighbors) break;
      result.neighbors.emplace_back(known[neighbor], found.cosines[i][j].item<float>());
    }
    rows.push_back(std::move(result));
  }
  return rows;
}

/// A text's beginning on one line.
std::string beginning(const Dataset& texts, std::int64_t index) {
  constexpr std::size_t kMost = 120;
  std::string line(as_texts(texts)->text(index, 0));
  for (char& character : line) {
    if (static_cast<unsigned char>(character) < 0x20U || character == 0x7F) character = ' ';
  }
  if (line.size() <= kMost) return line;
  std::size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0U) == 0x80U) --end;
  return line.substr(0, end) + " ...";
}

}  // namespace

void write_neighbor_texts(const fs::path& path, const EmbeddedImages& queries,
                          const EmbeddedImages& set) {
  std::string text;
  for (const NeighborRow& row : neighbor_rows(queries, set)) {
    text += fmt::format("{}{}\n",
                        class_of(queries.images, row.query).empty()
                            ? ""
                            : "[" + class_of(queries.images, row.query) + "] ",
                        beginning(queries.images, row.query));
    for (const auto& [index, cosine] : row.neighbors) {
      const std::string name = class_of(set.images, index);
      text += fmt::format("  {:5.2f}  {}{}\n", cosine, name.empty() ? "" : "[" + name + "] ",
                          beginning(set.images, index));
    }
    text += "\n";
  }
  write_file_durably(path, text);
}

void write_neighbor_sheet(const fs::path& path, const EmbeddedImages& queries,
                          const EmbeddedImages& set, const DataConfig& config) {
  std::vector<SheetRow> rows;
  for (const NeighborRow& found : neighbor_rows(queries, set)) {
    const std::string own = class_of(queries.images, found.query);
    SheetRow sheet_row;
    sheet_row.pictures.push_back({decoded(queries.images, found.query, config),
                                  caption_of(queries.images, found.query), kSheetBlue});
    for (const auto& [index, cosine] : found.neighbors) {
      SheetPicture picture{decoded(set.images, index, config), fmt::format("{:.2f}", cosine)};
      const bool same_class = !own.empty() && class_of(set.images, index) == own;
      if (!same_class) picture.caption += " " + caption_of(set.images, index);
      if (!own.empty()) picture.frame = same_class ? kSheetGreen : kSheetRed;
      sheet_row.pictures.push_back(std::move(picture));
    }
    rows.push_back(std::move(sheet_row));
  }
  write_file_durably(path, encode_png(draw_contact_sheet(rows)));
}

}  // namespace clr
