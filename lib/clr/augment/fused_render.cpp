// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/fused_render.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "clr/augment/blur_kernel.h"
#include "clr/augment/color_rows.h"
#include "clr/augment/jitter_parts.h"
#include "clr/augment/pixel_math.h"
#include "clr/augment/pixel_store.h"
#include "clr/augment/resample_taps.h"
#include "clr/augment/row_resize.h"
#include "clr/core/multiversion.h"

namespace clr {
namespace {

/// Pixels of a block of rows: its three planes take 6 KiB, and what it is made of a few times that.
constexpr int kBlockPixels = 512;

/// What a thread keeps from view to view.
struct Scratch {
  Planes planes;                ///< the view between two sweeps
  std::vector<float> block;     ///< some of its rows
  Taps down;                    ///< of the vertical pass
  Taps across;                  ///< of the horizontal pass
  std::vector<int> lengths;     ///< taps of each row that are not zero
  std::vector<float> mixed;     ///< a row of the vertical pass, interleaved
  std::vector<float> channels;  ///< the same as three padded rows
  std::vector<float> weights;   ///< of the blur
  std::vector<int> rows;        ///< where blur's border takes rows from
  std::vector<int> columns;
  std::vector<const float*> before;  ///< what blur adds for each weight
  std::vector<const float*> after;
  std::vector<float> blurred;  ///< three blurred rows
  std::vector<float> padded;   ///< one row of the vertical blur with its border
};

/// Mirrored taps make a mirrored picture.
void mirror(Taps& taps) {
  std::reverse(taps.start.begin(), taps.start.end());
  const auto out = static_cast<std::ptrdiff_t>(taps.start.size());
  for (int k = 0; k < taps.count; ++k) {
    std::reverse(taps.weights.begin() + k * out, taps.weights.begin() + (k + 1) * out);
  }
}

/// The resize of a view: rows of the output from the crop's 8-bit pixels.
class Resizer {
 public:
  Resizer(const Image& image, const Region& box, Size out, Interpolation interpolation, bool flip,
          Scratch& scratch)
      : scratch_(scratch),
        stride_(3 * static_cast<std::size_t>(image.width)),
        first_(image.pixels.data() + static_cast<std::size_t>(box.y) * stride_ +
               3 * static_cast<std::size_t>(box.x)),
        width_(static_cast<std::size_t>(box.width)),
        out_(out) {
    make_taps(box.height, out.height, interpolation, scratch.down);
    make_taps(box.width, out.width, interpolation, scratch.across);
    if (flip) mirror(scratch.across);
    const Taps& down = scratch.down;
    scratch.lengths.resize(static_cast<std::size_t>(out.height));
    for (int y = 0; y < out.height; ++y) {
      int length = down.count;
      while (length > 1 && down.weights[at(length - 1, y)] == 0.0F) --length;
      scratch.lengths[static_cast<std::size_t>(y)] = length;
    }
    // Pixels are 0 to 255 until here; weights are made for [0, 1].
    for (float& weight : scratch.down.weights) weight /= 255.0F;
    scratch.mixed.resize(3 * width_);
    scratch.channels.resize(3 * (width_ + kRowPadding));
  }

  /// Row `y` of the output to three rows.
  void make_row(int y, const std::array<float*, 3>& to) const {
    const Taps& down = scratch_.down;
    const auto row = static_cast<std::size_t>(y);
    mix_rows(first_ + static_cast<std::size_t>(down.start[row]) * stride_, stride_,
             down.weights.data() + row, static_cast<std::size_t>(out_.height),
             scratch_.lengths[row], 3 * width_, scratch_.mixed.data());
    float* const red = scratch_.channels.data();
    float* const green = red + width_ + kRowPadding;
    float* const blue = green + width_ + kRowPadding;
    split_channels(scratch_.mixed.data(), width_, red, green, blue);
    resize_row_across(best_vector_set(), {red, green, blue}, scratch_.across.start.data(),
                      scratch_.across.weights.data(), scratch_.across.count, out_.width, to);
  }

 private:
  std::size_t at(int k, int y) const {
    return static_cast<std::size_t>(k) * static_cast<std::size_t>(out_.height) +
           static_cast<std::size_t>(y);
  }

  Scratch& scratch_;
  std::size_t stride_;
  const std::uint8_t* first_;
  std::size_t width_;
  Size out_;
};

/// 16 values, in as many registers as they take. Copied from and to memory, which may lie anywhere.
using Vector [[gnu::vector_size(64)]] = float;

/// to[x] = weights[0] middle[x] + sum over k of weights[k] (before[k][x] + after[k][x]): one
/// direction of a blur, with before[k] the row k above, or the same row moved by k.
///
/// The sums of 32 neighbours stay in registers over all k.
CLR_MULTIVERSION void blur_row(const float* middle, const float* const* before,
                               const float* const* after, const float* weights, int radius,
                               std::size_t width, float* to) {
  constexpr std::size_t kStep = 32;
  using Pair = std::array<Vector, 2>;
  std::size_t x = 0;
  for (; x + kStep <= width; x += kStep) {
    Pair sum;
    std::memcpy(&sum, middle + x, sizeof sum);
    Vector left = weights[0] * sum[0];
    Vector right = weights[0] * sum[1];
    for (int k = 1; k <= radius; ++k) {
      const float weight = weights[k];
      Pair b;
      Pair a;
      std::memcpy(&b, before[k] + x, sizeof b);
      std::memcpy(&a, after[k] + x, sizeof a);
      left += weight * (b[0] + a[0]);
      right += weight * (b[1] + a[1]);
    }
    std::memcpy(to + x, &left, sizeof left);
    std::memcpy(to + x + kStep / 2, &right, sizeof right);
  }
  for (; x < width; ++x) {
    float sum = weights[0] * middle[x];
    for (int k = 1; k <= radius; ++k) sum += weights[k] * (before[k][x] + after[k][x]);
    to[x] = sum;
  }
}

/// The work of one view: what is active, and the sweeps that do it.
class View {
 public:
  View(const FusedPlan& plan, std::span<const OpParameters> parameters,
       const Destination& destination, Scratch& scratch)
      : plan_(plan), parameters_(parameters), destination_(destination), scratch_(scratch) {
    if (const OpParameters* jitter = active(plan.jitter)) parts_ = jitter_parts(*jitter);
    gray_ = active(plan.gray) != nullptr;
    if (const OpParameters* blur = active(plan.blur)) {
      make_blur_weights(plan.blur->stage.kernel, static_cast<double>(blur->values[0]),
                        scratch.weights);
      radius_ = static_cast<int>(scratch.weights.size()) - 1;
    }
    if (plan.normalize) scale_ = PixelScale(plan.normalize->stage.mean, plan.normalize->stage.std);
  }

  void render(const Image& image, const Region& box) {
    Planes& planes = scratch_.planes;
    planes.resize(plan_.size);
    const Resizer resizer(image, box, plan_.size, plan_.crop.stage.interpolation,
                          active(plan_.flip) != nullptr, scratch_);
    std::array<float, kLumaLanes> lanes{};
    double luma_sum = 0.0;
    for_blocks([&](int begin, int end) {
      const PixelRun run = block(begin, end);
      for (int y = begin; y < end; ++y) {
        const auto offset = static_cast<std::ptrdiff_t>(y - begin) * plan_.size.width;
        resizer.make_row(y, {run.red + offset, run.green + offset, run.blue + offset});
      }
      for (const JitterPart& part : parts_.before()) apply_part(part, run);
      if (!parts_.contrast) return finish_colors(run, begin);
      lanes.fill(0.0F);
      sum_luma(run.red, run.green, run.blue, run.count, lanes.data());
      for (const float lane : lanes) luma_sum += static_cast<double>(lane);
      save(run, begin);
    });
    if (parts_.contrast) {
      const auto mean = static_cast<float>(luma_sum / static_cast<double>(planes.plane_size()));
      for_blocks([&](int begin, int end) {
        const PixelRun run = block(begin, end);
        load(run, begin);
        apply_contrast(*parts_.contrast, mean, run);
        for (const JitterPart& part : parts_.after()) apply_part(part, run);
        finish_colors(run, begin);
      });
    }
    if (radius_ > 0) blur();
  }

 private:
  const OpParameters* active(const std::optional<FusedPlan::Step>& step) const {
    if (!step || !parameters_[step->position].active) return nullptr;
    return &parameters_[step->position];
  }

  int block_rows() const { return std::max(1, kBlockPixels / plan_.size.width); }

  template <class Work>
  void for_blocks(Work work) const {
    const int rows = block_rows();
    for (int begin = 0; begin < plan_.size.height; begin += rows) {
      work(begin, std::min(plan_.size.height, begin + rows));
    }
  }

  /// Rows [begin, end), in memory that every block uses again: a view's planes lie 4 KiB-aligned to
  /// each other at many sizes, where stores to one delay loads from the next.
  PixelRun block(int begin, int end) const {
    constexpr std::size_t kGap = 16;
    const auto width = static_cast<std::size_t>(plan_.size.width);
    const std::size_t most = static_cast<std::size_t>(block_rows()) * width + kGap;
    scratch_.block.resize(3 * most);
    float* const red = scratch_.block.data();
    return {red, red + most, red + 2 * most, static_cast<std::size_t>(end - begin) * width};
  }

  std::size_t offset_of(int row) const {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(plan_.size.width);
  }

  /// A block to the planes, for a later sweep.
  void save(const PixelRun& run, int first_row) const {
    const std::array<const float*, 3> from = {run.red, run.green, run.blue};
    for (int c = 0; c < 3; ++c) {
      std::copy_n(from[static_cast<std::size_t>(c)], run.count,
                  scratch_.planes.plane(c) + offset_of(first_row));
    }
  }

  void load(const PixelRun& run, int first_row) const {
    const std::array<float*, 3> to = {run.red, run.green, run.blue};
    for (int c = 0; c < 3; ++c) {
      std::copy_n(scratch_.planes.plane(c) + offset_of(first_row), run.count,
                  to[static_cast<std::size_t>(c)]);
    }
  }

  /// What follows the jitter; the last steps too unless blur comes between.
  void finish_colors(const PixelRun& run, int first_row) const {
    if (gray_) to_gray(run.red, run.green, run.blue, run.count);
    if (radius_ == 0) {
      finish(run, first_row);
    } else {
      save(run, first_row);
    }
  }

  void finish(const PixelRun& run, int first_row) const {
    if (const OpParameters* solarize = active(plan_.solarize)) {
      for (float* plane : {run.red, run.green, run.blue}) {
        invert_from(plane, run.count, solarize->values[0]);
      }
    }
    store_pixels({run.red, run.green, run.blue}, run.count, scale_, destination_,
                 offset_of(first_row), scratch_.planes.plane_size());
  }

  void blur() {
    const auto [width, height] = plan_.size;
    const auto columns = static_cast<std::size_t>(width);
    make_reflection(height, radius_, scratch_.rows);
    make_reflection(width, radius_, scratch_.columns);
    scratch_.blurred.resize(3 * columns);
    scratch_.padded.resize(scratch_.columns.size());
    float* const middle = scratch_.padded.data() + radius_;
    const std::array<float*, 3> rows = {scratch_.blurred.data(), scratch_.blurred.data() + columns,
                                        scratch_.blurred.data() + 2 * columns};
    auto& before = scratch_.before;
    auto& after = scratch_.after;
    before.resize(scratch_.weights.size());
    after.resize(scratch_.weights.size());
    for (int y = 0; y < height; ++y) {
      for (int c = 0; c < 3; ++c) {
        const auto row = [&](int k) {
          const int from = scratch_.rows[static_cast<std::size_t>(y + radius_ + k)];
          return scratch_.planes.plane(c) + static_cast<std::size_t>(from) * columns;
        };
        for (int k = 1; k <= radius_; ++k) {
          before[static_cast<std::size_t>(k)] = row(-k);
          after[static_cast<std::size_t>(k)] = row(k);
        }
        blur_row(row(0), before.data(), after.data(), scratch_.weights.data(), radius_, columns,
                 middle);
        for (int x = 0; x < radius_; ++x) {
          middle[x - radius_] = middle[scratch_.columns[static_cast<std::size_t>(x)]];
          middle[width + x] =
              middle[scratch_.columns[static_cast<std::size_t>(radius_ + width + x)]];
        }
        for (int k = 1; k <= radius_; ++k) {
          before[static_cast<std::size_t>(k)] = middle - k;
          after[static_cast<std::size_t>(k)] = middle + k;
        }
        blur_row(middle, before.data(), after.data(), scratch_.weights.data(), radius_, columns,
                 rows[static_cast<std::size_t>(c)]);
      }
      finish({rows[0], rows[1], rows[2], columns}, y);
    }
  }

  const FusedPlan& plan_;
  std::span<const OpParameters> parameters_;
  const Destination& destination_;
  Scratch& scratch_;
  JitterParts parts_;
  bool gray_ = false;
  int radius_ = 0;  ///< 0: no blur
  PixelScale scale_;
};

}  // namespace

void render_fused(const FusedPlan& plan, const Image& image, const Region& box,
                  std::span<const OpParameters> parameters, const Destination& destination) {
  thread_local Scratch scratch;
  View(plan, parameters, destination, scratch).render(image, box);
  trim_scratch(scratch.planes.values);
}

}  // namespace clr
