// SPDX-License-Identifier: Apache-2.0
#include "clr/data/heif_codec.h"

#include <libheif/heif.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>

#include "clr/core/error.h"

namespace clr {
namespace {

template <auto free>
struct Release {
  template <class T>
  void operator()(T* pointer) const {
    free(pointer);
  }
};
using Context = std::unique_ptr<heif_context, Release<heif_context_free>>;
using Handle = std::unique_ptr<heif_image_handle, Release<heif_image_handle_release>>;
using Pixels = std::unique_ptr<heif_image, Release<heif_image_release>>;
using Options = std::unique_ptr<heif_decoding_options, Release<heif_decoding_options_free>>;

void require(const heif_error& error) {
  if (error.code == heif_error_Ok) return;
  throw Error(ErrorKind::data,
              std::string("damaged or unsupported HEIF or AVIF: ") + error.message);
}

struct Primary {
  explicit Primary(std::span<const std::uint8_t> bytes) : context(heif_context_alloc()) {
    require(heif_context_read_from_memory_without_copy(context.get(), bytes.data(), bytes.size(),
                                                       nullptr));
    heif_image_handle* found = nullptr;
    require(heif_context_get_primary_image_handle(context.get(), &found));
    handle.reset(found);
  }

  Size size() const {
    const Size size{heif_image_handle_get_width(handle.get()),
                    heif_image_handle_get_height(handle.get())};
    if (size.width < 1 || size.height < 1) {
      throw Error(ErrorKind::data, "damaged HEIF or AVIF: no size in its header");
    }
    return size;
  }

  Context context;
  Handle handle;
};

}  // namespace

Size heif_size(std::span<const std::uint8_t> bytes) { return Primary(bytes).size(); }

Image decode_heif(std::span<const std::uint8_t> bytes) {
  const Primary primary(bytes);
  const Options options(heif_decoding_options_alloc());
  options->convert_hdr_to_8bit = 1;
  heif_image* decoded = nullptr;
  require(heif_decode_image(primary.handle.get(), &decoded, heif_colorspace_RGB,
                            heif_chroma_interleaved_RGB, options.get()));
  const Pixels pixels(decoded);
  Image image;
  image.width = heif_image_get_width(decoded, heif_channel_interleaved);
  image.height = heif_image_get_height(decoded, heif_channel_interleaved);
  if (image.size() != primary.size()) {
    throw Error(ErrorKind::data, "damaged HEIF or AVIF: its pixels have another size");
  }
  int stride = 0;
  const std::uint8_t* from =
      heif_image_get_plane_readonly(decoded, heif_channel_interleaved, &stride);
  if (from == nullptr) throw Error(ErrorKind::data, "damaged HEIF or AVIF: no pixels in it");
  const auto row = 3 * static_cast<std::size_t>(image.width);
  image.pixels.resize(row * static_cast<std::size_t>(image.height));
  for (int y = 0; y < image.height; ++y) {
    std::copy_n(from + static_cast<std::ptrdiff_t>(y) * stride, row,
                image.pixels.begin() + static_cast<std::ptrdiff_t>(row) * y);
  }
  return image;
}

}  // namespace clr
