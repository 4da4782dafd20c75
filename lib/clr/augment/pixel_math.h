// SPDX-License-Identifier: Apache-2.0
// Per-pixel arithmetic that several operations share, and the handling of their scratch buffers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace clr {

/// Luma with torchvision's weights, in torchvision's order of additions.
inline float luma(float red, float green, float blue) {
  return red * 0.2989F + green * 0.587F + blue * 0.114F;
}

/// `value` held to [0, 1].
inline float clamp_unit(float value) { return std::min(std::max(value, 0.0F), 1.0F); }

/// Gives back a thread's scratch buffer that one giant image has swollen.
template <class T>
void trim_scratch(std::vector<T>& buffer) {
  constexpr std::size_t kKeptBytes = std::size_t{64} << 20;
  if (buffer.capacity() * sizeof(T) > kKeptBytes) std::vector<T>().swap(buffer);
}

}  // namespace clr
