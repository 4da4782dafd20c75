// SPDX-License-Identifier: Apache-2.0
#include "clr/io/heat_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace clr {
namespace {

constexpr std::array<std::array<std::uint8_t, 3>, 10> kCividis = {{{0x00, 0x22, 0x4e},
                                                                   {0x12, 0x35, 0x70},
                                                                   {0x3b, 0x49, 0x6c},
                                                                   {0x57, 0x5d, 0x6d},
                                                                   {0x70, 0x71, 0x73},
                                                                   {0x8a, 0x86, 0x78},
                                                                   {0xa5, 0x9c, 0x74},
                                                                   {0xc3, 0xb3, 0x69},
                                                                   {0xe1, 0xcc, 0x55},
                                                                   {0xfe, 0xe8, 0x38}}};

// In pixels; the width of a character is that of a wide sans serif, so that no font overflows.
constexpr int kCharacter = 8;
constexpr int kCellHeight = 36;
constexpr int kLeastCellWidth = 64;
constexpr int kGap = 12;
constexpr int kLine = 20;
constexpr int kScaleWidth = 16;

std::string escape(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '&') {
      escaped += "&amp;";
    } else if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>') {
      escaped += "&gt;";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

int text_width(const std::string& text) {
  return kCharacter * static_cast<int>(std::count_if(text.begin(), text.end(),
                                                     [](char c) { return (c & 0xC0) != 0x80; }));
}

int widest(const std::vector<std::string>& texts) {
  int width = 0;
  for (const std::string& text : texts) width = std::max(width, text_width(text));
  return width;
}

std::string hex(const std::array<std::uint8_t, 3>& color) {
  return fmt::format("#{:02x}{:02x}{:02x}", color[0], color[1], color[2]);
}

/// Black or white: whichever has more contrast with the colour (WCAG 2, relative luminance).
const char* ink_on(const std::array<std::uint8_t, 3>& color) {
  const auto linear = [](std::uint8_t value) {
    const double share = value / 255.0;
    return share <= 0.04045 ? share / 12.92 : std::pow((share + 0.055) / 1.055, 2.4);
  };
  const double luminance =
      0.2126 * linear(color[0]) + 0.7152 * linear(color[1]) + 0.0722 * linear(color[2]);
  return luminance > 0.179 ? "#000" : "#fff";
}

class Drawing {
 public:
  void text(double x, double y, const char* anchor, const std::string& content,
            const std::string& more = "") {
    body_ += fmt::format("<text x=\"{:g}\" y=\"{:g}\" text-anchor=\"{}\"{}>{}</text>\n", x, y,
                         anchor, more, escape(content));
  }

  void box(double x, double y, double width, double height, const std::string& fill) {
    body_ +=
        fmt::format("<rect x=\"{:g}\" y=\"{:g}\" width=\"{:g}\" height=\"{:g}\" fill=\"{}\"/>\n", x,
                    y, width, height, fill);
  }

  std::string finish(int width, int height, const std::string& title) const {
    return fmt::format(
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" "
               "viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"13\">\n"
               "<title>{2}</title>\n"
               "<defs><pattern id=\"none\" width=\"6\" height=\"6\" "
               "patternUnits=\"userSpaceOnUse\"><path d=\"M0 6L6 0\" stroke=\"#bbb\"/></pattern>"
               "</defs>\n"
               "<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n",
               width, height, escape(title)) +
           body_ + "</svg>\n";
  }

 private:
  std::string body_;
};

}  // namespace

std::array<std::uint8_t, 3> scale_color(double place) {
  const double at = std::clamp(place, 0.0, 1.0) * static_cast<double>(kCividis.size() - 1);
  const auto below = std::min(static_cast<std::size_t>(at), kCividis.size() - 2);
  const double share = at - static_cast<double>(below);
  std::array<std::uint8_t, 3> color{};
  for (std::size_t c = 0; c < 3; ++c) {
    color[c] = static_cast<std::uint8_t>(
        std::lround((1.0 - share) * kCividis[below][c] + share * kCividis[below + 1][c]));
  }
  return color;
}

std::string heat_map_svg(const HeatMap& map) {
  std::vector<double> numbers;
  for (const auto& row : map.values) {
    for (const auto& value : row) {
      if (value) numbers.push_back(*value);
    }
  }
  const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
  const auto color_of = [&, low = low, high = high](double value) {
    return scale_color(*high > *low ? (value - *low) / (*high - *low) : 0.5);
  };
  const auto written = [&map](double value) { return fmt::format("{:.{}f}", value, map.decimals); };
  std::vector<std::string> texts;
  for (const double number : numbers) texts.push_back(written(number));

  const int cell = std::max({kLeastCellWidth, widest(map.columns) + kGap, widest(texts) + kGap});
  const int left = kGap + kLine + widest(map.rows) + kGap;
  const int top = kGap + 2 * kLine + kLine + kGap;
  const int width = cell * static_cast<int>(map.columns.size());
  const int height = kCellHeight * static_cast<int>(map.rows.size());
  const int body = std::max(height, text_width(map.row_name));
  const int scale_left = left + width + 2 * kGap;
  const int total_width = std::max(scale_left + kScaleWidth + kGap + widest(texts) + kGap,
                                   kGap + text_width(map.title) + kGap);

  Drawing drawing;
  drawing.text(kGap, kGap + 14, "start", map.title, " font-weight=\"bold\"");
  drawing.text(left + width / 2.0, kGap + kLine + 18, "middle", map.column_name,
               " font-style=\"italic\"");
  const double middle = top + body / 2.0;
  drawing.text(
      kGap + 12, middle, "middle", map.row_name,
      fmt::format(" font-style=\"italic\" transform=\"rotate(-90 {} {:g})\"", kGap + 12, middle));
  for (std::size_t c = 0; c < map.columns.size(); ++c) {
    drawing.text(left + cell * (static_cast<double>(c) + 0.5), top - 8, "middle", map.columns[c]);
  }
  for (std::size_t r = 0; r < map.rows.size(); ++r) {
    const double y = top + kCellHeight * static_cast<double>(r);
    drawing.text(left - 8, y + kCellHeight / 2.0 + 5, "end", map.rows[r]);
    for (std::size_t c = 0; c < map.columns.size(); ++c) {
      const double x = left + cell * static_cast<double>(c);
      const auto& value = map.values[r][c];
      if (!value) {
        drawing.box(x, y, cell - 1, kCellHeight - 1, "url(#none)");
        continue;
      }
      const auto color = color_of(*value);
      drawing.box(x, y, cell - 1, kCellHeight - 1, hex(color));
      drawing.text(x + (cell - 1) / 2.0, y + kCellHeight / 2.0 + 5, "middle", written(*value),
                   fmt::format(" fill=\"{}\"", ink_on(color)));
    }
  }
  if (!numbers.empty() && *high > *low) {
    for (int y = 0; y < height; ++y) {
      drawing.box(scale_left, top + y, kScaleWidth, 1.5,
                  hex(scale_color(1.0 - (y + 0.5) / height)));
    }
    drawing.text(scale_left + kScaleWidth + 6, top + 12, "start", written(*high));
    drawing.text(scale_left + kScaleWidth + 6, top + height - 2, "start", written(*low));
  }
  return drawing.finish(total_width, top + body + kGap, map.title);
}

}  // namespace clr
