// SPDX-License-Identifier: Apache-2.0
#include "clr/io/tensorboard.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "clr/core/error.h"
#include "clr/io/crc32c.h"
#include "clr/io/file.h"
#include "support/catch.h"
#include "support/temporary_folder.h"

namespace clr {
namespace {

/// CRC-32C bit by bit, from the other end than the table: an independent computation.
std::uint32_t slow_crc32c(const std::string& bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const bool out = ((crc ^ (static_cast<unsigned char>(c) >> bit)) & 1U) != 0;
      crc >>= 1;
      if (out) crc ^= 0x82F63B78U;
    }
  }
  return crc ^ 0xFFFFFFFFU;
}

std::uint32_t unmask(std::uint32_t masked) {
  const std::uint32_t rotated = masked - 0xA282EAD8U;
  return rotated >> 17 | rotated << 15;
}

template <class T>
T take(const std::string& bytes, std::size_t at) {
  T value;
  CATCH_REQUIRE(at + sizeof value <= bytes.size());
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

/// Splits a file into records, checking both checksums.
std::vector<std::string> records(const std::string& file) {
  std::vector<std::string> result;
  std::size_t at = 0;
  while (at < file.size()) {
    const auto length = take<std::uint64_t>(file, at);
    CATCH_REQUIRE(unmask(take<std::uint32_t>(file, at + 8)) == slow_crc32c(file.substr(at, 8)));
    result.push_back(file.substr(at + 12, length));
    CATCH_REQUIRE(unmask(take<std::uint32_t>(file, at + 12 + length)) ==
                  slow_crc32c(result.back()));
    at += 16 + length;
  }
  return result;
}

/// A protobuf message as field number -> raw content (varints as 8 bytes).
std::map<std::uint64_t, std::string> message(const std::string& bytes) {
  std::map<std::uint64_t, std::string> fields;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.at(at++));
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.size()) {
    const std::uint64_t key = varint();
    std::size_t length = 0;
    switch (key & 7) {
      case 0: {
        const std::uint64_t value = varint();
        fields[key >> 3] = std::string(reinterpret_cast<const char*>(&value), sizeof value);
        continue;
      }
      case 1:
        length = 8;
        break;
      case 2:
        length = varint();
        break;
      case 5:
        length = 4;
        break;
      default:
        CATCH_FAIL("unknown wire type");
    }
    CATCH_REQUIRE(at + length <= bytes.size());
    fields[key >> 3] = bytes.substr(at, length);
    at += length;
  }
  return fields;
}

struct Scalar {
  std::string tag;
  std::uint64_t step;
  float value;
  bool operator==(const Scalar&) const = default;
};

Scalar scalar_of(const std::string& record) {
  auto event = message(record);
  auto value = message(message(event.at(5)).at(1));
  return {value.at(1), take<std::uint64_t>(event.at(2), 0), take<float>(value.at(2), 0)};
}

}  // namespace

CATCH_TEST_CASE("crc32c has the known values", "[io]") {
  CATCH_CHECK(crc32c("") == 0);
  CATCH_CHECK(crc32c("123456789") == 0xE3069283U);
  // RFC 3720, appendix B.4.
  CATCH_CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAU);
  CATCH_CHECK(crc32c(std::string(32, '\xFF')) == 0x62A8AB43U);
  CATCH_CHECK(unmask(masked_crc32c("123456789")) == 0xE3069283U);
}

CATCH_TEST_CASE("tensorboard: scalars read back from the records", "[io]") {
  const TemporaryFolder folder;
  TensorBoardWriter writer(folder.path(), 0);
  const std::vector<Scalar> wanted = {{"loss", 0, 5.25F},
                                      {"learning_rate", 127, 0.06F},
                                      {"knn_top1", 128, -1.5F},
                                      {std::string(300, 'x'), 1ULL << 40, 1e30F}};
  for (const auto& [tag, step, value] : wanted) {
    writer.scalar(tag, static_cast<std::int64_t>(step), static_cast<double>(value));
  }
  writer.scalar("loss", 1, std::nan(""));
  writer.flush();

  CATCH_CHECK(writer.path().parent_path() == folder.path());
  CATCH_CHECK(writer.path().filename().string().starts_with("events.out.tfevents.1"));
  const auto found = records(read_file(writer.path(), ErrorKind::data));
  CATCH_REQUIRE(found.size() == wanted.size() + 2);
  auto first = message(found[0]);
  CATCH_CHECK(first.at(3) == "brain.Event:2");
  CATCH_CHECK(take<double>(first.at(1), 0) > 1.6e9);
  CATCH_CHECK(first.count(7) == 0);
  for (std::size_t i = 0; i < wanted.size(); ++i) CATCH_CHECK(scalar_of(found[i + 1]) == wanted[i]);
  CATCH_CHECK(std::isnan(scalar_of(found.back()).value));
}

CATCH_TEST_CASE("tensorboard: a resumed run begins a new file that forgets later steps", "[io]") {
  const TemporaryFolder folder;
  TensorBoardWriter before(folder.path(), 0);
  TensorBoardWriter after(folder.path(), 300);
  CATCH_CHECK(before.path().string() < after.path().string());
  const auto found = records(read_file(after.path(), ErrorKind::data));
  CATCH_REQUIRE(found.size() == 2);
  auto start = message(found[1]);
  // TensorBoard drops this step and later ones, and the rows of step 300 are kept.
  CATCH_CHECK(take<std::uint64_t>(start.at(2), 0) == 301);
  auto session = message(start.at(7));
  CATCH_CHECK(take<std::uint64_t>(session.at(1), 0) == 1);

  // A run that was stopped before its first checkpoint begins again, and drops all.
  TensorBoardWriter again(folder.path(), 0);
  CATCH_REQUIRE(records(read_file(before.path(), ErrorKind::data)).size() == 1);
  const auto restart = records(read_file(again.path(), ErrorKind::data));
  CATCH_REQUIRE(restart.size() == 2);
  CATCH_CHECK(take<std::uint64_t>(message(restart[1]).at(2), 0) == 0);
}

CATCH_TEST_CASE("tensorboard: a folder that is not there is an error of output", "[io]") {
  const TemporaryFolder folder;
  try {
    const TensorBoardWriter writer(folder.path() / "none", 0);
    CATCH_FAIL("nothing thrown");
  } catch (const Error& error) {
    CATCH_CHECK(error.kind() == ErrorKind::output);
    CATCH_CHECK(std::string(error.what()).starts_with((folder.path() / "none").string()));
  }
}

}  // namespace clr
