// SPDX-License-Identifier: Apache-2.0
#include "neighbor_sheet.h"

#include <fmt/format.h>
#include <torch/types.h>

#include <algorithm>

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

}  // namespace

void write_neighbor_sheet(const fs::path& path, const EmbeddedImages& queries,
                          const EmbeddedImages& set, const DataConfig& config) {
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
  std::vector<SheetRow> rows;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = chosen[static_cast<std::size_t>(i)];
    const std::int64_t query = asked[row];
    const std::string own = class_of(queries.images, query);
    SheetRow sheet_row;
    sheet_row.pictures.push_back(
        {decoded(queries.images, query, config), caption_of(queries.images, query), kSheetBlue});
    std::int64_t shown = 0;
    for (std::int64_t j = 0; j < found.rows.size(1) && shown < kNeighbors; ++j) {
      const auto neighbor = found.rows[i][j].item<std::int64_t>();
      if (same && neighbor == row) continue;
      const std::int64_t index = known[neighbor];
      SheetPicture picture{decoded(set.images, index, config),
                           fmt::format("{:.2f}", found.cosines[i][j].item<float>())};
      const bool same_class = !own.empty() && class_of(set.images, index) == own;
      if (!same_class) picture.caption += " " + caption_of(set.images, index);
      if (!own.empty()) picture.frame = same_class ? kSheetGreen : kSheetRed;
      sheet_row.pictures.push_back(std::move(picture));
      ++shown;
    }
    rows.push_back(std::move(sheet_row));
  }
  write_file_durably(path, encode_png(draw_contact_sheet(rows)));
}

}  // namespace clr
