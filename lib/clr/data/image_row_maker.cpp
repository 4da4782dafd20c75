// SPDX-License-Identifier: Apache-2.0
#include "clr/data/image_row_maker.h"

#include <string>
#include <utility>
#include <variant>

#include "clr/augment/pixel_math.h"
#include "clr/core/error.h"
#include "clr/data/decode_record.h"
#include "clr/data/part_to_decode.h"

namespace clr {

ImageRowMaker::ImageRowMaker(const std::shared_ptr<const Dataset>& dataset,
                             std::shared_ptr<const Augmenter> augmenter,
                             const LoaderOptions& options)
    : RowMaker(dataset, options),
      augmenter_(std::move(augmenter)),
      known_good_(static_cast<std::size_t>(dataset->size())) {
  const CachePlan plan = plan_cache(*dataset, options.data, options.epochs * options.passes);
  cache_mode_ = plan.mode;
  if (plan.mode == CacheMode::none) return;
  cache_ = std::make_unique<RecordCache>(dataset->size(), plan.most_bytes);
}

std::vector<GroupLayout> ImageRowMaker::layout() const {
  std::vector<GroupLayout> result;
  for (const Augmenter::Group& group : augmenter_->groups()) {
    result.push_back(
        {group.views,
         {3, group.size.height, group.size.width},
         options().pixel_type == PixelType::bfloat16 ? torch::kBFloat16 : torch::kFloat,
         options().layout == PixelLayout::interleaved});
  }
  return result;
}

std::vector<ViewParameters> ImageRowMaker::sample(RngAddress draws, Size size) const {
  std::vector<ViewParameters> parameters;
  parameters.reserve(static_cast<std::size_t>(augmenter_->view_count()));
  for (int view = 0; view < augmenter_->view_count(); ++view) {
    parameters.push_back(augmenter_->sample(options().seed, draws, view, size));
  }
  return parameters;
}

void ImageRowMaker::render(const PicturePart& image, const std::vector<ViewParameters>& parameters,
                           BatchBuffer& buffer, std::int64_t row) const {
  for (int view = 0; view < augmenter_->view_count(); ++view) {
    augmenter_->render(image, view, parameters[static_cast<std::size_t>(view)],
                       {buffer.memory(view, row), options().pixel_type, options().layout});
  }
}

template <class Work>
void ImageRowMaker::located(std::int64_t index, Work work) const {
  try {
    work();
  } catch (const Error& error) {
    throw Error(error.kind(), dataset().location(index) + ": " + error.what());
  }
}

void ImageRowMaker::render_encoded(std::int64_t index, std::span<const std::uint8_t> bytes,
                                   RngAddress draws, LoaderClock::Lap& lap, BatchBuffer& buffer,
                                   std::int64_t row) const {
  thread_local Image image;
  const DecodeRequest request = decode_request(options().data);
  std::atomic<bool>& known_good = known_good_[static_cast<std::size_t>(index)];
  std::optional<std::vector<ViewParameters>> parameters;
  Region region;
  const auto decode_it = [&] {
    if (known_good && cache_mode_ != CacheMode::decoded && !request.apply_exif &&
        decodes_in_parts(bytes)) {
      const Size size = probe(bytes, request);
      parameters = sample(draws, size);
      if (const auto part = part_to_decode(*augmenter_, *parameters, size)) {
        region = *part;
        image = decode_part(bytes, region, std::move(image));
        return;
      }
    }
    image = decode(bytes, request, std::move(image));
    region = {0, 0, image.width, image.height};
    known_good = true;
  };
  located(index, decode_it);
  if (cache_mode_ == CacheMode::decoded) cache_->store(index, image);
  lap.decode();
  if (!parameters) located(index, [&] { parameters = sample(draws, image.size()); });
  render({image, region}, *parameters, buffer, row);
  lap.augment();
  trim_scratch(image.pixels);
}

void ImageRowMaker::render(std::int64_t index, RngAddress draws, BatchBuffer& buffer,
                           std::int64_t row) const {
  LoaderClock::Lap lap(clock());
  const auto use = [&](const Record& record) {
    lap.read();
    if (const auto* image = std::get_if<Image>(&record)) {
      std::vector<ViewParameters> parameters;
      located(index, [&] { parameters = sample(draws, image->size()); });
      render(*image, parameters, buffer, row);
      lap.augment();
    } else {
      render_encoded(index, std::get<std::vector<std::uint8_t>>(record), draws, lap, buffer, row);
    }
    lap.image();
  };
  const Record* cached = cache_ ? cache_->find(index) : nullptr;
  if (cached != nullptr) return use(*cached);
  const Record record = dataset().get(index);
  if (cache_mode_ == CacheMode::encoded) {
    if (const auto* bytes = std::get_if<std::vector<std::uint8_t>>(&record)) {
      cache_->store(index, *bytes);
    }
  }
  use(record);
}

}  // namespace clr
