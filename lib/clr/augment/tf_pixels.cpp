// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/tf_pixels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "clr/augment/pixel_math.h"

namespace clr::tf {
namespace {

struct FourTaps {
  std::array<int, 4> at{};
  std::array<float, 4> weight{};
};

/// Keys' cubic at distance `x`.
float keys_cubic(float x) {
  constexpr double kA = -0.5;
  const auto t = static_cast<double>(x);
  if (t <= 1.0) return static_cast<float>(((kA + 2.0) * t - (kA + 3.0)) * t * t + 1.0);
  return static_cast<float>(((kA * t - 5.0 * kA) * t + 8.0 * kA) * t - 4.0 * kA);
}

/// `make` makes the taps of an output that lies at `whole` + `part` of the input.
template <class Make>
std::vector<FourTaps> make_taps(int in, int out, Make make) {
  std::vector<FourTaps> taps;
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  for (int i = 0; i < out; ++i) {
    const float place = (static_cast<float>(i) + 0.5F) * scale - 0.5F;
    const float whole = std::floor(place);
    taps.push_back(make(static_cast<int>(whole), place - whole));
  }
  return taps;
}

std::vector<FourTaps> cubic_taps(int in, int out) {
  constexpr float kSteps = 1024.0F;
  return make_taps(in, out, [in](int whole, float exact) {
    const float part = std::nearbyint(exact * kSteps) / kSteps;
    const std::array<float, 4> distance = {1.0F + part, part, 1.0F - part, 2.0F - part};
    FourTaps taps;
    float total = 0.0F;
    for (std::size_t k = 0; k < 4; ++k) {
      const int at = whole - 1 + static_cast<int>(k);
      taps.at[k] = std::clamp(at, 0, in - 1);
      // Beyond the border nothing counts, and the rest sums to 1.
      taps.weight[k] = taps.at[k] == at ? keys_cubic(distance[k]) : 0.0F;
      total += taps.weight[k];
    }
    for (float& weight : taps.weight) weight /= total;
    return taps;
  });
}

std::vector<FourTaps> linear_taps(int in, int out) {
  return make_taps(in, out, [in](int whole, float part) {
    const int low = std::max(whole, 0);
    return FourTaps{{low, std::min(whole + 1, in - 1), low, low}, {1.0F - part, part, 0.0F, 0.0F}};
  });
}

}  // namespace

void resize(Planes& planes, Size out, Interpolation interpolation) {
  if (planes.size() == out) return;
  const auto taps = interpolation == Interpolation::bicubic ? cubic_taps : linear_taps;
  const std::vector<FourTaps> across = taps(planes.width, out.width);
  const std::vector<FourTaps> down = taps(planes.height, out.height);
  Planes made(out);
  std::vector<float> mixed(static_cast<std::size_t>(planes.width));
  for (int c = 0; c < 3; ++c) {
    const float* from = planes.plane(c);
    float* to = made.plane(c);
    for (const FourTaps& row : down) {
      for (std::size_t x = 0; x < mixed.size(); ++x) {
        mixed[x] = 0.0F;
        for (std::size_t k = 0; k < 4; ++k) {
          mixed[x] += row.weight[k] * from[static_cast<std::size_t>(row.at[k]) * mixed.size() + x];
        }
      }
      for (const FourTaps& column : across) {
        float sum = 0.0F;
        for (std::size_t k = 0; k < 4; ++k) {
          sum += column.weight[k] * mixed[static_cast<std::size_t>(column.at[k])];
        }
        *to++ = sum;
      }
    }
  }
  planes = std::move(made);
}

void adjust_contrast(Planes& planes, float factor) {
  const std::size_t size = planes.plane_size();
  for (int c = 0; c < 3; ++c) {
    float* const values = planes.plane(c);
    double sum = 0.0;
    for (std::size_t i = 0; i < size; ++i) sum += static_cast<double>(values[i]);
    const auto mean = static_cast<float>(sum / static_cast<double>(size));
    for (std::size_t i = 0; i < size; ++i) {
      values[i] = clamp_unit((values[i] - mean) * factor + mean);
    }
  }
}

void adjust_saturation(Planes& planes, float factor) {
  const std::array<float*, 3> channels = {planes.plane(0), planes.plane(1), planes.plane(2)};
  for (std::size_t i = 0; i < planes.plane_size(); ++i) {
    const float high = std::max({channels[0][i], channels[1][i], channels[2][i]});
    const float low = std::min({channels[0][i], channels[1][i], channels[2][i]});
    const float saturation = high > 0.0F ? (high - low) / high : 0.0F;
    // At the same hue and value, the distance to the value is in proportion to the saturation.
    const float ratio = saturation > 0.0F ? clamp_unit(saturation * factor) / saturation : 1.0F;
    for (float* channel : channels) {
      channel[i] = clamp_unit(high - (high - channel[i]) * ratio);
    }
  }
}

void blur(Planes& planes, const std::vector<float>& weights) {
  const auto radius = static_cast<int>(weights.size()) - 1;
  const auto convolve = [&](const float* from, int count, int step, float* to) {
    for (int i = 0; i < count; ++i) {
      float sum = weights[0] * from[i * step];
      for (int k = 1; k <= radius; ++k) {
        const float before = i >= k ? from[(i - k) * step] : 0.0F;
        const float after = i + k < count ? from[(i + k) * step] : 0.0F;
        sum += weights[static_cast<std::size_t>(k)] * (before + after);
      }
      to[i * step] = sum;
    }
  };
  Planes half(planes.size());
  for (int c = 0; c < 3; ++c) {
    for (int x = 0; x < planes.width; ++x) {
      convolve(planes.plane(c) + x, planes.height, planes.width, half.plane(c) + x);
    }
    for (int y = 0; y < planes.height; ++y) {
      const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(y) * planes.width;
      convolve(half.plane(c) + row, planes.width, 1, planes.plane(c) + row);
    }
  }
}

}  // namespace clr::tf
