// SPDX-License-Identifier: Apache-2.0
#include "embedding_map.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "clr/augment/pixel_load.h"
#include "clr/augment/resample.h"
#include "clr/config/json.h"
#include "clr/data/jpeg_codec.h"
#include "clr/eval/pca.h"
#include "clr/eval/unit_features.h"
#include "clr/io/file.h"
#include "clr/io/tensorboard.h"
#include "sheet_pictures.h"

namespace clr {
namespace {

constexpr std::int64_t kMostPoints = 1000;
constexpr int kQuality = 80;
constexpr int kThumbnail = 32;
constexpr int kColumns = 50;
constexpr int kPictureSide = 1024;

/// The upper left pixel of a thumbnail.
struct Corner {
  int x = 0;
  int y = 0;
};

/// Where the sheet has the image of a row.
Corner place_in_sheet(int row) {
  return {row % kColumns * kThumbnail, row / kColumns * kThumbnail};
}

void copy_thumbnail(const Image& source, Corner from, Image& target, Corner to) {
  const auto offset = [](const Image& image, Corner corner, int row) {
    return static_cast<std::ptrdiff_t>(3) * ((corner.y + row) * image.width + corner.x);
  };
  for (int row = 0; row < kThumbnail; ++row) {
    std::copy_n(source.pixels.begin() + offset(source, from, row), 3 * kThumbnail,
                target.pixels.begin() + offset(target, to, row));
  }
}

/// An image as a thumbnail.
Image thumbnail_of(const Image& image) {
  Planes planes;
  load_pixels(image, {0, 0, image.width, image.height}, planes);
  resample(planes, {kThumbnail, kThumbnail}, Interpolation::bilinear);
  Image thumbnail;
  thumbnail.width = thumbnail.height = kThumbnail;
  for (int i = 0; i < kThumbnail * kThumbnail; ++i) {
    for (int c = 0; c < 3; ++c) {
      const auto value = std::lround(255.0F * planes.plane(c)[i]);
      thumbnail.pixels.push_back(static_cast<std::uint8_t>(value));
    }
  }
  return thumbnail;
}

std::string jpeg_of(const Image& image) {
  const auto bytes = encode_jpeg(image, kQuality);
  return {bytes.begin(), bytes.end()};
}

Image blank(int width, int height, std::uint8_t gray) {
  Image image;
  image.width = width;
  image.height = height;
  image.pixels.assign(3 * static_cast<std::size_t>(width) * static_cast<std::size_t>(height), gray);
  return image;
}

/// The thumbnails where the map has them, later ones over earlier ones.
Image draw_map(const Image& sheet, const torch::Tensor& points) {
  Image picture = blank(kPictureSide, kPictureSide, 255);
  const torch::Tensor low = std::get<0>(points.min(0));
  const torch::Tensor range = (std::get<0>(points.max(0)) - low).clamp_min(1e-12);
  const torch::Tensor places =
      ((points - low) / range * (kPictureSide - kThumbnail)).round().to(torch::kInt).contiguous();
  const auto place = places.accessor<int, 2>();
  for (int i = 0; i < places.size(0); ++i) {
    // The second axis points upwards.
    copy_thumbnail(sheet, place_in_sheet(i), picture,
                   {place[i][0], kPictureSide - kThumbnail - place[i][1]});
  }
  return picture;
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

  Image sheet = blank(kColumns * kThumbnail,
                      static_cast<int>((count + kColumns - 1) / kColumns) * kThumbnail, 0);
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
    copy_thumbnail(thumbnail_of(decoded(images.images, index, config)), {}, sheet,
                   place_in_sheet(static_cast<int>(i)));
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
  write_file_durably(folder / "map_thumbnails.jpg", jpeg_of(sheet));
  write_file_durably(folder / "map.json", dump_text(content) + "\n");
  TensorBoardWriter events(folder, 0);
  events.image("map", 0, jpeg_of(draw_map(sheet, map.points)), kPictureSide, kPictureSide);
  events.flush();
}

}  // namespace clr
