// SPDX-License-Identifier: Apache-2.0
#include "embedding_map.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "clr/augment/pixel_load.h"
#include "clr/augment/resample.h"
#include "clr/config/json.h"
#include "clr/data/jpeg_codec.h"
#include "clr/eval/pca.h"
#include "clr/eval/unit_features.h"
#include "clr/io/file.h"
#include "sheet_pictures.h"

namespace clr {
namespace {

constexpr std::int64_t kMostPoints = 1000;
constexpr int kQuality = 80;
constexpr int kThumbnail = 32;
constexpr int kColumns = 50;

/// Draws an image into a square of the sheet.
void place_thumbnail(const Image& image, int place, Image& sheet) {
  Planes planes;
  load_pixels(image, {0, 0, image.width, image.height}, planes);
  resample(planes, {kThumbnail, kThumbnail}, Interpolation::bilinear);
  const int left = place % kColumns * kThumbnail;
  const int top = place / kColumns * kThumbnail;
  for (int y = 0; y < kThumbnail; ++y) {
    for (int x = 0; x < kThumbnail; ++x) {
      const auto at = static_cast<std::size_t>(3 * ((top + y) * sheet.width + left + x));
      for (int c = 0; c < 3; ++c) {
        const float value = planes.plane(c)[y * kThumbnail + x];
        sheet.pixels[at + static_cast<std::size_t>(c)] =
            static_cast<std::uint8_t>(std::lround(255.0F * value));
      }
    }
  }
}

}  // namespace

void write_embedding_map(const std::filesystem::path& folder, const EmbeddedImages& images,
                         const DataConfig& config) {
  const Features& features = images.features;
  const std::int64_t total = features.values.size(0);
  const std::int64_t count = std::min(total, kMostPoints);
  const torch::Tensor rows = torch::arange(count).mul(total).div(count, "floor");
  const PlanarMap map =
      planar_pca(unit_features(features.values.index_select(0, rows), torch::kFloat64));

  Image sheet;
  sheet.width = kColumns * kThumbnail;
  sheet.height = static_cast<int>((count + kColumns - 1) / kColumns) * kThumbnail;
  sheet.pixels.resize(3 * static_cast<std::size_t>(sheet.width) *
                      static_cast<std::size_t>(sheet.height));
  Json x = Json::array();
  Json y = Json::array();
  Json labels = Json::array();
  Json names = Json::array();
  // Four digits: more than a screen has.
  const auto rounded = [](double value) { return std::round(value * 1e4) / 1e4; };
  for (std::int64_t i = 0; i < count; ++i) {
    const auto index = features.indices[rows[i]].item<std::int64_t>();
    x.push_back(rounded(map.points[i][0].item<double>()));
    y.push_back(rounded(map.points[i][1].item<double>()));
    labels.push_back(images.images.label(index));
    names.push_back(images.images.name(index));
    place_thumbnail(decoded(images.images, index, config), static_cast<int>(i), sheet);
  }
  const Json content = {{"method", "PCA"},
                        {"shares", map.shares},
                        {"images", total},
                        {"classes", images.images.classes()},
                        {"x", std::move(x)},
                        {"y", std::move(y)},
                        {"label", std::move(labels)},
                        {"name", std::move(names)},
                        {"thumbnail_size", kThumbnail},
                        {"thumbnail_columns", kColumns}};
  const auto jpeg = encode_jpeg(sheet, kQuality);
  write_file_durably(folder / "map_thumbnails.jpg",
                     {reinterpret_cast<const char*>(jpeg.data()), jpeg.size()});
  write_file_durably(folder / "map.json", dump_text(content) + "\n");
}

}  // namespace clr
