// SPDX-License-Identifier: Apache-2.0
#include "bench_data_tricks.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
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

namespace clr {
namespace {

constexpr std::int64_t kPackedImages = 200;

/// Work on image number i.
using Work = std::function<void(std::int64_t)>;

std::span<const std::uint8_t> encoded(const Record& record) {
  return std::get<std::vector<std::uint8_t>>(record);
}

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
      most = std::max(most, 3 * static_cast<std::size_t>(size.width) *
                                static_cast<std::size_t>(size.height));
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
    compare("one decode for all views", [&](std::int64_t i) {
      for (int view = 0; view < fused_.view_count(); ++view) one(i);
    }, one, "an image, decoding", read);
    if (!jpeg) return;
    bool opencv = true;
    try {
      bytes = record(0);
      decode_other(encoded(bytes), ImageFormat::jpeg);
    } catch (const Error&) {
      opencv = false;
    }
    if (opencv) {
      compare("libjpeg-turbo itself, not cv::imdecode", [&](std::int64_t) {
        decode_other(encoded(bytes), ImageFormat::jpeg);
      }, one, "an image, decoding", read);
    }
    compare("the part that the crops read, where it is below 70 %", one, [&](std::int64_t i) {
      const Size size = probe(encoded(bytes), request_);
      int left = size.width;
      int top = size.height;
      int right = 0;
      int bottom = 0;
      for (int view = 0; view < fused_.view_count(); ++view) {
        const auto source = fused_.source(view, draw(i, view, size));
        const Region box = source.value_or(Region{0, 0, size.width, size.height});
        left = std::min(left, box.x);
        top = std::min(top, box.y);
        right = std::max(right, box.x + box.width);
        bottom = std::max(bottom, box.y + box.height);
      }
      Region part{left, top, right - left, bottom - top};
      const double share = static_cast<double>(part.width) * part.height /
                           (static_cast<double>(size.width) * size.height);
      if (share >= 0.7) return one(i);
      reused = decode_part(encoded(bytes), request_, part, std::move(reused));
    }, "an image, decoding", read);
  }

  void rendering() {
    Image picture;
    const Work prepare = [&](std::int64_t i) { picture = image(i); };
    const Work fused = [&](std::int64_t i) { render(fused_, picture, i); };
    compare("views in one go, not operation by operation",
            [&](std::int64_t i) { render(plain_, picture, i); }, fused, "an image, its views", prepare);
    compare("bfloat16 channels last, not float32 planes", fused, [&](std::int64_t i) {
      render(fused_, picture, i, PixelType::bfloat16, PixelLayout::interleaved);
    }, "an image, its views", prepare);
  }

  /// The blur of a view in three forms, written plainly: what the algorithm is worth, not the code.
  void blurring() {
    const ViewConfig& view = config_.augment.views.front();
    const auto op = std::find_if(view.chain.begin(), view.chain.end(), [](const auto& one) {
      return one.type == "gaussian_blur";
    });
    if (op == view.chain.end()) return;
    const auto kernel = op->options.at("kernel").get<int>();
    const auto sigmas = op->options.at("sigma").get<std::array<double, 2>>();
    const Size size = fused_.view_size(0);
    const int radius = kernel / 2;
    const int width = size.width + 2 * radius;
    std::vector<float> padded(static_cast<std::size_t>(width) *
                                  static_cast<std::size_t>(size.height + 2 * radius),
                              0.5F);
    std::vector<float> half(padded.size(), 0.5F);
    std::vector<float> blurred(static_cast<std::size_t>(size.width) *
                               static_cast<std::size_t>(size.height));
    std::vector<float> full;
    std::vector<float> cut;
    const auto prepare = [&](std::int64_t i) {
      const double sigma = sigmas[0] + (sigmas[1] - sigmas[0]) * static_cast<double>(i % 16) / 15.0;
      make_blur_weights(kernel, sigma, cut);
      full.assign(static_cast<std::size_t>(radius) + 1, 0.0F);
      std::copy(cut.begin(), cut.end(), full.begin());
    };
    const auto weight = [](const std::vector<float>& weights, int k) {
      return weights[static_cast<std::size_t>(std::abs(k))];
    };
    const Work square = [&](std::int64_t) {
      for (int c = 0; c < 3; ++c) {
        for (int y = 0; y < size.height; ++y) {
          float* const to = blurred.data() + static_cast<std::ptrdiff_t>(y) * size.width;
          std::fill_n(to, size.width, 0.0F);
          for (int v = -radius; v <= radius; ++v) {
            for (int u = -radius; u <= radius; ++u) {
              const float w = weight(full, v) * weight(full, u);
              const float* const from = padded.data() +
                                        static_cast<std::ptrdiff_t>(y + radius + v) * width +
                                        radius + u;
              for (int x = 0; x < size.width; ++x) to[x] += w * from[x];
            }
          }
        }
      }
    };
    const auto passes = [&](const std::vector<float>& weights) {
      const int reach = static_cast<int>(weights.size()) - 1;
      for (int c = 0; c < 3; ++c) {
        for (int y = 0; y < size.height; ++y) {
          float* const to = half.data() + static_cast<std::ptrdiff_t>(y) * width;
          std::fill_n(to, width, 0.0F);
          for (int v = -reach; v <= reach; ++v) {
            const float w = weight(weights, v);
            const float* const from =
                padded.data() + static_cast<std::ptrdiff_t>(y + radius + v) * width;
            for (int x = 0; x < width; ++x) to[x] += w * from[x];
          }
        }
        for (int y = 0; y < size.height; ++y) {
          float* const to = blurred.data() + static_cast<std::ptrdiff_t>(y) * size.width;
          std::fill_n(to, size.width, 0.0F);
          for (int u = -reach; u <= reach; ++u) {
            const float w = weight(weights, u);
            const float* const from =
                half.data() + static_cast<std::ptrdiff_t>(y) * width + radius + u;
            for (int x = 0; x < size.width; ++x) to[x] += w * from[x];
          }
        }
      }
    };
    const Work separable = [&](std::int64_t) { passes(full); };
    compare("blur in two passes, not with a square kernel", square, separable, "a blur", prepare);
    compare("blur without the weights that do not count", separable,
            [&](std::int64_t) { passes(cut); }, "a blur", prepare);
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
      return open_dataset(path, config_.data);
    };
    const auto small = pack("small.clrpack", PackFormat::jpeg, 256);
    const auto raw = pack("raw.clrpack", PackFormat::raw, 256);
    Image reused;
    const auto all_of = [&](const Dataset& dataset) {
      return [&](std::int64_t i) {
        Record one = dataset.get(i % dataset.size());
        if (const auto* bytes = std::get_if<std::vector<std::uint8_t>>(&one)) {
          reused = decode(*bytes, request_, std::move(reused));
        } else {
          reused = std::move(std::get<Image>(one));
        }
        render(fused_, reused, i);
      };
    };
    compare("packed at a shorter side of 256", all_of(*some), all_of(*small), "an image, all of it");
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

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::vector<Trick> measure_tricks(const RunConfig& config,
                                  const std::shared_ptr<const Dataset>& dataset, double seconds) {
  return TrickBench(config, dataset, seconds).run();
}

}  // namespace clr
