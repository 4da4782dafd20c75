// SPDX-License-Identifier: Apache-2.0
#include "bench_data_tricks.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <utility>
#include <variant>

#include "bench.h"
#include "clr/augment/blur_kernel.h"
#include "clr/core/error.h"
#include "clr/data/decode_record.h"
#include "clr/data/image_format.h"
#include "clr/data/opencv_codec.h"
#include "clr/data/pack_writer.h"
#include "clr/data/part_to_decode.h"

namespace clr {
namespace {

constexpr std::int64_t kPackedImages = 200;

/// Work on image number i.
using Work = std::function<void(std::int64_t)>;

std::span<const std::uint8_t> encoded(const Record& record) {
  return std::get<std::vector<std::uint8_t>>(record);
}

/// A blur of three planes written plainly: what the algorithm is worth, not the code.
class PlainBlur {
 public:
  PlainBlur(Size size, int radius)
      : size_(size),
        radius_(radius),
        width_(size.width + 2 * radius),
        padded_(area(width_, size.height + 2 * radius), 0.5F),
        half_(padded_.size(), 0.5F),
        blurred_(area(size.width, size.height)) {}

  /// Every weight of the square.
  void square(const std::vector<float>& weights) {
    for (int row = 0; row < 3 * size_.height; ++row) {
      const int y = row % size_.height;
      float* const to = cleared(blurred_, y, size_.width, size_.width);
      for (int v = -radius_; v <= radius_; ++v) {
        for (int u = -radius_; u <= radius_; ++u) {
          const float w = weight(weights, v) * weight(weights, u);
          add(w, at(padded_, y + radius_ + v) + radius_ + u, size_.width, to);
        }
      }
    }
  }

  /// Columns, then rows; the same blur.
  void two_passes(const std::vector<float>& weights) {
    const int reach = static_cast<int>(weights.size()) - 1;
    for (int c = 0; c < 3; ++c) {
      for (int y = 0; y < size_.height; ++y) {
        float* const to = cleared(half_, y, width_, width_);
        for (int v = -reach; v <= reach; ++v) {
          add(weight(weights, v), at(padded_, y + radius_ + v), width_, to);
        }
      }
      for (int y = 0; y < size_.height; ++y) {
        float* const to = cleared(blurred_, y, size_.width, size_.width);
        for (int u = -reach; u <= reach; ++u) {
          add(weight(weights, u), at(half_, y) + radius_ + u, size_.width, to);
        }
      }
    }
  }

 private:
  static std::size_t area(int width, int height) {
    return static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
  }
  static float weight(const std::vector<float>& weights, int k) {
    return weights[static_cast<std::size_t>(std::abs(k))];
  }
  static void add(float weight, const float* from, int count, float* to) {
    for (int x = 0; x < count; ++x) to[x] += weight * from[x];
  }
  static float* cleared(std::vector<float>& rows, int y, int stride, int count) {
    float* const row = rows.data() + static_cast<std::ptrdiff_t>(y) * stride;
    std::fill_n(row, count, 0.0F);
    return row;
  }
  const float* at(const std::vector<float>& rows, int y) const {
    return rows.data() + static_cast<std::ptrdiff_t>(y) * width_;
  }

  Size size_;
  int radius_;
  int width_;  ///< of the padded rows
  std::vector<float> padded_;
  std::vector<float> half_;
  std::vector<float> blurred_;
};

class TrickBench {
 public:
  TrickBench(const RunConfig& config, std::shared_ptr<const Dataset> dataset, double seconds)
      : config_(config),
        dataset_(std::move(dataset)),
        seconds_(seconds),
        fused_(config.augment),
        plain_(config.augment, Place("augment"), Rendering::op_by_op),
        request_(decode_request(config.data)) {
    std::size_t most = 0;
    for (int view = 0; view < fused_.view_count(); ++view) {
      const Size size = fused_.view_size(view);
      most = std::max(
          most, 3 * static_cast<std::size_t>(size.width) * static_cast<std::size_t>(size.height));
    }
    values_.resize(most);
  }

  std::vector<Trick> run() {
    const Record first = dataset_->get(0);
    if (const auto* bytes = std::get_if<std::vector<std::uint8_t>>(&first)) {
      decoding(sniff(*bytes) == ImageFormat::jpeg);
    }
    rendering();
    blurring();
    if (std::holds_alternative<std::vector<std::uint8_t>>(first)) packing();
    return std::move(tricks_);
  }

 private:
  /// Image i, decoded.
  Image image(std::int64_t i) const { return decode_record(record(i), config_.data); }
  Record record(std::int64_t i) const { return dataset_->get(i % dataset_->size()); }

  ViewParameters draw(std::int64_t i, int view, Size size) const {
    return fused_.sample(1, {static_cast<std::uint64_t>(i), 0, 0}, view, size);
  }

  void render(const Augmenter& augmenter, const Image& image, std::int64_t i,
              PixelType type = PixelType::float32, PixelLayout layout = PixelLayout::planar) {
    for (int view = 0; view < augmenter.view_count(); ++view) {
      augmenter.render(image, view, draw(i, view, image.size()), {values_.data(), type, layout});
    }
  }

  /// One after the other on the same image, so that both have the same neighbours and clock.
  void compare(const std::string& name, const Work& without, const Work& with,
               const std::string& unit = "an image", const Work& prepare = {}) {
    double slow = 0.0;
    double fast = 0.0;
    std::int64_t count = 0;
    const auto end = std::chrono::steady_clock::now() +
                     std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                         std::chrono::duration<double>(seconds_));
    while (count < 2 || std::chrono::steady_clock::now() < end) {
      if (prepare) prepare(count);
      const double begin = thread_seconds();
      without(count);
      const double middle = thread_seconds();
      with(count);
      fast += thread_seconds() - middle;
      slow += middle - begin;
      ++count;
    }
    const double scale = 1e6 / static_cast<double>(count);
    tricks_.push_back({name, unit, scale * slow, scale * fast});
  }

  void decoding(bool jpeg) {
    Record bytes;
    const Work read = [&](std::int64_t i) { bytes = record(i); };
    Image reused;
    const Work one = [&](std::int64_t) {
      reused = decode(encoded(bytes), request_, std::move(reused));
    };
    compare(
        "one decode for all views",
        [&](std::int64_t i) {
          for (int view = 0; view < fused_.view_count(); ++view) one(i);
        },
        one, "an image, decoding", read);
    if (!jpeg) return;
    bool opencv = true;
    try {
      bytes = record(0);
      decode_other(encoded(bytes), ImageFormat::jpeg);
    } catch (const Error&) {
      opencv = false;
    }
    if (opencv) {
      compare(
          "libjpeg-turbo itself, not cv::imdecode",
          [&](std::int64_t) { decode_other(encoded(bytes), ImageFormat::jpeg); }, one,
          "an image, decoding", read);
    }
    compare(
        "the part that the crops read, where it is below 70 %", one,
        [&](std::int64_t i) {
          const Size size = probe(encoded(bytes), request_);
          std::vector<ViewParameters> parameters;
          for (int view = 0; view < fused_.view_count(); ++view) {
            parameters.push_back(draw(i, view, size));
          }
          auto part = part_to_decode(fused_, parameters, size);
          if (!part) return one(i);
          reused = decode_part(encoded(bytes), *part, std::move(reused));
        },
        "an image, decoding", read);
  }

  void rendering() {
    Image picture;
    const Work prepare = [&](std::int64_t i) { picture = image(i); };
    const Work fused = [&](std::int64_t i) { render(fused_, picture, i); };
    compare(
        "views in one go, not operation by operation",
        [&](std::int64_t i) { render(plain_, picture, i); }, fused, "an image, its views", prepare);
    compare(
        "bfloat16 channels last, not float32 planes", fused,
        [&](std::int64_t i) {
          render(fused_, picture, i, PixelType::bfloat16, PixelLayout::interleaved);
        },
        "an image, its views", prepare);
  }

  void blurring() {
    const ViewConfig& view = config_.augment.views.front();
    const auto op = std::find_if(view.chain.begin(), view.chain.end(),
                                 [](const auto& one) { return one.type == "gaussian_blur"; });
    if (op == view.chain.end()) return;
    const auto kernel = op->options.at("kernel").get<int>();
    const auto sigmas = op->options.at("sigma").get<std::array<double, 2>>();
    PlainBlur blur(fused_.view_size(0), kernel / 2);
    std::vector<float> full;
    std::vector<float> cut;
    const auto prepare = [&](std::int64_t i) {
      const double sigma = sigmas[0] + (sigmas[1] - sigmas[0]) * static_cast<double>(i % 16) / 15.0;
      make_blur_weights(kernel, sigma, cut);
      full.assign(static_cast<std::size_t>(kernel) / 2 + 1, 0.0F);
      std::copy(cut.begin(), cut.end(), full.begin());
    };
    const Work separable = [&](std::int64_t) { blur.two_passes(full); };
    compare(
        "blur in two passes, not with a square kernel", [&](std::int64_t) { blur.square(full); },
        separable, "a blur", prepare);
    compare(
        "blur without the weights that do not count", separable,
        [&](std::int64_t) { blur.two_passes(cut); }, "a blur", prepare);
  }

  void packing() {
    const ScratchFolder folder;
    std::vector<std::int64_t> indices(
        static_cast<std::size_t>(std::min(kPackedImages, dataset_->size())));
    for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<std::int64_t>(i);
    const std::shared_ptr<const Dataset> some = make_subset(dataset_, indices);
    const auto pack = [&](const char* name, PackFormat format, std::int64_t side) {
      const auto path = folder.path() / name;
      DataConfig data = config_.data;
      data.on_error = OnError::skip;
      data.max_bad = 1.0;
      write_pack(*some, data, {format, side, 90}, path, 1);
      return open_images(path, config_.data, "clr bench data");
    };
    const auto small = pack("small.clrpack", PackFormat::jpeg, 256);
    const auto raw = pack("raw.clrpack", PackFormat::raw, 256);
    Image reused;
    const auto all_of = [&](const Dataset& dataset) {
      return [&](std::int64_t i) {
        reused = decode_record(dataset.get(i % dataset.size()), config_.data, std::move(reused));
        render(fused_, reused, i);
      };
    };
    compare("packed at a shorter side of 256", all_of(*some), all_of(*small),
            "an image, all of it");
    compare("packed at 256 as pixels, not as JPEG", all_of(*small), all_of(*raw),
            "an image, all of it");
  }

  const RunConfig& config_;
  std::shared_ptr<const Dataset> dataset_;
  double seconds_;
  Augmenter fused_;
  Augmenter plain_;
  DecodeRequest request_;
  std::vector<float> values_;
  std::vector<Trick> tricks_;
};

}  // namespace

std::vector<Trick> measure_tricks(const RunConfig& config,
                                  const std::shared_ptr<const Dataset>& dataset, double seconds) {
  return TrickBench(config, dataset, seconds).run();
}

}  // namespace clr
