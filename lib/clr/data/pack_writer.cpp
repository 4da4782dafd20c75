// SPDX-License-Identifier: Apache-2.0
#include "clr/data/pack_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "clr/augment/pixel_load.h"
#include "clr/augment/resample.h"
#include "clr/config/json.h"
#include "clr/core/error.h"
#include "clr/core/parallel.h"
#include "clr/core/stop.h"
#include "clr/data/bad_images.h"
#include "clr/data/decode_record.h"
#include "clr/data/image_format.h"
#include "clr/data/jpeg_codec.h"
#include "clr/data/pack_format.h"
#include "clr/io/file.h"

namespace clr {
namespace {

/// Images that a thread has on hand before all are written in their order.
constexpr std::int64_t kImagesPerThread = 4;

/// An image as the pack will have it.
struct Packed {
  std::vector<std::uint8_t> bytes;
  Size raw;
  bool reduced = false;
  bool unchanged = false;
  std::string unreadable;  ///< why, if it is to be left out
};

Size reduced_size(Size size, std::int64_t side) {
  const std::int64_t shorter = std::min(size.width, size.height);
  if (side == 0 || shorter <= side) return size;
  const auto scaled = [&](int length) {
    return static_cast<int>(std::max<std::int64_t>(side, side * length / shorter));
  };
  return {scaled(size.width), scaled(size.height)};
}

Image reduce(const Image& image, Size size) {
  Planes planes;
  load_pixels(image, {0, 0, image.width, image.height}, planes);
  resample(planes, size, Interpolation::bilinear);
  Image result;
  result.width = size.width;
  result.height = size.height;
  const std::size_t pixels = planes.plane_size();
  result.pixels.resize(3 * pixels);
  for (std::size_t i = 0; i < pixels; ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      result.pixels[3 * i + c] =
          static_cast<std::uint8_t>(std::lrint(planes.values[c * pixels + i] * 255.0F));
    }
  }
  return result;
}

/// Whether a file's own bytes are what the pack is to hold.
bool may_stay(std::span<const std::uint8_t> bytes, const PackOptions& options) {
  const ImageFormat format = sniff(bytes);
  return options.format == PackFormat::original ||
         (options.format == PackFormat::jpeg && format == ImageFormat::jpeg &&
          exif_orientation(bytes, format) == 1);
}

Packed pack_image(Record record, const DataConfig& config, const PackOptions& options) {
  Packed packed;
  auto* encoded = std::get_if<std::vector<std::uint8_t>>(&record);
  Image image;
  if (encoded != nullptr) {
    // Decoded in any case: a pack holds no image that cannot be read.
    image = decode(*encoded, decode_request(config));
    if (may_stay(*encoded, options) && reduced_size(image.size(), options.side) == image.size()) {
      packed.bytes = std::move(*encoded);
      packed.unchanged = true;
      return packed;
    }
  } else {
    image = std::move(std::get<Image>(record));
  }
  const Size size = reduced_size(image.size(), options.side);
  if (size != image.size()) {
    image = reduce(image, size);
    packed.reduced = true;
  }
  if (options.format == PackFormat::jpeg) {
    packed.bytes = encode_jpeg(image, static_cast<int>(options.quality));
  } else {
    packed.raw = size;
    packed.bytes = std::move(image.pixels);
  }
  return packed;
}

/// Before anything is written: JSON holds UTF-8 alone.
void check_classes(const Dataset& dataset) {
  for (const std::string& name : dataset.classes()) {
    try {
      static_cast<void>(Json(name).dump());
    } catch (const Json::exception&) {
      throw Error(ErrorKind::data,
                  fmt::format("class {}: expected a name in UTF-8 for a pack, got other bytes; "
                              "rename it",
                              dump_text(name)));
    }
  }
}

class PackWriter {
 public:
  explicit PackWriter(const std::filesystem::path& out) : file_(out) {
    write(kPackMagic.data(), kPackMagic.size());
  }

  void add(const Packed& packed, const std::string& name, std::int64_t label) {
    PackEntry entry;
    entry.offset = offset_;
    entry.bytes = static_cast<std::uint32_t>(packed.bytes.size());
    entry.checksum = XXH3_64bits(packed.bytes.data(), packed.bytes.size());
    entry.label = static_cast<std::int32_t>(label);
    entry.raw_width = static_cast<std::uint32_t>(packed.raw.width);
    entry.raw_height = static_cast<std::uint32_t>(packed.raw.height);
    names_ += name;
    entry.name_end = names_.size();
    entries_.push_back(entry);
    write(packed.bytes.data(), packed.bytes.size());
  }

  /// Returns the size of the file.
  std::uint64_t finish(const Json& json) {
    const std::string text = json.dump();
    const std::string index = std::string(reinterpret_cast<const char*>(entries_.data()),
                                          entries_.size() * sizeof(PackEntry)) +
                              names_ + text;
    PackFooter footer;
    footer.images = entries_.size();
    footer.entries_offset = offset_;
    footer.names_offset = offset_ + entries_.size() * sizeof(PackEntry);
    footer.json_offset = footer.names_offset + names_.size();
    footer.footer_offset = footer.json_offset + text.size();
    footer.index_checksum = XXH3_64bits(index.data(), index.size());
    footer.footer_checksum = XXH3_64bits(&footer, offsetof(PackFooter, footer_checksum));
    write(index.data(), index.size());
    write(&footer, sizeof footer);
    file_.commit();
    return offset_;
  }

 private:
  void write(const void* data, std::size_t size) {
    file_.write(data, size);
    offset_ += size;
  }

  DurableFile file_;
  std::uint64_t offset_ = 0;
  std::vector<PackEntry> entries_;
  std::string names_;
};

}  // namespace

PackSummary write_pack(const Dataset& dataset, const DataConfig& config, const PackOptions& options,
                       const std::filesystem::path& out, int threads,
                       const std::function<void(std::int64_t)>& watch) {
  if (config.on_error == OnError::replace) {
    throw Error(ErrorKind::config, "/data/on_error: expected fail or skip for a pack, got replace");
  }
  check_classes(dataset);
  PackWriter writer(out);
  PackSummary summary;
  BadImages bad(dataset.size(), config.max_bad);
  const std::int64_t piece = kImagesPerThread * threads;
  for (std::int64_t first = 0; first < dataset.size(); first += piece) {
    if (stop_requested()) {
      throw Error(ErrorKind::stopped, out.string() + ": stopped; nothing was written");
    }
    const std::int64_t count = std::min(piece, dataset.size() - first);
    std::vector<Packed> packed(static_cast<std::size_t>(count));
    parallel_for(count, threads, [&](std::int64_t i) {
      Packed& one = packed[static_cast<std::size_t>(i)];
      try {
        one = pack_image(dataset.get(first + i), config, options);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::data) throw;
        one.unreadable = reason_of(error, dataset, first + i);
        if (config.on_error == OnError::skip) return;
        throw Error(ErrorKind::data, dataset.location(first + i) + ": " + one.unreadable);
      }
    });
    std::vector<BadImage> unreadable;
    for (std::int64_t i = 0; i < count; ++i) {
      const Packed& one = packed[static_cast<std::size_t>(i)];
      if (!one.unreadable.empty()) {
        unreadable.push_back({first + i, dataset.name(first + i), one.unreadable});
        continue;
      }
      writer.add(one, dataset.name(first + i), dataset.label(first + i));
      ++summary.images;
      summary.reduced += one.reduced ? 1 : 0;
      summary.unchanged += one.unchanged ? 1 : 0;
    }
    for (BadImage& one : bad.add(unreadable)) summary.left_out.push_back(std::move(one));
    if (watch) watch(first + count);
  }
  if (summary.images == 0) {
    throw Error(
        ErrorKind::data,
        out.string() + ": expected an image that can be read, got none; nothing was written");
  }
  summary.bytes = writer.finish({{"classes", dataset.classes()},
                                 {"format", to_string(options.format)},
                                 {"side", options.side},
                                 {"quality", options.quality},
                                 {"exif", to_string(config.exif)},
                                 {"images", summary.images},
                                 {"source", dataset.fingerprint()}});
  return summary;
}

}  // namespace clr
