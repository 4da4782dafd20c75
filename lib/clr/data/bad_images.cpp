// SPDX-License-Identifier: Apache-2.0
#include "clr/data/bad_images.h"

#include <fmt/format.h>

#include "clr/config/json.h"
#include "clr/core/error.h"
#include "clr/dist/world.h"

namespace clr {

std::vector<BadImage> BadImages::add(const std::vector<BadImage>& reported) {
  std::vector<BadImage> fresh;
  for (const BadImage& bad : reported) {
    if (images_.emplace(bad.index, bad).second) fresh.push_back(bad);
  }
  if (static_cast<double>(images_.size()) <= most_share_ * static_cast<double>(size_)) return fresh;
  const BadImage& first = images_.begin()->second;
  throw Error(
      ErrorKind::data,
      fmt::format("{}: {}; expected at most a share of {} bad images (data.max_bad), got {} of {}",
                  first.name, first.reason, most_share_, images_.size(), size_));
}

std::vector<BadImage> gather_bad_images(World& world, const std::vector<BadImage>& own) {
  Json list = Json::array();
  for (const BadImage& image : own) list.push_back({image.index, image.name, image.reason});
  std::vector<BadImage> all;
  for (const std::string& text :
       world.gather_text(list.dump(-1, ' ', false, Json::error_handler_t::replace))) {
    for (const Json& image : Json::parse(text)) {
      all.push_back({image.at(0).get<std::int64_t>(), image.at(1).get<std::string>(),
                     image.at(2).get<std::string>()});
    }
  }
  return all;
}

}  // namespace clr
