// SPDX-License-Identifier: Apache-2.0
#include "clr/io/base64.h"

#include <openssl/evp.h>

namespace clr {

std::string base64(std::string_view bytes) {
  // A multiple of three, so that only the last piece is padded, and below what an int holds.
  constexpr std::size_t kPiece = std::size_t{3} << 20;
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4 + 1);
  for (std::size_t at = 0; at < bytes.size(); at += kPiece) {
    const std::string_view piece = bytes.substr(at, kPiece);
    const std::size_t before = text.size();
    text.resize(before + (piece.size() + 2) / 3 * 4 + 1);  // the function ends its output with a 0
    const int written = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data() + before),
                                        reinterpret_cast<const unsigned char*>(piece.data()),
                                        static_cast<int>(piece.size()));
    text.resize(before + static_cast<std::size_t>(written));
  }
  return text;
}

}  // namespace clr
