// SPDX-License-Identifier: Apache-2.0
#include "clr/data/shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <system_error>

#include "clr/core/error.h"
#include "clr/core/parallel.h"
#include "clr/io/drawing.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

constexpr const char* kPartial = ".partial";

[[noreturn]] void cannot_write(const fs::path& path, int error) {
  throw Error(ErrorKind::output,
              fmt::format("{}: cannot be written: {}", path.string(), std::strerror(error)));
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) cannot_write(path, error.value());
}

void require_empty(const fs::path& folder) {
  std::error_code error;
  if (!fs::exists(folder, error)) return;
  if (!fs::is_directory(folder, error)) {
    throw Error(ErrorKind::output, folder.string() + ": expected a folder, got a file");
  }
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().filename() == kPartial) continue;
    throw Error(ErrorKind::usage, folder.string() +
                                      ": expected an empty or new folder, got one "
                                      "that holds " +
                                      entry.path().filename().string() + "; choose another");
  }
  if (error) cannot_write(folder, error.value());
}

/// Without a flush to the disk each: thousands of them would take minutes.
void write_image(const fs::path& path, const std::string& bytes) {
  errno = 0;
  std::ofstream stream(path, std::ios::binary);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  stream.close();
  if (!stream) cannot_write(path, errno);
}

void move_folder(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) cannot_write(to, error.value());
}

}  // namespace

void write_shapes(const fs::path& out, const ShapesOptions& options, int threads,
                  const std::function<void(std::int64_t)>& watch) {
  require_empty(out);
  const ShapeArtist artist(options.size, options.classes, options.seed);
  const fs::path partial = out / kPartial;
  std::error_code error;
  fs::remove_all(partial, error);
  const std::vector<std::string> names = shape_class_names(options.classes);
  for (const char* split : {"train", "test"}) {
    for (const std::string& name : names) make_folder(partial / split / name);
  }
  parallel_for(
      options.train + options.test, threads,
      [&](std::int64_t number) {
        const bool train = number < options.train;
        const std::int64_t index = train ? number : number - options.train;
        const DrawnShape drawn = artist.draw(train ? ShapesSplit::train : ShapesSplit::test, index);
        write_image(partial / (train ? "train" : "test") /
                        names[static_cast<std::size_t>(drawn.label)] /
                        fmt::format("{:06}.png", index),
                    encode_png(drawn.image));
      },
      watch);
  for (const char* split : {"train", "test"}) move_folder(partial / split, out / split);
  fs::remove(partial, error);
}

}  // namespace clr
