// SPDX-License-Identifier: Apache-2.0
#include "clr/io/heat_map.h"

#include <cmath>

#include "support/catch.h"

namespace clr {
namespace {

/// CIE L* of an sRGB colour: how light it looks, 0 to 100.
double lightness(const std::array<std::uint8_t, 3>& color) {
  const auto linear = [](std::uint8_t value) {
    const double share = value / 255.0;
    return share <= 0.04045 ? share / 12.92 : std::pow((share + 0.055) / 1.055, 2.4);
  };
  const double luminance =
      0.2126 * linear(color[0]) + 0.7152 * linear(color[1]) + 0.0722 * linear(color[2]);
  return luminance > 0.008856 ? 116 * std::cbrt(luminance) - 16 : 903.3 * luminance;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

CATCH_TEST_CASE("heat map: the scale's lightness rises evenly", "[io]") {
  const double first = lightness(scale_color(0.0));
  const double last = lightness(scale_color(1.0));
  CATCH_CHECK(last - first > 70);
  bool even = true;
  for (int i = 0; i <= 20; ++i) {
    const double expected = first + (last - first) * i / 20.0;
    even = even && std::abs(lightness(scale_color(i / 20.0)) - expected) < 2.5;
  }
  CATCH_CHECK(even);
  CATCH_CHECK(scale_color(-1.0) == scale_color(0.0));
  CATCH_CHECK(scale_color(2.0) == scale_color(1.0));
}

CATCH_TEST_CASE("heat map: numbers, names and gaps", "[io]") {
  HeatMap map{"a < b & c", "first", "second", {"x", "y"}, {"u", "v"}, {}, 1};
  map.values = {{1.25, std::nullopt}, {3.0, 2.0}};
  const std::string svg = heat_map_svg(map);
  CATCH_CHECK(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  CATCH_CHECK(count(svg, "a &lt; b &amp; c") == 2);
  CATCH_CHECK(count(svg, "<text") == count(svg, "</text>"));
  CATCH_CHECK(count(svg, "url(#none)") == 1);
  for (const char* text : {">first<", ">second<", ">x<", ">y<", ">u<", ">v<", ">2.0<"})
    CATCH_CHECK(count(svg, text) == 1);
  // In its cell and at the end of the scale.
  CATCH_CHECK(count(svg, ">1.2<") == 2);
  CATCH_CHECK(count(svg, ">3.0<") == 2);
  // Dark ink on the lightest cell, light ink on the darkest.
  CATCH_CHECK(count(svg, "fill=\"#000\">3.0") == 1);
  CATCH_CHECK(count(svg, "fill=\"#fff\">1.2") == 1);
}

CATCH_TEST_CASE("heat map: equal numbers have no scale", "[io]") {
  HeatMap map{"t", "r", "c", {"x"}, {"u", "v"}, {{0.5, 0.5}}, 2};
  const std::string svg = heat_map_svg(map);
  CATCH_CHECK(count(svg, ">0.50<") == 2);
  CATCH_CHECK(count(svg, "nan") == 0);
}

}  // namespace clr
