// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/image_match.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "clr/augment/pixel_load.h"
#include "clr/augment/resample.h"

namespace clr {
namespace {

/// Part of an image in shares of its sides.
struct Window {
  double x = 0.0;
  double y = 0.0;
  double width = 1.0;
  double height = 1.0;
};

constexpr double kSmallest = 0.6;
constexpr double kRough = 0.75;  ///< below it nothing is worth a closer look

/// Three planes of side^2 values, centred each and of length 1 together; all 0 where they are flat.
struct Patch {
  int side = 0;
  std::vector<float> values;
};

/// The planes of a thumbnail at one resolution.
struct Level {
  int side = 0;
  std::vector<float> planes;
};

Level full_level(const Thumbnail& image) {
  return {Thumbnail::kSide, {image.pixels.begin(), image.pixels.end()}};
}

/// Means of two by two.
Level halved(const Level& level) {
  const int side = level.side / 2;
  Level result{side, std::vector<float>(static_cast<std::size_t>(3 * side * side))};
  float* out = result.planes.data();
  for (int row = 0; row < 3 * side; ++row) {
    const float* in = level.planes.data() + 2 * row * level.side;
    for (int x = 0; x < side; ++x)
      *out++ =
          (in[2 * x] + in[2 * x + 1] + in[level.side + 2 * x] + in[level.side + 2 * x + 1]) / 4;
  }
  return result;
}

/// Where samples along one side lie: the left of two values, and the share of the right one.
void place_samples(int side, int samples, double begin, double extent, bool reversed,
                   std::vector<int>& left, std::vector<float>& share) {
  left.resize(static_cast<std::size_t>(samples));
  share.resize(static_cast<std::size_t>(samples));
  for (int i = 0; i < samples; ++i) {
    const double at = begin + extent * (i + 0.5) / samples;
    const double place = std::clamp(at * side - 0.5, 0.0, side - 1.0);
    const int low = std::min(static_cast<int>(place), side - 2);
    const auto target = static_cast<std::size_t>(reversed ? samples - 1 - i : i);
    left[target] = low;
    share[target] = static_cast<float>(place - low);
  }
}

Patch cut(const Level& level, const Window& window, int samples, bool mirrored) {
  std::vector<int> columns;
  std::vector<int> rows;
  std::vector<float> across;
  std::vector<float> down;
  place_samples(level.side, samples, window.x, window.width, mirrored, columns, across);
  place_samples(level.side, samples, window.y, window.height, false, rows, down);
  const int area = samples * samples;
  Patch patch{samples, std::vector<float>(static_cast<std::size_t>(3 * area))};
  double squares = 0.0;
  for (int plane = 0; plane < 3; ++plane) {
    const float* in = level.planes.data() + plane * level.side * level.side;
    float* out = patch.values.data() + plane * area;
    double sum = 0.0;
    for (int y = 0; y < samples; ++y) {
      const float* upper = in + rows[static_cast<std::size_t>(y)] * level.side;
      const float* lower = upper + level.side;
      const float v = down[static_cast<std::size_t>(y)];
      for (int x = 0; x < samples; ++x) {
        const int c = columns[static_cast<std::size_t>(x)];
        const float u = across[static_cast<std::size_t>(x)];
        const float top = upper[c] + u * (upper[c + 1] - upper[c]);
        const float bottom = lower[c] + u * (lower[c + 1] - lower[c]);
        const float value = top + v * (bottom - top);
        out[y * samples + x] = value;
        sum += value;
      }
    }
    const auto mean = static_cast<float>(sum / area);
    for (int i = 0; i < area; ++i) {
      out[i] -= mean;
      squares += double{out[i]} * double{out[i]};
    }
  }
  // Less than a grey level of deviation: what is left is noise of the encoding.
  const bool flat = squares < 3.0 * area;
  const float scale = flat ? 0.0F : static_cast<float>(1.0 / std::sqrt(squares));
  for (float& value : patch.values) value *= scale;
  return patch;
}

double correlate(const Patch& a, const Patch& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.values.size(); ++i)
    sum += double{a.values[i]} * double{b.values[i]};
  return sum;
}

/// A patch without its soft parts: each value less the mean of those around it.
Patch detail_of(const Patch& patch) {
  constexpr int kReach = 3;
  const int side = patch.side;
  Patch result = patch;
  double squares = 0.0;
  for (int plane = 0; plane < 3; ++plane) {
    const float* in = patch.values.data() + plane * side * side;
    float* out = result.values.data() + plane * side * side;
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        float sum = 0.0F;
        int count = 0;
        for (int v = std::max(0, y - kReach); v <= std::min(side - 1, y + kReach); ++v) {
          for (int u = std::max(0, x - kReach); u <= std::min(side - 1, x + kReach); ++u) {
            sum += in[v * side + u];
            ++count;
          }
        }
        const float value = in[y * side + x] - sum / static_cast<float>(count);
        out[y * side + x] = value;
        squares += double{value} * double{value};
      }
    }
  }
  const float scale = squares > 0 ? static_cast<float>(1.0 / std::sqrt(squares)) : 0.0F;
  for (float& value : result.values) value *= scale;
  return result;
}

/// One way that a part of `part` may be all of `whole`.
struct Guess {
  Window window;
  bool mirrored = false;
  bool swapped = false;  ///< the part is of the first image
  double correlation = -1.0;
};

/// An image at the resolutions of the search, with itself as patches.
struct Searched {
  Level fine;
  Level middle;
  Level coarse;

  explicit Searched(const Thumbnail& image)
      : fine(full_level(image)), middle(halved(fine)), coarse(halved(middle)) {}
};

constexpr int kCoarse = 8;
constexpr int kMiddle = 16;
constexpr int kFine = 24;

/// The best guesses on a grid of windows, best first.
std::vector<Guess> coarse_guesses(const Searched& a, const Searched& b) {
  constexpr double kStep = 1.0 / 12.0;
  std::vector<Guess> guesses;
  for (const bool swapped : {false, true}) {
    const Level& part = swapped ? a.coarse : b.coarse;
    const Patch whole = cut(swapped ? b.coarse : a.coarse, {}, kCoarse, false);
    for (const double scale : {1.0, 0.9, 0.8, 0.7, 0.6}) {
      if (swapped && scale == 1.0) continue;
      const int steps = static_cast<int>(std::lround((1.0 - scale) / kStep));
      for (int i = 0; i <= steps; ++i) {
        for (int j = 0; j <= steps; ++j) {
          const double room = 1.0 - scale;
          const Window window{steps > 0 ? room * i / steps : 0.0,
                              steps > 0 ? room * j / steps : 0.0, scale, scale};
          for (const bool mirrored : {false, true}) {
            guesses.push_back({window, mirrored, swapped,
                               correlate(whole, cut(part, window, kCoarse, mirrored))});
          }
        }
      }
    }
  }
  constexpr std::size_t kKept = 3;
  std::partial_sort(guesses.begin(), guesses.begin() + kKept, guesses.end(),
                    [](const Guess& x, const Guess& y) { return x.correlation > y.correlation; });
  guesses.resize(kKept);
  return guesses;
}

/// A window moved and stretched by `step`, the i-th of eight ways; within the image.
Window moved(const Window& window, double step, int i) {
  Window result = window;
  double* const fields[] = {&result.x, &result.y, &result.width, &result.height};
  *fields[i / 2] += i % 2 == 0 ? step : -step;
  result.width = std::clamp(result.width, kSmallest, 1.0);
  result.height = std::clamp(result.height, kSmallest, 1.0);
  result.x = std::clamp(result.x, 0.0, 1.0 - result.width);
  result.y = std::clamp(result.y, 0.0, 1.0 - result.height);
  return result;
}

/// Climbs to a better window in ever smaller steps.
void refine(const Level& part, const Patch& whole, Guess& guess) {
  guess.correlation = correlate(whole, cut(part, guess.window, kMiddle, guess.mirrored));
  for (double step = 0.06; step > 0.01; step /= 2) {
    for (bool better = true; better;) {
      better = false;
      for (int i = 0; i < 8; ++i) {
        const Window window = moved(guess.window, step, i);
        const double found = correlate(whole, cut(part, window, kMiddle, guess.mirrored));
        if (found <= guess.correlation + 1e-6) continue;
        guess.window = window;
        guess.correlation = found;
        better = true;
      }
    }
  }
}

}  // namespace

Thumbnail make_thumbnail(const Image& image) {
  Planes planes;
  load_pixels(image, {0, 0, image.width, image.height}, planes);
  resample(planes, {Thumbnail::kSide, Thumbnail::kSide}, Interpolation::bilinear);
  Thumbnail result;
  for (std::size_t i = 0; i < result.pixels.size(); ++i)
    result.pixels[i] = static_cast<std::uint8_t>(std::lround(255.0F * planes.values[i]));
  return result;
}

ImageMatch match_images(const Thumbnail& a, const Thumbnail& b) {
  const Searched first(a);
  const Searched second(b);
  std::vector<Guess> guesses = coarse_guesses(first, second);
  ImageMatch match{guesses.front().correlation, 0.0, guesses.front().mirrored};
  if (match.correlation < kRough) return match;
  match.correlation = -1.0;
  for (Guess& guess : guesses) {
    const Searched& part = guess.swapped ? first : second;
    const Searched& whole = guess.swapped ? second : first;
    refine(part.middle, cut(whole.middle, {}, kMiddle, false), guess);
    const Patch all = cut(whole.fine, {}, kFine, false);
    const Patch found = cut(part.fine, guess.window, kFine, guess.mirrored);
    const double correlation = correlate(all, found);
    if (correlation <= match.correlation) continue;
    match = {correlation, correlate(detail_of(all), detail_of(found)), guess.mirrored};
  }
  return match;
}

}  // namespace clr
