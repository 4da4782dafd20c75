// SPDX-License-Identifier: Apache-2.0
#include "clr/io/contact_sheet.h"

#include <algorithm>

#include "clr/core/error.h"
#include "clr/io/drawing.h"
#include "support/catch.h"

namespace clr {
namespace {

Image plain(int width, int height, SheetColor color) {
  Image image{width, height, {}};
  for (int i = 0; i < width * height; ++i) {
    image.pixels.insert(image.pixels.end(), color.begin(), color.end());
  }
  return image;
}

std::int64_t count(const Image& image, SheetColor color) {
  std::int64_t found = 0;
  for (std::size_t p = 0; p < image.pixels.size(); p += 3) {
    found += std::equal(color.begin(), color.end(), &image.pixels[p]) ? 1 : 0;
  }
  return found;
}

constexpr SheetColor kPink = {250, 100, 150};
constexpr SheetColor kTeal = {10, 120, 110};

CATCH_TEST_CASE("a contact sheet shows each picture, enlarged or averaged down", "[io]") {
  if (!drawing_available()) {
    CATCH_SUCCEED("this build cannot draw");
    return;
  }
  const Image sheet =
      draw_contact_sheet({{"first row", {{plain(32, 16, kPink), "32 x 16"}, {plain(8, 8, kTeal)}}},
                          {"", {{plain(400, 100, kTeal), "wide"}}}},
                         100);
  CATCH_CHECK(sheet.pixels.size() ==
              3 * static_cast<std::size_t>(sheet.width) * static_cast<std::size_t>(sheet.height));
  CATCH_CHECK(sheet.width > 200);
  CATCH_CHECK(sheet.height > 200);
  CATCH_CHECK(count(sheet, kPink) == 96 * 48);             // three times as large
  CATCH_CHECK(count(sheet, kTeal) == 96 * 96 + 100 * 25);  // twelve times; a quarter
  CATCH_CHECK(count(sheet, {255, 255, 255}) > sheet.width * sheet.height / 4);
}

CATCH_TEST_CASE("a picture's frame has its colour", "[io]") {
  if (!drawing_available()) {
    CATCH_SUCCEED("this build cannot draw");
    return;
  }
  const Image sheet = draw_contact_sheet(
      {{"", {{plain(20, 20, kPink), "", kSheetGreen}, {plain(20, 20, kPink), "", kSheetRed}}}},
      100);
  CATCH_CHECK(count(sheet, kPink) == 2 * 100 * 100);
  CATCH_CHECK(count(sheet, kSheetGreen) == 106 * 106 - 100 * 100);
  CATCH_CHECK(count(sheet, kSheetRed) == 106 * 106 - 100 * 100);
}

CATCH_TEST_CASE("captions and titles stay in their room, whatever they hold", "[io]") {
  if (!drawing_available()) {
    CATCH_SUCCEED("this build cannot draw");
    return;
  }
  const std::string name(300, 'W');
  const auto sheet_of = [](const std::string& title, const std::string& caption) {
    return draw_contact_sheet({{title, {{plain(9, 9, kPink), caption}, {plain(9, 9, kPink)}}}});
  };
  const Image bare = sheet_of("", "");
  const Image named = sheet_of(name, name);
  CATCH_CHECK(named.width == bare.width);
  CATCH_CHECK(named.height > bare.height);
  CATCH_CHECK(count(named, kPink) == count(bare, kPink));
  // The caption of the first picture does not reach below the second: no ink there.
  bool clear = true;
  for (int y = named.height - 12; y < named.height; ++y) {
    for (int x = named.width / 2 + 4; x < named.width; ++x) {
      clear = clear && named.pixels[3 * static_cast<std::size_t>(y * named.width + x)] == 255;
    }
  }
  CATCH_CHECK(clear);
  CATCH_CHECK(sheet_of("na\xc3\xafve\n", "\xff").pixels.size() > 0);
}

CATCH_TEST_CASE("a giant sheet gets smaller pictures", "[io]") {
  if (!drawing_available()) {
    CATCH_SUCCEED("this build cannot draw");
    return;
  }
  const SheetRow row{"", std::vector<SheetPicture>(100, {plain(4, 4, kPink)})};
  const Image sheet = draw_contact_sheet(std::vector<SheetRow>(100, row), 256);
  CATCH_CHECK(std::int64_t{sheet.width} * sheet.height <= 40'000'000);
  CATCH_CHECK(count(sheet, kPink) >= 100 * 100 * 16 * 16);
}

CATCH_TEST_CASE("no rows give an empty sheet", "[io]") {
  if (!drawing_available()) {
    CATCH_SUCCEED("this build cannot draw");
    return;
  }
  const Image sheet = draw_contact_sheet({});
  CATCH_CHECK(sheet.width > 0);
  CATCH_CHECK(sheet.height > 0);
}

}  // namespace
}  // namespace clr
