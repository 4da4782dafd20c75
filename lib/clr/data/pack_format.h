// SPDX-License-Identifier: Apache-2.0
// The layout of a .clrpack, for its writer and its reader: little-endian,
//
//   magic (16 bytes) | records | entries (40 bytes an image) | names | JSON | footer (72 bytes)
//
// A record is an encoded image, or, where an entry says raw, [height, width, 3] bytes of RGB. The
// JSON is {"classes": [...]} and what the writer says of itself. Checksums are XXH3, 64 bits.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace clr {

static_assert(std::endian::native == std::endian::little, "a pack is written as memory has it");

constexpr std::array<char, 16> kPackMagic = {'C',    'L', 'R', 'P', 'A', 'C', 'K', '\n',
                                             '\x1a', '1', 0,   0,   0,   0,   0,   0};

struct PackEntry {
  std::uint64_t offset = 0;    ///< of the record in the file
  std::uint64_t checksum = 0;  ///< of the record
  std::uint64_t name_end = 0;  ///< in the names; a name begins where the one before ends
  std::uint32_t bytes = 0;     ///< of the record
  std::int32_t label = -1;
  std::uint32_t raw_width = 0;  ///< 0: encoded
  std::uint32_t raw_height = 0;
};
static_assert(sizeof(PackEntry) == 40);

struct PackFooter {
  std::uint64_t images = 0;
  std::uint64_t entries_offset = 0;
  std::uint64_t names_offset = 0;
  std::uint64_t json_offset = 0;
  std::uint64_t footer_offset = 0;
  std::uint64_t index_checksum = 0;   ///< of everything from entries_offset to footer_offset
  std::uint64_t footer_checksum = 0;  ///< of the fields above
  std::array<char, 16> magic = kPackMagic;
};
static_assert(sizeof(PackFooter) == 72);

}  // namespace clr
