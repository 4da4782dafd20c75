// SPDX-License-Identifier: Apache-2.0
#include "clr/io/tensorboard.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>

#include "clr/core/error.h"
#include "clr/io/crc32c.h"

namespace clr {
namespace {

// Field numbers of event.proto and summary.proto.
constexpr int kEventWallTime = 1;
constexpr int kEventStep = 2;
constexpr int kEventFileVersion = 3;
constexpr int kEventSummary = 5;
constexpr int kEventSessionLog = 7;
constexpr int kSummaryValue = 1;
constexpr int kValueTag = 1;
constexpr int kValueSimpleValue = 2;
constexpr int kValueImage = 4;
constexpr int kImageHeight = 1;
constexpr int kImageWidth = 2;
constexpr int kImageColorspace = 3;
constexpr int kImageEncoded = 4;
constexpr std::uint64_t kColorspaceRgb = 3;
constexpr int kSessionLogStatus = 1;
constexpr std::uint64_t kSessionLogStart = 1;

template <class T>
std::string little_endian(T value) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>((value & 0x7F) | 0x80);
  return bytes + static_cast<char>(value);
}

/// The four protobuf encodings that events need: wire types 0, 1, 5 and 2.
std::string number_field(int field, std::uint64_t value) {
  return varint(static_cast<std::uint64_t>(field) << 3) + varint(value);
}
std::string double_field(int field, double value) {
  return varint(static_cast<std::uint64_t>(field) << 3 | 1) + little_endian(value);
}
std::string float_field(int field, float value) {
  return varint(static_cast<std::uint64_t>(field) << 3 | 5) + little_endian(value);
}
std::string bytes_field(int field, std::string_view bytes) {
  return varint(static_cast<std::uint64_t>(field) << 3 | 2) + varint(bytes.size()) +
         std::string(bytes);
}

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return name.data();
}

const std::string kPrefix = "events.out.tfevents.";

bool has_events(const std::filesystem::path& folder) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (is_event_file(entry.path())) return true;
  }
  return false;
}

}  // namespace

bool is_event_file(const std::filesystem::path& path) {
  return path.filename().string().starts_with(kPrefix);
}

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& folder, std::int64_t first_step) {
  const double now = seconds_since_1970();
  const std::string host = host_name();
  auto stamp = static_cast<std::int64_t>(now);
  // TensorBoard reads a folder's files in the order of their names.
  do {
    path_ = folder / (kPrefix + std::to_string(stamp++) + "." + host);
  } while (std::filesystem::exists(path_));
  const bool earlier = has_events(folder);
  file_.open(path_, std::ios::binary);
  write_event(double_field(kEventWallTime, now) + bytes_field(kEventFileVersion, "brain.Event:2"));
  if (first_step > 0 || earlier) {
    write_event(
        double_field(kEventWallTime, now) +
        // The rows of the step that the checkpoint was saved after are kept; a run that
        // begins again keeps nothing.
        number_field(kEventStep, static_cast<std::uint64_t>(first_step > 0 ? first_step + 1 : 0)) +
        bytes_field(kEventSessionLog, number_field(kSessionLogStatus, kSessionLogStart)));
  }
  flush();
}

void TensorBoardWriter::scalar(const std::string& tag, std::int64_t step, double value) {
  write_value(
      bytes_field(kValueTag, tag) + float_field(kValueSimpleValue, static_cast<float>(value)),
      step);
}

void TensorBoardWriter::image(const std::string& tag, std::int64_t step, std::string_view encoded,
                              int width, int height) {
  const std::string picture = number_field(kImageHeight, static_cast<std::uint64_t>(height)) +
                              number_field(kImageWidth, static_cast<std::uint64_t>(width)) +
                              number_field(kImageColorspace, kColorspaceRgb) +
                              bytes_field(kImageEncoded, encoded);
  write_value(bytes_field(kValueTag, tag) + bytes_field(kValueImage, picture), step);
}

void TensorBoardWriter::write_value(const std::string& value, std::int64_t step) {
  write_event(double_field(kEventWallTime, seconds_since_1970()) +
              number_field(kEventStep, static_cast<std::uint64_t>(step)) +
              bytes_field(kEventSummary, bytes_field(kSummaryValue, value)));
}

void TensorBoardWriter::flush() {
  file_.flush();
  if (!file_) throw Error(ErrorKind::output, path_.string() + ": cannot be written");
}

void TensorBoardWriter::write_event(const std::string& event) {
  const std::string length = little_endian(static_cast<std::uint64_t>(event.size()));
  file_ << length << little_endian(masked_crc32c(length)) << event
        << little_endian(masked_crc32c(event));
}

}  // namespace clr
