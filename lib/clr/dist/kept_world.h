// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/ivalue.h>

#include <memory>
#include <utility>

#include "clr/dist/world.h"

namespace clr {

/// A world among the saved data of an autograd function: it lives as long as the graph.
struct KeptWorld : torch::CustomClassHolder {
  explicit KeptWorld(std::shared_ptr<World> kept) : world(std::move(kept)) {}
  std::shared_ptr<World> world;

  static c10::IValue keep(std::shared_ptr<World> world) {
    return c10::IValue::make_capsule(c10::make_intrusive<KeptWorld>(std::move(world)));
  }
  static std::shared_ptr<World> of(const c10::IValue& value) {
    return c10::static_intrusive_pointer_cast<KeptWorld>(value.toCapsule())->world;
  }
};

}  // namespace clr
