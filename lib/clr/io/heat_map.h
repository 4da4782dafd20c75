// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace clr {

/// A table of numbers that is to be drawn.
struct HeatMap {
  std::string title;
  std::string row_name;
  std::string column_name;
  std::vector<std::string> rows;
  std::vector<std::string> columns;
  std::vector<std::vector<std::optional<double>>> values;  ///< [rows][columns]; nothing: no number
  int decimals = 1;
};

/// The heat map as a picture that needs nothing else: one SVG document, each number written in its
/// cell, the colours' scale beside it. Cells without a number are hatched.
std::string heat_map_svg(const HeatMap& map);

/// Red, green and blue of a place from 0 (dark blue) to 1 (yellow) on a scale whose lightness rises
/// evenly, so that it reads the same to the colour-blind and in print without colour.
///
/// Source:  cividis: Nunez, Anderton, Renslow, PLOS ONE 13 (2018); ten of its colours, straight
///          lines between them.
std::array<std::uint8_t, 3> scale_color(double place);

}  // namespace clr
