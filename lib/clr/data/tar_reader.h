// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace clr {

/// Files by name.
using NamedFiles = std::map<std::string, std::vector<std::uint8_t>>;

/// Whether bytes begin like a tar file; 512 of them are looked at.
bool looks_like_tar(std::span<const std::uint8_t> bytes);

/// What read_tar() does with a file.
enum class TarStep { skip, take, stop };

/// Reads some of the regular files of a .tar or .tar.gz, by the last part of their names, up to one
/// for which `choose` says stop.
///
/// Throws:  Error{data} naming the tar: not readable, cut off, damaged, or a wanted file above 1
/// GiB.
NamedFiles read_tar(const std::string& path,
                    const std::function<TarStep(const std::string& name)>& choose);

}  // namespace clr
