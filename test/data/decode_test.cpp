// SPDX-License-Identifier: Apache-2.0
// Pillow's pixels for odd files (test/golden/decode/README.md), and files that are made here.
#include "clr/data/decode.h"

#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "clr/config/json.h"
#include "clr/core/rng.h"
#include "data/files.h"
#include "support/catch.h"

namespace clr {
namespace {

using test::Bytes;
using test::contains;
using test::error_of;
using test::golden;

/// A build without OpenCV must say so for every format but JPEG.
bool jpeg_only() {
  return contains(error_of([] { decode(golden("plain.png"), {}); }), "this build reads JPEG only");
}

bool readable(const Bytes& bytes) {
  const std::string format = format_name(bytes);
  if (format == "GIF" || format == "HEIF or AVIF") {
    return !contains(error_of([&] { decode(bytes, {}); }), "this build does not read");
  }
  return !jpeg_only() || format == "JPEG";
}

Image golden_pixels(const std::string& name) {
  const Bytes bytes = golden(name);
  CATCH_REQUIRE(bytes.size() > 10);
  const std::size_t begin = 10U + bytes[8] + 256U * bytes[9];
  const std::string header(bytes.begin() + 10, bytes.begin() + static_cast<std::ptrdiff_t>(begin));
  CATCH_REQUIRE(header.find("'descr': '|u1', 'fortran_order': False") != std::string::npos);
  Image image;
  CATCH_REQUIRE(std::sscanf(header.c_str() + header.find("'shape'"), "'shape': (%d, %d, 3)",
                            &image.height, &image.width) == 2);
  image.pixels.assign(bytes.begin() + static_cast<std::ptrdiff_t>(begin), bytes.end());
  return image;
}

Json golden_cases() {
  const Bytes text = golden("cases.json");
  return Json::parse(text.begin(), text.end())["cases"];
}

bool same(const Image& a, const Image& b) { return a.size() == b.size() && a.pixels == b.pixels; }

/// An uncompressed little-endian TIFF of one strip.
struct TiffOptions {
  int orientation = 1;
  int alpha = 0;  ///< value of ExtraSamples, for 4 channels
};

Bytes make_tiff(int width, int height, int bits, int channels, const Bytes& samples,
                const TiffOptions& options = {}) {
  Bytes bytes = {'I', 'I', 42, 0, 8, 0, 0, 0};
  const auto number = [&bytes](std::uint32_t value, int count) {
    for (int i = 0; i < count; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  };
  constexpr int kTags = 12;
  constexpr int kBits = 8 + 2 + 12 * kTags + 4;  // where the list of bits a sample stands
  const int data = kBits + 2 * channels;
  const std::vector<std::pair<int, int>> tags = {{256, width},
                                                 {257, height},
                                                 {258, channels == 1 ? bits : kBits},
                                                 {259, 1},
                                                 {262, channels == 1 ? 1 : 2},
                                                 {273, data},
                                                 {274, options.orientation},
                                                 {277, channels},
                                                 {278, height},
                                                 {279, static_cast<int>(samples.size())},
                                                 {284, 1},
                                                 {channels == 4 ? 338 : 32768, options.alpha}};
  number(kTags, 2);
  for (const auto& [tag, value] : tags) {
    number(static_cast<std::uint32_t>(tag), 2);
    number(tag == 258 || tag == 338 ? 3 : 4, 2);
    number(tag == 258 ? static_cast<std::uint32_t>(channels) : 1, 4);
    number(static_cast<std::uint32_t>(value), 4);
  }
  number(0, 4);
  for (int i = 0; i < channels; ++i) number(static_cast<std::uint32_t>(bits), 2);
  bytes.insert(bytes.end(), samples.begin(), samples.end());
  return bytes;
}

Bytes make_pnm(const std::string& header, const Bytes& samples) {
  Bytes bytes(header.begin(), header.end());
  bytes.insert(bytes.end(), samples.begin(), samples.end());
  return bytes;
}

CATCH_TEST_CASE("odd files decode to Pillow's pixels or are refused", "[data]") {
  const Json cases = golden_cases();
  CATCH_REQUIRE(cases.size() >= 30);
  for (const Json& entry : cases) {
    const std::string file = entry["file"];
    CATCH_CAPTURE(file);
    const Bytes bytes = golden(file);
    if (entry.contains("error") || !readable(bytes)) {
      const auto message = error_of([&] { decode(bytes, {}); });
      CATCH_CHECK(message);
      CATCH_CHECK_FALSE(contains(message, "\n"));
      continue;
    }
    const Image expected = golden_pixels(entry["expected"]);
    const Image image = decode(bytes, {});
    CATCH_CHECK(same(image, expected));
    CATCH_CHECK(probe(bytes, {}) == expected.size());
  }
}

CATCH_TEST_CASE("messages say what is wrong with a file", "[data]") {
  CATCH_CHECK(contains(error_of([] { decode({}, {}); }), "got an empty file"));
  CATCH_CHECK(contains(error_of([] { decode(golden("garbage.jpg"), {}); }), "got something else"));
  if (readable(golden("animation.gif"))) {
    CATCH_CHECK(contains(error_of([] { decode(golden("truncated.gif"), {}); }), "damaged GIF"));
  }
  CATCH_CHECK(contains(error_of([] { decode(golden("truncated.jpg"), {}); }),
                       "damaged JPEG: Premature end"));
  CATCH_CHECK(contains(error_of([] { decode(golden("truncated.png"), {}); }), "damaged PNG"));
  CATCH_CHECK(contains(error_of([] { decode(golden("bomb.png"), {}); }), "60000 x 60000"));
  CATCH_CHECK(std::string(format_name(golden("png_named.jpg"))) == "PNG");
}

CATCH_TEST_CASE("too many pixels are refused before decoding", "[data]") {
  for (const char* file : {"plain_444.jpg", "plain.png", "plain.bmp", "lossless.webp"}) {
    CATCH_CAPTURE(file);
    const Bytes bytes = golden(file);
    CATCH_CHECK(contains(error_of([&] {
                           decode(bytes, {false, 26 * 18 - 1});
                         }),
                         "data.max_pixels"));
    CATCH_CHECK(contains(error_of([&] { probe(bytes, {false, 26 * 18 - 1}); }), "data.max_pixels"));
    CATCH_CHECK(probe(bytes, {false, 26 * 18}) == Size{26, 18});
    if (readable(bytes)) CATCH_CHECK(decode(bytes, {false, 26 * 18}).size() == Size{26, 18});
  }
  Bytes wide = make_pnm("P6 70000 1 255\n", Bytes(3 * 70000));
  CATCH_CHECK(contains(error_of([&] { probe(wide, {}); }), "65500"));
}

CATCH_TEST_CASE("a file cut off anywhere is refused", "[data]") {
  for (const char* file : {"plain_420.jpg", "progressive.jpg", "cmyk_adobe.jpg", "plain.png",
                           "gray16.png", "palette.png", "plain.bmp", "lossless.webp"}) {
    const Bytes bytes = golden(file);
    for (std::size_t length = 0; length < bytes.size(); length += 1 + length / 16) {
      CATCH_CAPTURE(file, length);
      CATCH_CHECK(error_of([&] { decode(std::span(bytes).first(length), {}); }));
    }
    CATCH_CAPTURE(file);
    CATCH_CHECK(error_of([&] { decode(std::span(bytes).first(bytes.size() - 1), {}); }));
  }
}

CATCH_TEST_CASE("a damaged PNG is refused, wherever the damage is", "[data]") {
  const Bytes bytes = golden("plain.png");
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    Bytes damaged = bytes;
    damaged[at] ^= 0x10U;
    CATCH_CAPTURE(at);
    CATCH_CHECK(error_of([&] { decode(damaged, {}); }));
  }
}

/// An 8-bit gray PNG whose compressed rows are `rows` of the `height` that its header names.
Bytes make_png(std::uint8_t width, std::uint8_t height, int rows) {
  Bytes bytes = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  const auto chunk = [&bytes](const std::string& type, const Bytes& content) {
    const auto number = [&bytes](unsigned long value) {
      for (int shift = 24; shift >= 0; shift -= 8)
        bytes.push_back(static_cast<std::uint8_t>(value >> shift));
    };
    number(content.size());
    const std::size_t begin = bytes.size();
    bytes.insert(bytes.end(), type.begin(), type.end());
    bytes.insert(bytes.end(), content.begin(), content.end());
    number(crc32(0, &bytes[begin], static_cast<unsigned>(bytes.size() - begin)));
  };
  chunk("IHDR", {0, 0, 0, width, 0, 0, 0, height, 8, 0, 0, 0, 0});
  const Bytes raw(static_cast<std::size_t>((1 + width) * rows), 0);
  Bytes packed(compressBound(raw.size()));
  uLongf size = packed.size();
  compress(packed.data(), &size, raw.data(), raw.size());
  packed.resize(size);
  chunk("IDAT", packed);
  chunk("IEND", {});
  return bytes;
}

CATCH_TEST_CASE("a PNG with too few pixels in whole chunks is refused", "[data]") {
  if (!jpeg_only()) CATCH_CHECK(decode(make_png(8, 8, 8), {}).pixels == Bytes(3 * 64, 0));
  CATCH_CHECK(error_of([] { decode(make_png(8, 8, 5), {}); }));
  CATCH_CHECK(error_of([] { decode(make_png(8, 8, 0), {}); }));
}

CATCH_TEST_CASE("damage anywhere ends in pixels or a data error, never otherwise", "[data]") {
  for (const char* file : {"plain_420.jpg", "progressive.jpg", "ycck_adobe.jpg",
                           "exif_orientation_6.jpg", "plain.bmp", "lossless.webp"}) {
    const Bytes bytes = golden(file);
    int refused = 0;
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      Bytes damaged = bytes;
      damaged[at] = static_cast<std::uint8_t>(damaged[at] ^ (1U << (at % 8)));
      CATCH_CAPTURE(file, at);
      try {
        const Image image = decode(damaged, {true, 100'000});
        CATCH_CHECK(image.pixels.size() ==
                    static_cast<std::size_t>(3 * image.width * image.height));
      } catch (const Error& error) {
        CATCH_CHECK(error.kind() == ErrorKind::data);
        ++refused;
      }
    }
    CATCH_CHECK(refused > 20);
  }
}

CATCH_TEST_CASE("EXIF orientation is applied when asked for", "[data]") {
  Bytes bytes = golden("exif_orientation_6.jpg");
  const Image stored = decode(bytes, {});
  // The tag as Pillow writes it: number 0x0112, type 3, one value.
  const std::vector<Bytes> patterns = {{0x01, 0x12, 0, 3, 0, 0, 0, 1, 0},
                                       {0x12, 0x01, 3, 0, 1, 0, 0, 0}};
  std::size_t place = 0;
  for (const Bytes& pattern : patterns) {
    const auto found = std::search(bytes.begin(), bytes.end(), pattern.begin(), pattern.end());
    if (found != bytes.end())
      place = static_cast<std::size_t>(found - bytes.begin()) + pattern.size();
  }
  CATCH_REQUIRE(bytes.at(place) == 6);
  const int last_x = stored.width - 1;
  const int last_y = stored.height - 1;
  for (int orientation = 1; orientation <= 8; ++orientation) {
    CATCH_CAPTURE(orientation);
    bytes[place] = static_cast<std::uint8_t>(orientation);
    const Image upright = decode(bytes, {true, 1'000'000});
    const bool turned = orientation >= 5;
    CATCH_REQUIRE(upright.size() == (turned ? Size{18, 26} : Size{26, 18}));
    CATCH_CHECK(probe(bytes, {true, 1'000'000}) == upright.size());
    CATCH_CHECK(probe(bytes, {false, 1'000'000}) == stored.size());
    bool equal = true;
    for (int y = 0; y < stored.height; ++y) {
      for (int x = 0; x < stored.width; ++x) {
        // Where the EXIF standard puts stored column x of row y.
        const std::vector<std::pair<int, int>> to = {
            {x, y}, {last_x - x, y}, {last_x - x, last_y - y}, {x, last_y - y},
            {y, x}, {last_y - y, x}, {last_y - y, last_x - x}, {y, last_x - x}};
        const auto [to_x, to_y] = to[static_cast<std::size_t>(orientation - 1)];
        const auto* a = &stored.pixels[static_cast<std::size_t>(3 * (y * stored.width + x))];
        const auto* b =
            &upright.pixels[static_cast<std::size_t>(3 * (to_y * upright.width + to_x))];
        equal = equal && std::equal(a, a + 3, b);
      }
    }
    CATCH_CHECK(equal);
  }
}

CATCH_TEST_CASE("a JPEG with hundreds of scans is refused", "[data]") {
  const Image image = test::numbered_image(3, 64, 48);
  for (const int coefficients : {20, 63}) {
    // One scan for all DC values, then one a component and coefficient.
    std::vector<jpeg_scan_info> scans = {{3, {0, 1, 2}, 0, 0, 0, 0}};
    for (int component = 0; component < 3; ++component) {
      for (int k = 1; k <= coefficients; ++k) scans.push_back({1, {component}, k, k, 0, 0});
      if (coefficients < 63) scans.push_back({1, {component}, coefficients + 1, 63, 0, 0});
    }
    const Bytes bytes = test::encode_jpeg(image, [&](jpeg_compress_struct& info) {
      info.scan_info = scans.data();
      info.num_scans = static_cast<int>(scans.size());
    });
    CATCH_CAPTURE(scans.size());
    if (scans.size() <= 100) {
      CATCH_CHECK(same(decode(bytes, {}), decode(test::encode_jpeg(image), {})));
    } else {
      CATCH_CHECK(contains(error_of([&] { decode(bytes, {}); }), "more than 100 scans"));
    }
  }
}

CATCH_TEST_CASE("PNM and TIFF decode by content", "[data]") {
  const Image image = test::numbered_image(1, 5, 4);
  const Bytes ppm = make_pnm("P6\n# a comment\n5 4\n255\n", image.pixels);
  const Bytes tiff = make_tiff(5, 4, 8, 3, image.pixels);
  CATCH_CHECK(std::string(format_name(ppm)) == "PNM");
  CATCH_CHECK(std::string(format_name(tiff)) == "TIFF");
  CATCH_CHECK(probe(ppm, {}) == Size{5, 4});
  CATCH_CHECK(probe(tiff, {}) == Size{5, 4});
  for (const Bytes& bytes : {ppm, tiff}) {
    CATCH_CHECK(error_of([&] { decode(std::span(bytes).first(bytes.size() - 1), {}); }));
    CATCH_CHECK(error_of([&] { decode(std::span(bytes).first(bytes.size() / 2), {}); }));
    if (!readable(bytes)) continue;
    CATCH_CHECK(same(decode(bytes, {}), image));
  }
  CATCH_CHECK(contains(error_of([] { decode(make_pnm("P5 1 1 100\n", {7}), {}); }),
                       "largest value of 100"));
  CATCH_CHECK(contains(error_of([] { decode(make_tiff(1, 1, 32, 1, Bytes(4)), {}); }),
                       "TIFF with 32 bits"));
  if (jpeg_only()) return;
  // 16 bits, gray: 128 / 257 rounds down, 129 / 257 up.
  const Bytes little = {0, 0, 128, 0, 129, 0, 255, 255};
  const Bytes big = {0, 0, 0, 128, 0, 129, 255, 255};
  const Bytes expected = {0, 0, 0, 0, 0, 0, 1, 1, 1, 255, 255, 255};
  CATCH_CHECK(decode(make_tiff(2, 2, 16, 1, little), {}).pixels == expected);
  CATCH_CHECK(decode(make_pnm("P5 2 2 65535\n", big), {}).pixels == expected);

  // Alpha of 0 and 128 leaves the colours alone, whatever kind it is declared to be.
  const Bytes rgba = {10, 20, 30, 0, 40, 50, 60, 128};
  for (const int alpha : {0, 1, 2}) {
    CATCH_CAPTURE(alpha);
    CATCH_CHECK(decode(make_tiff(2, 1, 8, 4, rgba, {1, alpha}), {}).pixels ==
                Bytes{10, 20, 30, 40, 50, 60});
  }
  // Orientation 6: turned clockwise.
  const Bytes turned = make_tiff(2, 1, 8, 3, {1, 2, 3, 4, 5, 6}, {6, 0});
  CATCH_CHECK(probe(turned, {}) == Size{1, 2});
  CATCH_CHECK(decode(turned, {}).size() == Size{1, 2});
  CATCH_CHECK(decode(turned, {}).pixels == Bytes{1, 2, 3, 4, 5, 6});
}

CATCH_TEST_CASE("a small JPEG that says it is huge is refused by its header", "[data]") {
  Bytes bytes = test::numbered_jpeg(1);
  // The frame header: marker, length, precision, height, width.
  const Bytes marker = {0xff, 0xc0};
  const auto frame = std::search(bytes.begin(), bytes.end(), marker.begin(), marker.end());
  CATCH_REQUIRE(frame != bytes.end());
  const Bytes sides = {20'000 >> 8, 20'000 & 255, 20'000 >> 8, 20'000 & 255};
  std::copy(sides.begin(), sides.end(), frame + 5);
  for (const auto& action :
       {std::function([&] { decode(bytes, {}); }), std::function([&] { probe(bytes, {}); })}) {
    CATCH_CHECK(contains(error_of(action), "got 20000 x 20000; see data.max_pixels"));
  }
}

CATCH_TEST_CASE("AVIF and HEIF give their pixels", "[data]") {
  for (const char* name : {"photo.avif", "photo.heic"}) {
    CATCH_CAPTURE(name);
    const Bytes bytes = golden(name);
    if (!readable(bytes)) {
      CATCH_WARN("not in this build");
      continue;
    }
    const Image expected = golden_pixels(std::string(name) + ".npy");
    CATCH_CHECK(probe(bytes, {}) == expected.size());
    const Image image = decode(bytes, {});
    CATCH_REQUIRE(image.size() == expected.size());
    int largest = 0;
    for (std::size_t i = 0; i < image.pixels.size(); ++i) {
      largest = std::max(largest, std::abs(image.pixels[i] - expected.pixels[i]));
    }
    CATCH_CHECK(largest <= 2);
    CATCH_CHECK(contains(error_of([&] { decode(bytes, {false, 10}); }), "data.max_pixels"));
    for (std::size_t length = 12; length < bytes.size() - 1; length += 97) {
      CATCH_CHECK(error_of([&] { decode(std::span(bytes).first(length), {}); }));
    }
  }
}

/// Flips bits all over a file: whatever is said of it, it ends.
CATCH_TEST_CASE("damaged GIF, AVIF and HEIF files end in pixels or in a message", "[data]") {
  for (const char* name : {"animation.gif", "interlaced.gif", "photo.avif", "photo.heic"}) {
    const Bytes bytes = golden(name);
    if (!readable(bytes)) continue;
    for (std::size_t at = 6; at < bytes.size(); at += 3) {
      Bytes damaged = bytes;
      damaged[at] ^= static_cast<std::uint8_t>(1U << (at % 8));
      try {
        const Image image = decode(damaged, {false, 1'000'000});
        CATCH_CHECK(image.pixels.size() == 3 * static_cast<std::size_t>(image.width) *
                                               static_cast<std::size_t>(image.height));
      } catch (const Error& error) {
        CATCH_CHECK(error.kind() == ErrorKind::data);
      }
    }
  }
}

CATCH_TEST_CASE("a part of an image has the pixels of the whole", "[data]") {
  const std::vector<std::pair<int, int>> samplings = {{1, 1}, {2, 1}, {2, 2}, {1, 2}};
  for (const auto& [across, down] : samplings) {
    for (const int restart : {0, 1}) {
      const Image picture = test::numbered_image(5, 211, 149);
      const Bytes bytes = test::encode_jpeg(picture, [&](jpeg_compress_struct& info) {
        info.comp_info[0].h_samp_factor = across;
        info.comp_info[0].v_samp_factor = down;
        info.restart_in_rows = restart;
      });
      const Image whole = decode(bytes, {});
      Image image;
      for (int i = 0; i < 300; ++i) {
        const Rng rng(4, {static_cast<std::uint64_t>(i), 0, 0}, OpId::none);
        Region wanted;
        wanted.width = static_cast<int>(rng.integer(0, 211)) + 1;
        wanted.height = static_cast<int>(rng.integer(1, 149)) + 1;
        wanted.x = static_cast<int>(rng.integer(2, static_cast<std::uint32_t>(212 - wanted.width)));
        wanted.y =
            static_cast<int>(rng.integer(3, static_cast<std::uint32_t>(150 - wanted.height)));
        Region there = wanted;
        image = decode_part(bytes, there, std::move(image));
        CATCH_REQUIRE(there.size() == image.size());
        CATCH_REQUIRE(there.x <= wanted.x);
        CATCH_REQUIRE(there.y <= wanted.y);
        CATCH_REQUIRE(there.x + there.width >= wanted.x + wanted.width);
        CATCH_REQUIRE(there.y + there.height >= wanted.y + wanted.height);
        std::int64_t wrong = 0;
        for (int y = wanted.y; y < wanted.y + wanted.height; ++y) {
          for (int x = wanted.x; x < wanted.x + wanted.width; ++x) {
            for (int c = 0; c < 3; ++c) {
              const auto at = [c](const Image& of, int column, int row) {
                return of.pixels[static_cast<std::size_t>(3 * (row * of.width + column) + c)];
              };
              wrong += at(image, x - there.x, y - there.y) != at(whole, x, y) ? 1 : 0;
            }
          }
        }
        CATCH_CAPTURE(across, down, restart, wanted.x, wanted.y, wanted.width, wanted.height);
        CATCH_REQUIRE(wrong == 0);
      }
    }
  }
  // What cannot be read in parts is read whole.
  for (const char* name : {"progressive.jpg", "cmyk_adobe.jpg", "gray.jpg"}) {
    CATCH_CAPTURE(name);
    Region there{3, 2, 5, 4};
    const Image image = decode_part(golden(name), there);
    CATCH_CHECK(there.size() == image.size());
    if (std::string(name) != "gray.jpg") {
      CATCH_CHECK(same(image, decode(golden(name), {})));
    }
  }
}

}  // namespace
}  // namespace clr
