// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/pil_pixels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "clr/augment/resample_taps.h"

namespace clr::pil {
namespace {

using Pixel = std::array<int, 3>;

int to_byte(float value) { return static_cast<int>(std::lrint(value * 255.0F)); }
float to_float(int byte) { return static_cast<float>(byte) / 255.0F; }
int clip_byte(int value) { return std::clamp(value, 0, 255); }

template <class Work>
void for_pixels(Planes& planes, Work work) {
  float* const red = planes.plane(0);
  float* const green = planes.plane(1);
  float* const blue = planes.plane(2);
  for (std::size_t i = 0; i < planes.plane_size(); ++i) {
    const Pixel made = work(Pixel{to_byte(red[i]), to_byte(green[i]), to_byte(blue[i])});
    red[i] = to_float(made[0]);
    green[i] = to_float(made[1]);
    blue[i] = to_float(made[2]);
  }
}

/// Image.convert("L"): the weights times 65,536.
int luma(const Pixel& pixel) {
  return (19595 * pixel[0] + 38470 * pixel[1] + 7471 * pixel[2] + 0x8000) >> 16;
}

/// Image.blend: from `other` to `value`, beyond it for factors above 1.
int blend(int other, int value, float factor) {
  const float mixed = static_cast<float>(other) + factor * static_cast<float>(value - other);
  return static_cast<int>(std::clamp(mixed, 0.0F, 255.0F));
}

Pixel blend_all(const Pixel& other, const Pixel& value, float factor) {
  return {blend(other[0], value[0], factor), blend(other[1], value[1], factor),
          blend(other[2], value[2], factor)};
}

Pixel rgb_to_hsv(const Pixel& rgb) {
  const int high = std::max({rgb[0], rgb[1], rgb[2]});
  const int low = std::min({rgb[0], rgb[1], rgb[2]});
  if (high == low) return {0, 0, high};
  const auto range = static_cast<float>(high - low);
  const auto below = [&](std::size_t c) { return static_cast<float>(high - rgb[c]) / range; };
  // Pillow mixes single and double precision here, and so its bytes ask for the same.
  float hue = 0.0F;
  if (rgb[0] == high) {
    hue = below(2) - below(1);
  } else if (rgb[1] == high) {
    hue = static_cast<float>(2.0 + static_cast<double>(below(0)) - static_cast<double>(below(2)));
  } else {
    hue = static_cast<float>(4.0 + static_cast<double>(below(1)) - static_cast<double>(below(0)));
  }
  hue = static_cast<float>(std::fmod(static_cast<double>(hue) / 6.0 + 1.0, 1.0));
  const float saturation = range / static_cast<float>(high);
  return {clip_byte(static_cast<int>(static_cast<double>(hue) * 255.0)),
          clip_byte(static_cast<int>(static_cast<double>(saturation) * 255.0)), high};
}

Pixel hsv_to_rgb(const Pixel& hsv) {
  const int value = hsv[2];
  if (hsv[1] == 0) return {value, value, value};
  const double sector = static_cast<double>(static_cast<float>(hsv[0])) * 6.0 / 255.0;
  const int whole = static_cast<int>(std::floor(sector));
  const auto part = static_cast<double>(static_cast<float>(sector - whole));
  const auto strength = static_cast<double>(static_cast<float>(hsv[1] / 255.0));
  const auto at = [&](double share) {
    return clip_byte(static_cast<int>(std::round(value * (1.0 - strength * share))));
  };
  const int p = at(1.0);
  const int q = at(part);
  const int t = at(1.0 - part);
  switch (whole % 6) {
    case 0:
      return {value, t, p};
    case 1:
      return {q, value, p};
    case 2:
      return {p, value, t};
    case 3:
      return {p, q, value};
    case 4:
      return {t, p, value};
    default:
      return {value, p, q};
  }
}

/// One direction of a resize: output i is made of `count[i]` inputs from `start[i]` on.
struct ByteTaps {
  std::vector<int> start;
  std::vector<int> count;
  std::vector<int> weights;  ///< [out, limit], in 2^-22
  std::size_t limit = 0;
};

constexpr int kPrecisionBits = 22;

ByteTaps make_byte_taps(int in, int out, Interpolation interpolation) {
  Taps taps;
  make_taps(in, out, interpolation, taps);
  ByteTaps result;
  result.limit = taps.wide.size() / static_cast<std::size_t>(out);
  result.start = taps.first;
  result.count.assign(static_cast<std::size_t>(out), 0);
  result.weights.reserve(taps.wide.size());
  for (const double weight : taps.wide) {
    const double scaled = weight * (1 << kPrecisionBits);
    result.weights.push_back(static_cast<int>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
  }
  for (std::size_t i = 0; i < result.count.size(); ++i) {
    result.count[i] = std::min(static_cast<int>(result.limit), in - result.start[i]);
  }
  return result;
}

/// `step`: from one input of an output's to the next; `lines` of them, `line_step` apart.
void resize_lines(const float* from, std::size_t step, std::size_t line_step, std::size_t lines,
                  const ByteTaps& taps, float* to, std::size_t to_step, std::size_t to_line_step) {
  for (std::size_t line = 0; line < lines; ++line) {
    for (std::size_t i = 0; i < taps.start.size(); ++i) {
      const float* first = from + line * line_step + static_cast<std::size_t>(taps.start[i]) * step;
      int sum = 1 << (kPrecisionBits - 1);
      for (std::size_t k = 0; k < static_cast<std::size_t>(taps.count[i]); ++k) {
        sum += to_byte(first[k * step]) * taps.weights[i * taps.limit + k];
      }
      to[line * to_line_step + i * to_step] = to_float(clip_byte(sum >> kPrecisionBits));
    }
  }
}

}  // namespace

void resize(Planes& planes, Size out, Interpolation interpolation) {
  if (planes.width != out.width) {
    Planes wide({out.width, planes.height});
    const ByteTaps taps = make_byte_taps(planes.width, out.width, interpolation);
    for (int c = 0; c < 3; ++c) {
      resize_lines(planes.plane(c), 1, static_cast<std::size_t>(planes.width),
                   static_cast<std::size_t>(planes.height), taps, wide.plane(c), 1,
                   static_cast<std::size_t>(out.width));
    }
    planes = std::move(wide);
  }
  if (planes.height != out.height) {
    Planes high(out);
    const ByteTaps taps = make_byte_taps(planes.height, out.height, interpolation);
    const auto width = static_cast<std::size_t>(out.width);
    for (int c = 0; c < 3; ++c) {
      resize_lines(planes.plane(c), width, 1, width, taps, high.plane(c), width, 1);
    }
    planes = std::move(high);
  }
}

void adjust_brightness(Planes& planes, float factor) {
  for_pixels(planes, [&](const Pixel& pixel) { return blend_all({0, 0, 0}, pixel, factor); });
}

void adjust_contrast(Planes& planes, float factor) {
  std::int64_t sum = 0;
  for_pixels(planes, [&](const Pixel& pixel) {
    sum += luma(pixel);
    return pixel;
  });
  const int mean =
      static_cast<int>(static_cast<double>(sum) / static_cast<double>(planes.plane_size()) + 0.5);
  for_pixels(planes, [&](const Pixel& pixel) {
    return blend_all({mean, mean, mean}, pixel, factor);
  });
}

void adjust_saturation(Planes& planes, float factor) {
  for_pixels(planes, [&](const Pixel& pixel) {
    const int gray = luma(pixel);
    return blend_all({gray, gray, gray}, pixel, factor);
  });
}

void adjust_hue(Planes& planes, float turns) {
  const int shift = static_cast<int>(static_cast<double>(turns) * 255.0);
  for_pixels(planes, [&](const Pixel& pixel) {
    Pixel hsv = rgb_to_hsv(pixel);
    hsv[0] = (hsv[0] + shift) & 255;
    return hsv_to_rgb(hsv);
  });
}

void to_gray(Planes& planes) {
  for_pixels(planes, [](const Pixel& pixel) {
    const int gray = luma(pixel);
    return Pixel{gray, gray, gray};
  });
}

void solarize(Planes& planes, float threshold) {
  const float limit = 255.0F * threshold;
  for_pixels(planes, [&](Pixel pixel) {
    for (int& value : pixel) value = static_cast<float>(value) < limit ? value : 255 - value;
    return pixel;
  });
}

void round_to_bytes(Planes& planes) {
  for (float& value : planes.values) value = to_float(clip_byte(to_byte(value)));
}

}  // namespace clr::pil
