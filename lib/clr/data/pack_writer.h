// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "clr/core/batch.h"
#include "clr/data/dataset.h"

namespace clr {

/// jpeg: encoded anew, but for JPEGs that need no change; raw: RGB bytes; original: files as they
/// are.
enum class PackFormat { jpeg, raw, original };
constexpr auto enum_names(PackFormat) { return std::array{"jpeg", "raw", "original"}; }

struct PackOptions {
  PackFormat format = PackFormat::jpeg;
  std::int64_t side = 256;    ///< longer shorter sides are reduced to it; 0: none is
  std::int64_t quality = 90;  ///< of JPEGs
};

struct PackSummary {
  std::int64_t images = 0;  ///< in the pack
  std::int64_t reduced = 0;
  std::int64_t unchanged = 0;  ///< files that were taken as they are
  std::uint64_t bytes = 0;
  std::vector<BadImage> left_out;  ///< with data.on_error = skip
};

/// Writes all images of a set into one file that open_dataset() reads, in their order, with their
/// names, labels and classes. The same bytes for any number of threads.
///
/// Images are reduced as `resize` does it (triangle filter, antialiased), data.exif is carried out,
/// and 8-bit values are rounded to nearest. The file appears whole or not at all.
/// `watch` is told how many images are done.
/// Memory:  the index (40 bytes and the name an image), and four images a thread.
/// Throws:  Error{data} for an image that cannot be read, unless data.on_error = skip, and when
///          more than data.max_bad are left out; Error{config} for data.on_error = replace;
///          Error{output} naming what cannot be written; Error{stopped} after stop_requested().
PackSummary write_pack(const Dataset& dataset, const DataConfig& config, const PackOptions& options,
                       const std::filesystem::path& out, int threads,
                       const std::function<void(std::int64_t)>& watch = {});

}  // namespace clr
