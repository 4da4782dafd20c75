// SPDX-License-Identifier: Apache-2.0
// Images of a set as pictures of a contact sheet.
#pragma once

#include <filesystem>
#include <string>

#include "clr/core/image.h"
#include "clr/data/dataset.h"

namespace clr {

/// Finds out before the work whether a sheet can be written to `path`.
///
/// Throws:  Error{usage} for a name that does not end in .png, or in a build without OpenCV;
///          Error{output}. `option` names what asked for it: "--sheet".
void prepare_sheet(const std::string& option, const std::filesystem::path& path);

/// The class of an image; "" where it has none.
std::string class_of(const Dataset& images, std::int64_t index);

/// What stands below a picture: its class, or where there is none its file.
std::string caption_of(const Dataset& images, std::int64_t index);

/// An image in full. Throws: Error{data} that names it.
Image decoded(const Dataset& images, std::int64_t index, const DataConfig& config);

}  // namespace clr
