// SPDX-License-Identifier: Apache-2.0
// Stands in for the other opencv_*.cpp of this folder in builds without OpenCV.
#include "clr/core/error.h"
#include "clr/io/contact_sheet.h"
#include "clr/io/drawing.h"

namespace clr {

bool drawing_available() { return false; }

void require_drawing(const std::string& where) {
  throw Error(ErrorKind::usage,
              where + ": this build has no OpenCV and cannot draw; use a build with OpenCV");
}

void quieten_opencv() {}

std::string encode_png(const Image&) {
  require_drawing("PNG");
  return {};
}

Image draw_contact_sheet(const std::vector<SheetRow>&, int) {
  require_drawing("contact sheet");
  return {};
}

}  // namespace clr
