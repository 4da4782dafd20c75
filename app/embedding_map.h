// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "neighbor_sheet.h"

namespace clr {

/// Writes a map of features in the plane, for the report's page: FOLDER/map.json {"method", "shares",
/// "classes", "x", "y", "label", "name", "thumbnail_size", "thumbnail_columns"} and
/// FOLDER/map_thumbnails.jpg, the images in the same order, row by row. Of more than 1,000 images
/// that many, evenly chosen. By PCA of rows of length 1. Also an event file for TensorBoard, whose
/// picture "map" has the images where the map has their points.
///
/// Throws: Error{output}.
void write_embedding_map(const std::filesystem::path& folder, const EmbeddedImages& images,
                         const DataConfig& config);

}  // namespace clr
