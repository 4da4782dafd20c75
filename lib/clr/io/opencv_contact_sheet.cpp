// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "clr/io/contact_sheet.h"
#include "clr/io/drawing.h"

namespace clr {
namespace {

constexpr int kGap = 8;    // between squares, and around the sheet
constexpr int kFrame = 3;  // inside the gap
constexpr int kTextLine = 14;
constexpr int kLeastSide = 16;
constexpr std::int64_t kMostPixels = 40'000'000;
constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
constexpr double kFontScale = 0.35;
const cv::Scalar kInk(40, 40, 40);

bool any_caption(const SheetRow& row) {
  return std::any_of(row.pictures.begin(), row.pictures.end(),
                     [](const SheetPicture& picture) { return !picture.caption.empty(); });
}

int row_height(const SheetRow& row, int side) {
  return side + kGap + (row.title.empty() ? 0 : kTextLine) + (any_caption(row) ? kTextLine : 0);
}

cv::Size sheet_size(const std::vector<SheetRow>& rows, int side) {
  std::size_t columns = 1;
  cv::Size size(0, kGap);
  for (const SheetRow& row : rows) {
    columns = std::max(columns, row.pictures.size());
    size.height += row_height(row, side);
  }
  size.width = kGap + static_cast<int>(columns) * (side + kGap);
  return size;
}

int choose_side(const std::vector<SheetRow>& rows, int side) {
  if (side <= 0) {
    side = 96;
    for (const SheetRow& row : rows) {
      for (const SheetPicture& picture : row.pictures) {
        side = std::max({side, picture.image.width, picture.image.height});
      }
    }
    side = std::min(side, 256);
  }
  const auto too_large = [&] {
    const cv::Size size = sheet_size(rows, side);
    return std::int64_t{size.width} * size.height > kMostPixels;
  };
  while (side > kLeastSide && too_large()) --side;
  return side;
}

int text_width(const std::string& text) {
  int baseline = 0;
  return cv::getTextSize(text, kFont, kFontScale, 1, &baseline).width;
}

/// Which part of a text is kept where there is no room for all of it.
enum class Keep { beginning, end };

/// The text as far as it can be drawn in `room` pixels.
std::string fitted_text(std::string text, int room, Keep keep) {
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  if (text_width(text) <= room) return text;
  const auto marked = [&] { return keep == Keep::end ? ".." + text : text + ".."; };
  while (!text.empty() && text_width(marked()) > room) {
    text.erase(keep == Keep::end ? 0 : text.size() - 1, 1);
  }
  return text.empty() ? text : marked();
}

void put_text(cv::Mat3b& sheet, const std::string& text, cv::Point corner, int room, Keep keep) {
  cv::putText(sheet, fitted_text(text, room, keep), corner + cv::Point(0, kTextLine - 4), kFont,
              kFontScale, kInk, 1, cv::LINE_AA);
}

cv::Mat3b fitted_picture(const Image& image, int side) {
  const cv::Mat3b pixels(
      image.height, image.width,
      reinterpret_cast<cv::Vec3b*>(const_cast<std::uint8_t*>(image.pixels.data())));  // read only
  const int longer = std::max(image.width, image.height);
  cv::Mat3b fitted;
  if (longer <= side) {
    const int times = side / longer;
    cv::resize(pixels, fitted, {}, times, times, cv::INTER_NEAREST);
  } else {
    const auto scaled = [&](int length) {
      return std::max(1, static_cast<int>(std::int64_t{length} * side / longer));
    };
    cv::resize(pixels, fitted, {scaled(image.width), scaled(image.height)}, 0, 0, cv::INTER_AREA);
  }
  return fitted;
}

void put_picture(cv::Mat3b& sheet, const SheetPicture& picture, cv::Point corner, int side) {
  const cv::Mat3b fitted = fitted_picture(picture.image, side);
  const cv::Rect place(corner.x + (side - fitted.cols) / 2, corner.y + (side - fitted.rows) / 2,
                       fitted.cols, fitted.rows);
  if (picture.frame) {
    const auto& [red, green, blue] = *picture.frame;
    const cv::Rect around(place.x - kFrame, place.y - kFrame, place.width + 2 * kFrame,
                          place.height + 2 * kFrame);
    cv::rectangle(sheet, around, cv::Scalar(red, green, blue), cv::FILLED);
  }
  fitted.copyTo(sheet(place));
  if (!picture.caption.empty()) {
    put_text(sheet, picture.caption, corner + cv::Point(0, side + kFrame), side, Keep::beginning);
  }
}

}  // namespace

Image draw_contact_sheet(const std::vector<SheetRow>& rows, int side) {
  quieten_opencv();
  side = choose_side(rows, side);
  const cv::Size size = sheet_size(rows, side);
  cv::Mat3b sheet(size, cv::Vec3b(255, 255, 255));
  int y = kGap;
  for (const SheetRow& row : rows) {
    int top = y;
    if (!row.title.empty()) {
      // Titles are paths, whose end tells more than their beginning.
      put_text(sheet, row.title, {kGap, top - kFrame}, size.width - 2 * kGap, Keep::end);
      top += kTextLine;
    }
    int x = kGap;
    for (const SheetPicture& picture : row.pictures) {
      put_picture(sheet, picture, {x, top}, side);
      x += side + kGap;
    }
    y += row_height(row, side);
  }
  // Drawn with red first: OpenCV does not mind.
  return {size.width, size.height, {sheet.datastart, sheet.dataend}};
}

}  // namespace clr
