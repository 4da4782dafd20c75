// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <string>

#include "clr/data/file_bytes.h"
#include "clr/data/fingerprint.h"
#include "clr/data/sources.h"

namespace clr {

void FileDataset::add(std::string_view name, std::int64_t label) {
  names_.append(name);
  ends_.push_back(names_.size());
  labels_.push_back(label);
}

Record FileDataset::get(std::int64_t index) const { return read_bytes(location(index)); }

std::int64_t FileDataset::label(std::int64_t index) const {
  return labels_.at(static_cast<std::size_t>(index));
}

std::string FileDataset::name(std::int64_t index) const {
  const std::uint64_t first = index == 0 ? 0 : ends_.at(static_cast<std::size_t>(index - 1));
  return names_.substr(first, ends_.at(static_cast<std::size_t>(index)) - first);
}

std::string FileDataset::location(std::int64_t index) const {
  std::string own = name(index);
  return own.starts_with('/') ? own : root_ + "/" + own;
}

std::string FileDataset::fingerprint() const {
  Fingerprint result;
  for (const auto& name : classes_) result.add(name);
  for (std::int64_t i = 0; i < size(); ++i) {
    result.add(name(i));
    result.add(label(i));
  }
  return result.hex();
}

}  // namespace clr
