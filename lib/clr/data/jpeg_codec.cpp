// SPDX-License-Identifier: Apache-2.0
#include "clr/data/jpeg_codec.h"

#include <cstddef>
#include <cstdio>
// libjpeg's headers need the two above first.
#include <jerror.h>
#include <jpeglib.h>

#include <algorithm>
#include <csetjmp>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "clr/core/error.h"

namespace clr {
namespace {

/// An honest progressive file has about ten scans; a bomb repeats the whole picture thousands of
/// times.
constexpr int kMostScans = 100;

struct ErrorState {
  jpeg_error_mgr manager;  // first, because libjpeg hands back a pointer to it
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* state = reinterpret_cast<ErrorState*>(info->err);
  state->manager.format_message(info, state->message);
  std::longjmp(state->jump, 1);
}

void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  const int code = info->err->msg_code;
  if (code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM || code == JWRN_BOGUS_ICC) return;
  on_error(info);
}

void on_progress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMostScans) return;
  auto* state = reinterpret_cast<ErrorState*>(info->err);
  std::snprintf(state->message, sizeof state->message, "more than %d scans", kMostScans);
  std::longjmp(state->jump, 1);
}

/// a * b / 255, rounded.
int multiply_255(int a, int b) {
  const int product = a * b + 128;
  return (product + (product >> 8)) >> 8;
}

/// Samples as Adobe stores them, 255 = no ink, so that the last one is the share of light itself.
void cmyk_to_rgb(const std::uint8_t* from, std::uint8_t* to, std::size_t pixels) {
  for (std::size_t i = 0; i < pixels; ++i, from += 4, to += 3) {
    const int light = from[3];
    for (int c = 0; c < 3; ++c) {
      to[c] = static_cast<std::uint8_t>(light - multiply_255(255 - from[c], light));
    }
  }
}

/// libjpeg reports errors by a jump: what runs under guarded() must own nothing that has a
/// destructor.
class JpegDecoder {
 public:
  explicit JpegDecoder(std::span<const std::uint8_t> bytes) {
    info_.err = jpeg_std_error(&state_.manager);
    state_.manager.error_exit = on_error;
    state_.manager.emit_message = on_message;
    progress_.progress_monitor = on_progress;
    guarded([](JpegDecoder& self) { jpeg_create_decompress(&self.info_); });
    info_.progress = &progress_;
    bytes_ = bytes;
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  Size read_header() {
    guarded([](JpegDecoder& self) {
      jpeg_mem_src(&self.info_, self.bytes_.data(), self.bytes_.size());
      jpeg_read_header(&self.info_, TRUE);
    });
    return {static_cast<int>(info_.image_width), static_cast<int>(info_.image_height)};
  }

  Image read_pixels(Image image) {
    set_output();
    image.width = static_cast<int>(info_.image_width);
    image.height = static_cast<int>(info_.image_height);
    const std::size_t width = info_.image_width;
    image.pixels.resize(3 * width * info_.image_height);
    if (is_cmyk()) inks_.resize(4 * width);
    next_row_ = image.pixels.data();
    guarded([](JpegDecoder& self) {
      jpeg_start_decompress(&self.info_);
      while (self.info_.output_scanline < self.info_.output_height) self.read_row();
      jpeg_finish_decompress(&self.info_);
    });
    return image;
  }

  /// A file of several scans has to be read to its end in any case.
  bool reads_in_parts() {
    return info_.progressive_mode == FALSE && !is_cmyk() &&
           jpeg_has_multiple_scans(&info_) == FALSE;
  }

  Image read_part(Region& region, Image image) {
    set_output();
    // Smooth upsampling looks at a neighbour, which the cut takes away: a block more on each side.
    constexpr int kMargin = 16;
    const int first = std::max(region.x - kMargin, 0);
    const auto whole = static_cast<int>(info_.image_width);
    left_ = static_cast<JDIMENSION>(first);
    columns_ = static_cast<JDIMENSION>(std::min(region.x + region.width + kMargin, whole) - first);
    top_ = static_cast<JDIMENSION>(region.y);
    rows_ = static_cast<JDIMENSION>(region.height);
    guarded([](JpegDecoder& self) {
      jpeg_start_decompress(&self.info_);
      jpeg_crop_scanline(&self.info_, &self.left_, &self.columns_);
      if (self.top_ > 0) jpeg_skip_scanlines(&self.info_, self.top_);
    });
    image.width = static_cast<int>(columns_);
    image.height = region.height;
    image.pixels.resize(3 * static_cast<std::size_t>(columns_) * rows_);
    next_row_ = image.pixels.data();
    guarded([](JpegDecoder& self) {
      for (JDIMENSION i = 0; i < self.rows_; ++i) self.read_row();
    });
    region.x = static_cast<int>(left_);
    region.width = image.width;
    return image;
  }

 private:
  bool is_cmyk() const {
    return info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK;
  }

  void set_output() {
    info_.out_color_space = is_cmyk() ? JCS_CMYK : JCS_RGB;
    info_.dct_method = JDCT_ISLOW;
    info_.do_fancy_upsampling = TRUE;
  }

  void read_row() {
    const std::size_t width = info_.output_width;
    JSAMPROW row = inks_.empty() ? next_row_ : inks_.data();
    jpeg_read_scanlines(&info_, &row, 1);
    if (!inks_.empty()) cmyk_to_rgb(inks_.data(), next_row_, width);
    next_row_ += 3 * width;
  }

  void guarded(void (*body)(JpegDecoder&)) {
    if (setjmp(state_.jump) != 0) {
      throw Error(ErrorKind::data, std::string("damaged JPEG: ") + state_.message);
    }
    body(*this);
  }

  jpeg_decompress_struct info_{};
  jpeg_progress_mgr progress_{};
  ErrorState state_{};
  std::span<const std::uint8_t> bytes_;
  std::vector<std::uint8_t> inks_;
  std::uint8_t* next_row_ = nullptr;
  JDIMENSION left_ = 0;
  JDIMENSION columns_ = 0;
  JDIMENSION top_ = 0;
  JDIMENSION rows_ = 0;
};

/// As JpegDecoder: nothing with a destructor is made under setjmp().
class JpegEncoder {
 public:
  JpegEncoder() {
    info_.err = jpeg_std_error(&state_.manager);
    state_.manager.error_exit = on_error;
    guarded([](JpegEncoder& self) { jpeg_create_compress(&self.info_); });
  }
  ~JpegEncoder() {
    jpeg_destroy_compress(&info_);
    std::free(buffer_);
  }
  JpegEncoder(const JpegEncoder&) = delete;
  JpegEncoder& operator=(const JpegEncoder&) = delete;

  std::vector<std::uint8_t> encode(const Image& image, int quality) {
    image_ = &image;
    quality_ = quality;
    guarded([](JpegEncoder& self) {
      jpeg_mem_dest(&self.info_, &self.buffer_, &self.size_);
      self.info_.image_width = static_cast<JDIMENSION>(self.image_->width);
      self.info_.image_height = static_cast<JDIMENSION>(self.image_->height);
      self.info_.input_components = 3;
      self.info_.in_color_space = JCS_RGB;
      jpeg_set_defaults(&self.info_);
      jpeg_set_quality(&self.info_, self.quality_, TRUE);
      self.info_.optimize_coding = TRUE;
      self.info_.dct_method = JDCT_ISLOW;
      jpeg_start_compress(&self.info_, TRUE);
      while (self.info_.next_scanline < self.info_.image_height) {
        auto* row = const_cast<JSAMPLE*>(  // read only, though not declared so
            self.image_->pixels.data() +
            std::size_t{3} * self.info_.next_scanline * self.info_.image_width);
        jpeg_write_scanlines(&self.info_, &row, 1);
      }
      jpeg_finish_compress(&self.info_);
    });
    return {buffer_, buffer_ + size_};
  }

 private:
  void guarded(void (*body)(JpegEncoder&)) {
    if (setjmp(state_.jump) != 0) {
      throw Error(ErrorKind::data, std::string("cannot be encoded as JPEG: ") + state_.message);
    }
    body(*this);
  }

  jpeg_compress_struct info_{};
  ErrorState state_{};
  unsigned char* buffer_ = nullptr;
  unsigned long size_ = 0;
  const Image* image_ = nullptr;
  int quality_ = 0;
};

}  // namespace

Size jpeg_size(std::span<const std::uint8_t> bytes) { return JpegDecoder(bytes).read_header(); }

Image decode_jpeg(std::span<const std::uint8_t> bytes, const std::function<void(Size)>& check_size,
                  Image reuse) {
  JpegDecoder decoder(bytes);
  check_size(decoder.read_header());
  return decoder.read_pixels(std::move(reuse));
}

Image decode_jpeg_part(std::span<const std::uint8_t> bytes, Region& wanted, Image reuse) {
  JpegDecoder decoder(bytes);
  const Size size = decoder.read_header();
  if (decoder.reads_in_parts()) return decoder.read_part(wanted, std::move(reuse));
  wanted = {0, 0, size.width, size.height};
  return decoder.read_pixels(std::move(reuse));
}

std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality) {
  return JpegEncoder().encode(image, quality);
}

}  // namespace clr
