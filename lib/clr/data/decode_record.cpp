// SPDX-License-Identifier: Apache-2.0
#include "clr/data/decode_record.h"

#include <utility>

namespace clr {

Image decode_record(Record record, const DataConfig& config, Image reuse) {
  if (auto* image = std::get_if<Image>(&record)) return std::move(*image);
  return decode(std::get<std::vector<std::uint8_t>>(record), decode_request(config),
                std::move(reuse));
}

DecodeRequest decode_request(const DataConfig& config) {
  return {config.exif == ExifMode::apply, config.max_pixels};
}

std::string reason_of(const Error& error, const Dataset& dataset, std::int64_t index) {
  std::string reason = error.what();
  const std::string prefix = dataset.location(index) + ": ";
  if (reason.starts_with(prefix)) reason.erase(0, prefix.size());
  return reason;
}

}  // namespace clr
