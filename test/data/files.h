// SPDX-License-Identifier: Apache-2.0
// What the tests of data/ share: a folder of their own, and files to put there.
#pragma once

#include <cstdio>
// libjpeg's header needs the one above first.
#include <jpeglib.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "clr/core/error.h"
#include "clr/core/image.h"

namespace clr::test {

using Bytes = std::vector<std::uint8_t>;

/// An empty folder that is gone at the end.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "clr_data_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  /// Writes a file, and the folders above it.
  std::string write(const std::string& name, const Bytes& bytes) const {
    const std::filesystem::path whole(path_ + "/" + name);
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return whole.string();
  }
  std::string write(const std::string& name, const std::string& text) const {
    return write(name, Bytes(text.begin(), text.end()));
  }

 private:
  std::string path_;
};

inline Bytes read_all(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(stream), {});
}

/// The golden file of that name in test/golden/decode.
inline Bytes golden(const std::string& name) {
  return read_all(std::string(CLR_TEST_DATA_DIR) + "/decode/" + name);
}

/// A JPEG of an image. `configure` may change libjpeg's settings.
inline Bytes encode_jpeg(const Image& image,
                         const std::function<void(jpeg_compress_struct&)>& configure = {}) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* data = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &data, &size);
  info.image_width = static_cast<JDIMENSION>(image.width);
  info.image_height = static_cast<JDIMENSION>(image.height);
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  if (configure) configure(info);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = const_cast<std::uint8_t*>(
        &image.pixels[3 * static_cast<std::size_t>(image.width) * info.next_scanline]);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  Bytes bytes(data, data + size);
  std::free(data);
  return bytes;
}

/// A picture that differs from all others: a gradient from a colour of its own.
inline Image numbered_image(int number, int width = 20, int height = 16) {
  Image image{width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.pixels.push_back(static_cast<std::uint8_t>(37 * number + 5 * x));
      image.pixels.push_back(static_cast<std::uint8_t>(91 * number + 7 * y));
      image.pixels.push_back(static_cast<std::uint8_t>(13 * number + 3 * x + y));
    }
  }
  return image;
}

inline Bytes numbered_jpeg(int number, int width = 20, int height = 16) {
  return encode_jpeg(numbered_image(number, width, height));
}

/// The message of the Error of that kind which `action` must end in; nothing if it ends otherwise.
template <class Action>
std::optional<std::string> error_of(Action action, ErrorKind kind = ErrorKind::data) {
  try {
    action();
  } catch (const Error& error) {
    if (error.kind() == kind) return error.what();
  }
  return std::nullopt;
}

inline bool contains(const std::optional<std::string>& text, const std::string& part) {
  return text && text->find(part) != std::string::npos;
}

}  // namespace clr::test
