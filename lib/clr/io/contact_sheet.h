// SPDX-License-Identifier: Apache-2.0
// A contact sheet: rows of small pictures with captions, as one picture.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "clr/core/image.h"

namespace clr {

/// Red, green, blue.
using SheetColor = std::array<std::uint8_t, 3>;
constexpr SheetColor kSheetGreen = {30, 150, 60};
constexpr SheetColor kSheetRed = {200, 40, 40};
constexpr SheetColor kSheetBlue = {40, 90, 200};

/// A picture of a sheet.
struct SheetPicture {
  Image image;
  std::string caption{};              ///< a line below it; "" = none
  std::optional<SheetColor> frame{};  ///< colour of a frame around it
};

/// A row of a sheet; rows may differ in length.
struct SheetRow {
  std::string title{};  ///< a line above it; "" = none
  std::vector<SheetPicture> pictures;
};

/// Draws a sheet, row below row, on white.
///
/// Every picture is fitted into a square of `side` pixels: enlarged by a whole number, so that its
/// own pixels stay to be seen, or averaged down. side = 0: what the largest picture needs, between
/// 96 and 256. A sheet that would have more than 40 million pixels gets smaller squares. Text is
/// cut to the room it has, a title from its beginning, a caption from its end; what is no printable
/// ASCII becomes "?".
/// Throws:  Error{usage} in a build without OpenCV.
Image draw_contact_sheet(const std::vector<SheetRow>& rows, int side = 0);

}  // namespace clr
