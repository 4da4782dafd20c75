// SPDX-License-Identifier: Apache-2.0
#include "clr/data/gif_codec.h"

#include <fmt/format.h>
#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "clr/core/error.h"

namespace clr {
namespace {

[[noreturn]] void damaged(const std::string& what) {
  throw Error(ErrorKind::data, "damaged GIF: " + what);
}

class GifReader {
 public:
  explicit GifReader(std::span<const std::uint8_t> bytes) : rest_(bytes) {
    int error = 0;
    file_ = DGifOpen(this, read, &error);
    if (file_ == nullptr) damaged(describe(error));
    if (file_->SWidth < 1 || file_->SHeight < 1) {
      const std::string size = fmt::format("a size of {} x {}", file_->SWidth, file_->SHeight);
      close();
      damaged(size);
    }
  }
  ~GifReader() { close(); }
  GifReader(const GifReader&) = delete;
  GifReader& operator=(const GifReader&) = delete;

  Size size() const { return {file_->SWidth, file_->SHeight}; }

  Image read_first() {
    find_picture();
    const GifImageDesc& picture = file_->Image;
    if (picture.Width < 1 || picture.Height < 1 || picture.Left < 0 || picture.Top < 0 ||
        picture.Left > file_->SWidth - picture.Width ||
        picture.Top > file_->SHeight - picture.Height) {
      damaged("its first picture leaves its screen");
    }
    const ColorMapObject* colors =
        picture.ColorMap != nullptr ? picture.ColorMap : file_->SColorMap;
    if (colors == nullptr) damaged("no palette");
    Image image;
    image.width = file_->SWidth;
    image.height = file_->SHeight;
    image.pixels.resize(3 * static_cast<std::size_t>(image.width) *
                        static_cast<std::size_t>(image.height));
    fill(image);
    std::vector<GifPixelType> line(static_cast<std::size_t>(picture.Width));
    const auto read_line = [&](int y) {
      require(DGifGetLine(file_, line.data(), picture.Width));
      std::uint8_t* to = image.pixels.data() + 3 * (static_cast<std::size_t>(picture.Top + y) *
                                                        static_cast<std::size_t>(image.width) +
                                                    static_cast<std::size_t>(picture.Left));
      for (const GifPixelType number : line) {
        if (number >= colors->ColorCount) damaged("a color that its palette lacks");
        const GifColorType& color = colors->Colors[number];
        to[0] = color.Red;
        to[1] = color.Green;
        to[2] = color.Blue;
        to += 3;
      }
    };
    constexpr std::array<std::array<int, 2>, 4> kPasses = {{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};
    if (picture.Interlace) {
      for (const auto& [first, step] : kPasses) {
        for (int y = first; y < picture.Height; y += step) read_line(y);
      }
    } else {
      for (int y = 0; y < picture.Height; ++y) read_line(y);
    }
    return image;
  }

 private:
  static int read(GifFileType* file, GifByteType* to, int count) {
    auto& rest = static_cast<GifReader*>(file->UserData)->rest_;
    const std::size_t got = std::min(rest.size(), static_cast<std::size_t>(count));
    std::copy_n(rest.begin(), got, to);
    rest = rest.subspan(got);
    return static_cast<int>(got);
  }

  static std::string describe(int error) {
    const char* text = GifErrorString(error);
    return text == nullptr ? "unknown error" : text;
  }

  void require(int status) const {
    if (status == GIF_ERROR) damaged(describe(file_->Error));
  }

  void close() {
    int ignored = 0;
    DGifCloseFile(file_, &ignored);
  }

  /// Past comments and the like.
  void find_picture() {
    while (true) {
      GifRecordType type = UNDEFINED_RECORD_TYPE;
      require(DGifGetRecordType(file_, &type));
      if (type == IMAGE_DESC_RECORD_TYPE) {
        require(DGifGetImageDesc(file_));
        return;
      }
      if (type == TERMINATE_RECORD_TYPE) damaged("no picture in it");
      int code = 0;
      GifByteType* block = nullptr;
      require(DGifGetExtension(file_, &code, &block));
      while (block != nullptr) require(DGifGetExtensionNext(file_, &block));
    }
  }

  void fill(Image& image) const {
    const ColorMapObject* colors = file_->SColorMap;
    if (colors == nullptr || file_->SBackGroundColor >= colors->ColorCount) return;
    const GifColorType& color = colors->Colors[file_->SBackGroundColor];
    for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
      image.pixels[i] = color.Red;
      image.pixels[i + 1] = color.Green;
      image.pixels[i + 2] = color.Blue;
    }
  }

  std::span<const std::uint8_t> rest_;
  GifFileType* file_ = nullptr;
};

}  // namespace

Size gif_size(std::span<const std::uint8_t> bytes) { return GifReader(bytes).size(); }

Image decode_gif(std::span<const std::uint8_t> bytes) { return GifReader(bytes).read_first(); }

}  // namespace clr
