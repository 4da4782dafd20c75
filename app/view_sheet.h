// SPDX-License-Identifier: Apache-2.0
// Images beside the views that training makes of them, as rows of a contact sheet.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "clr/data/view_preview.h"
#include "clr/io/contact_sheet.h"
#include "clr/train/run_config.h"

namespace clr {

/// Which entry of augment.views each view comes from, and where it stands among the groups.
class ViewPlaces {
 public:
  ViewPlaces(const AugmentConfig& augment, const Augmenter& augmenter);

  std::size_t views() const { return entries_.size(); }
  std::size_t group(std::size_t view) const { return places_[view].first; }

  /// The image, then each of its views.
  SheetRow row(const PreviewedImage& image, const std::string& name) const;

 private:
  std::vector<ViewConfig> entries_;
  std::vector<std::pair<std::size_t, std::int64_t>> places_;
};

/// Some images and what training sees of them in its first epoch.
struct ViewSheet {
  std::string png;
  int width = 0;
  int height = 0;
};

/// None in a build without OpenCV, or where no image can be read; training will say why.
std::optional<ViewSheet> draw_view_sheet(const RunConfig& config,
                                         const std::shared_ptr<const Dataset>& dataset);

}  // namespace clr
