// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace clr {

/// CRC-32C (Castagnoli) of some bytes.
///
/// Source:  RFC 3720, appendix B.4. Reflected polynomial 0x82F63B78.
std::uint32_t crc32c(std::string_view bytes);

/// The form in which TFRecord stores it: rotated right by 15 bits, plus a constant.
std::uint32_t masked_crc32c(std::string_view bytes);

}  // namespace clr
