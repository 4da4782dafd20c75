// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "clr/data/dataset.h"

namespace clr {

/// Texts by index: an item has one column or more (a sentence; a sentence and another like it).
class TextDataset : public Dataset {
 public:
  virtual std::int64_t columns() const = 0;

  /// A column of an item. Throws:  Error{data} naming its place: not UTF-8, nothing but white space.
  virtual std::string_view text(std::int64_t index, std::int64_t column) const = 0;

  /// The items [first, second) of the document that an item of home() is of; the item alone where
  /// there are no documents.
  virtual std::pair<std::int64_t, std::int64_t> document(std::int64_t index) const = 0;

  /// The set whose numbers document() counts in, this one or what it is a part of, and an item's
  /// number there.
  virtual const TextDataset& home() const { return *this; }
  virtual std::int64_t at_home(std::int64_t index) const { return index; }

  /// The first column's bytes.
  Record get(std::int64_t index) const override;
};

/// What the items are called: images, or texts.
const char* items_of(const Dataset& dataset);

/// `dataset` as one of texts; null for images.
const TextDataset* as_texts(const Dataset& dataset);

/// Throws:  Error{data} for texts where `what` needs images; `path` is what was given.
void require_images(const Dataset& dataset, const std::string& path, const std::string& what);

}  // namespace clr
