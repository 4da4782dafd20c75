// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "clr/data/dataset.h"
#include "clr/eval/features.h"

namespace clr {

/// A set of images and what a network makes of them.
struct EmbeddedImages {
  const Dataset& images;
  const Features& features;
};

/// Draws a PNG of a few images, spread evenly over `queries`, each in a row with its nearest
/// neighbours in `set` and their cosines. With labels, neighbours of the same class have a green
/// frame, others a red one and their class. When both are the same set, an image is not its own neighbour.
///
/// Throws:  Error{usage} in a build without OpenCV; Error{data} when an image cannot be decoded any
///          more; Error{output}.
void write_neighbor_sheet(const std::filesystem::path& path, const EmbeddedImages& queries,
                          const EmbeddedImages& set, const DataConfig& config);

/// The same of texts, as a text file: each query, and below it the beginnings of its neighbours with their
/// cosines. Throws:  Error{output}.
void write_neighbor_texts(const std::filesystem::path& path, const EmbeddedImages& queries,
                          const EmbeddedImages& set);

}  // namespace clr
