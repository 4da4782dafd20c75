// SPDX-License-Identifier: Apache-2.0
#include "view_sheet.h"

#include <fmt/format.h>

#include <algorithm>

#include "clr/core/error.h"
#include "clr/io/drawing.h"

namespace clr {

ViewPlaces::ViewPlaces(const AugmentConfig& augment, const Augmenter& augmenter)
    : places_(static_cast<std::size_t>(augmenter.view_count())) {
  for (const ViewConfig& entry : augment.views)
    entries_.insert(entries_.end(), static_cast<std::size_t>(entry.count), entry);
  for (std::size_t g = 0; g < augmenter.groups().size(); ++g) {
    const auto& views = augmenter.groups()[g].views;
    for (std::size_t i = 0; i < views.size(); ++i)
      places_[static_cast<std::size_t>(views[i])] = {g, static_cast<std::int64_t>(i)};
  }
}

SheetRow ViewPlaces::row(const PreviewedImage& image, const std::string& name) const {
  SheetRow row{
      name,
      {{image.original, fmt::format("{} x {}", image.original.width, image.original.height)}}};
  for (std::size_t view = 0; view < views(); ++view) {
    const auto [group, place] = places_[view];
    row.pictures.push_back(
        {displayed_view(image.groups[group][place], entries_[view]), fmt::format("view {}", view)});
  }
  return row;
}

std::optional<ViewSheet> draw_view_sheet(const RunConfig& config,
                                         const std::shared_ptr<const Dataset>& dataset) {
  constexpr std::int64_t kImages = 6;
  if (!drawing_available()) return std::nullopt;
  const auto augmenter = std::make_shared<const Augmenter>(config.augment);
  const ViewPlaces places(config.augment, *augmenter);
  ViewPreview preview(dataset, augmenter, static_cast<std::uint64_t>(config.train.seed),
                      config.data);
  const std::int64_t count = std::min(kImages, dataset->size());
  std::vector<SheetRow> rows;
  std::vector<BadImage> bad;
  for (std::int64_t i = 0; i < count; ++i) {
    try {
      const auto shown = preview.show(i * dataset->size() / count, bad);
      if (shown) rows.push_back(places.row(*shown, dataset->name(shown->index)));
    } catch (const Error& error) {
      // Training meets the image too, and then as data.on_error says.
      if (error.kind() != ErrorKind::data) throw;
    }
  }
  if (rows.empty()) return std::nullopt;
  const Image sheet = draw_contact_sheet(rows);
  return ViewSheet{encode_png(sheet), sheet.width, sheet.height};
}

}  // namespace clr
