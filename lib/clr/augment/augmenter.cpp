// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/augmenter.h"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

#include "clr/augment/clip.h"
#include "clr/augment/fused_plan.h"
#include "clr/augment/fused_render.h"
#include "clr/augment/pixel_load.h"
#include "clr/augment/pixel_math.h"
#include "clr/augment/pixel_store.h"

namespace clr {
namespace {

constexpr std::int64_t kMaxViews = 255;

/// One operation of a chain, and how many of its kind stand before it.
struct Link {
  std::unique_ptr<Augmentation> op;
  std::string type;
  std::uint32_t occurrence = 0;
};

struct Chain {
  std::vector<Link> links;
  Size size;
  std::optional<FusedPlan> plan;  ///< nothing: op by op
};

std::unique_ptr<Augmentation> make_op(const Component<Augmentation>& config, AugmentCompat compat) {
  std::unique_ptr<Augmentation> op = augmentations().make(config);
  if (auto other = op->as(compat)) return other;
  return op;
}

/// SimCLR clips once behind its colours, not behind the resize, whose cubic overshoots.
void add_clip(Chain& chain) {
  const auto place = std::find_if(chain.links.begin(), chain.links.end(), [](const Link& link) {
    const auto stage = link.op->stage();
    return stage && stage->kind == StageKind::normalize;
  });
  chain.links.insert(place, Link{make_clip(), "clip", 0});
}

Chain make_chain(const ViewConfig& config, AugmentCompat compat, Rendering rendering,
                 const Place& place) {
  Chain chain;
  std::optional<Size> size;
  for (std::size_t i = 0; i < config.chain.size(); ++i) {
    Link link{make_op(config.chain[i], compat), config.chain[i].type, 0};
    for (const Link& other : chain.links) {
      if (other.op->id() == link.op->id()) ++link.occurrence;
    }
    size = link.op->output_size(size, place / i);
    chain.links.push_back(std::move(link));
  }
  if (!size) {
    place.fail(
        "expected a chain that fixes the size of the view, got one that leaves it to the image; "
        "add random_resized_crop or center_crop");
  }
  chain.size = *size;
  if (compat == AugmentCompat::simclr_tf) add_clip(chain);
  if (rendering == Rendering::fused) {
    std::vector<std::optional<Stage>> stages;
    for (const Link& link : chain.links) stages.push_back(link.op->stage());
    chain.plan = plan_fused(stages, chain.size);
  }
  return chain;
}

void require_ops_of(const Chain& chain, const ViewParameters& parameters) {
  if (parameters.ops.size() != chain.links.size()) {
    throw std::logic_error("augment: parameters of another chain");
  }
}

void check_inside(const Region& region, Size size) {
  if (region.x < 0 || region.y < 0 || region.width < 1 || region.height < 1 ||
      region.x > size.width - region.width || region.y > size.height - region.height) {
    throw std::logic_error(fmt::format(
        "augment: a region of {} x {} at ({}, {}) does not lie in {} x {}; parameters drawn for "
        "another size?",
        region.width, region.height, region.x, region.y, size.width, size.height));
  }
}

[[noreturn]] void fail_size() {
  throw std::logic_error("augment: parameters that lead to another size than the chain's");
}

void crop(Planes& planes, const Region& region) {
  if (region == Region{0, 0, planes.width, planes.height}) return;
  check_inside(region, planes.size());
  // In place: every row moves toward the front, past nothing that is still to be read.
  const std::size_t plane = planes.plane_size();
  const auto width = static_cast<std::size_t>(region.width);
  float* to = planes.values.data();
  for (std::size_t c = 0; c < 3; ++c) {
    for (int y = region.y; y < region.y + region.height; ++y) {
      const float* row = planes.values.data() + c * plane +
                         static_cast<std::size_t>(y) * static_cast<std::size_t>(planes.width) +
                         static_cast<std::size_t>(region.x);
      to = std::copy_n(row, width, to);
    }
  }
  planes.resize(region.size());
}

}  // namespace

struct Augmenter::Impl {
  std::vector<Chain> chains;
  std::vector<std::size_t> chain_of_view;
  std::vector<Group> groups;

  const Chain& chain(int view) const {
    return chains[chain_of_view.at(static_cast<std::size_t>(view))];
  }
};

Augmenter::Augmenter(const AugmentConfig& config, const Place& where, Rendering rendering)
    : impl_(std::make_unique<Impl>()) {
  const Place views = where / "views";
  if (config.views.empty()) views.fail("expected at least one group of views, got none");
  for (std::size_t i = 0; i < config.views.size(); ++i) {
    impl_->chains.push_back(
        make_chain(config.views[i], config.compat, rendering, views / i / "chain"));
    impl_->chain_of_view.insert(impl_->chain_of_view.end(),
                                static_cast<std::size_t>(config.views[i].count), i);
    if (impl_->chain_of_view.size() > kMaxViews) {
      views.fail(fmt::format("expected at most {} views in all, got more", kMaxViews));
    }
  }
  for (int view = 0; view < view_count(); ++view) {
    const Size size = view_size(view);
    auto group = std::find_if(impl_->groups.begin(), impl_->groups.end(),
                              [&](const Group& other) { return other.size == size; });
    if (group == impl_->groups.end()) {
      group = impl_->groups.insert(group, Group{size, {}});
    }
    group->views.push_back(view);
  }
}

Augmenter::~Augmenter() = default;
Augmenter::Augmenter(Augmenter&&) noexcept = default;

const std::vector<Augmenter::Group>& Augmenter::groups() const { return impl_->groups; }

int Augmenter::view_count() const { return static_cast<int>(impl_->chain_of_view.size()); }

Size Augmenter::view_size(int view) const { return impl_->chain(view).size; }

ViewParameters Augmenter::sample(std::uint64_t seed, RngAddress address, int view, Size in) const {
  const Chain& chain = impl_->chain(view);
  address.view = static_cast<std::uint32_t>(view);
  ViewParameters parameters;
  parameters.ops.reserve(chain.links.size());
  for (const Link& link : chain.links) {
    const SampleContext context{Rng(seed, address, link.op->id(), link.occurrence), in};
    parameters.ops.push_back(link.op->sample(context));
    in = parameters.ops.back().out;
  }
  return parameters;
}

bool Augmenter::fused(int view) const { return impl_->chain(view).plan.has_value(); }

Json Augmenter::describe(int view, const ViewParameters& parameters) const {
  const Chain& chain = impl_->chain(view);
  require_ops_of(chain, parameters);
  Json list = Json::array();
  for (std::size_t i = 0; i < chain.links.size(); ++i) {
    const OpParameters& one = parameters.ops[i];
    Json op = {{"type", chain.links[i].type}, {"applied", one.active}};
    if (one.active) op.update(chain.links[i].op->describe(one));
    list.push_back(std::move(op));
  }
  return list;
}

std::optional<Region> Augmenter::source(int view, const ViewParameters& parameters) const {
  const Chain& chain = impl_->chain(view);
  require_ops_of(chain, parameters);
  for (std::size_t i = 0; i < chain.links.size(); ++i) {
    if (parameters.ops[i].active) return chain.links[i].op->source(parameters.ops[i]);
  }
  return std::nullopt;
}

void Augmenter::render(const PicturePart& part, int view, const ViewParameters& parameters,
                       const Destination& destination) const {
  const Chain& chain = impl_->chain(view);
  const Image& image = part.image;
  require_ops_of(chain, parameters);
  if (chain.plan) {
    const OpParameters& crop = parameters.ops[chain.plan->crop.position];
    const Region box = part.inside(crop.box);
    check_inside(box, image.size());
    if (crop.out != chain.size) fail_size();
    render_fused(*chain.plan, image, box, parameters.ops, destination);
    return;
  }
  thread_local Planes planes;
  bool unpacked = false;
  const auto take = [&](const Region& region) {
    if (unpacked) {
      crop(planes, region);
    } else {
      const Region inside = part.inside(region);
      check_inside(inside, image.size());
      load_pixels(image, inside, planes);
      unpacked = true;
    }
  };
  const Region whole{0, 0, image.width, image.height};
  for (std::size_t i = 0; i < chain.links.size(); ++i) {
    const OpParameters& one = parameters.ops[i];
    if (!one.active) continue;
    const Augmentation& op = *chain.links[i].op;
    if (const auto region = op.source(one)) {
      take(*region);
    } else if (!unpacked) {
      take(whole);
    }
    op.apply(one, planes);
  }
  if (!unpacked) take(whole);
  if (planes.size() != chain.size) fail_size();
  store_pixels({planes.plane(0), planes.plane(1), planes.plane(2)}, planes.plane_size(), {},
               destination, 0, planes.plane_size());
  trim_scratch(planes.values);
}

}  // namespace clr
