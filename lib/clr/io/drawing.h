// SPDX-License-Identifier: Apache-2.0
// What draws and writes pictures stands on OpenCV, in files named opencv_*.cpp; a build without it
// has opencv_absent.cpp in their place.
#pragma once

#include <string>

#include "clr/core/image.h"

namespace clr {

/// Whether this build can draw.
bool drawing_available();

/// Throws:  Error{usage} "WHERE: this build has no OpenCV, ..." where it cannot.
void require_drawing(const std::string& where);

/// A picture as PNG; the same bytes for the same pixels and libraries. Thread-safe.
///
/// Throws:  Error{usage} in a build without OpenCV.
std::string encode_png(const Image& image);

/// OpenCV's own threads would compete with ours, and its log with our messages: to be called before
/// anything else of OpenCV, any number of times.
void quieten_opencv();

}  // namespace clr
