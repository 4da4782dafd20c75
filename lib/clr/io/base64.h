// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace clr {

/// Bytes as RFC 4648 has them, with padding, on one line.
std::string base64(std::string_view bytes);

}  // namespace clr
