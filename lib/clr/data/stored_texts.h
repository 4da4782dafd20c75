// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "clr/data/text_dataset.h"

namespace clr {

/// Texts in memory.
///
/// Memory:  the texts' bytes, and 16 a column and 24 an item.
class StoredTexts final : public TextDataset {
 public:
  /// `root` is what names are relative to: a file whose items are its lines (`lines`), or a folder.
  StoredTexts(std::string root, std::int64_t columns, bool lines)
      : root_(std::move(root)), columns_(columns), lines_(lines) {}

  /// Appends an item. Columns as many as the set's; `name` of a file, or empty with `line` its line.
  void add(const std::vector<std::string_view>& columns, std::int64_t label, std::string name,
           std::int64_t line = 0);

  /// The items so far since the last call are one document.
  void end_document();

  void set_classes(std::vector<std::string> classes) { classes_ = std::move(classes); }

  std::int64_t columns() const override { return columns_; }
  std::string_view text(std::int64_t index, std::int64_t column) const override;
  std::pair<std::int64_t, std::int64_t> document(std::int64_t index) const override;

  std::int64_t size() const override { return static_cast<std::int64_t>(labels_.size()); }
  std::int64_t label(std::int64_t index) const override {
    return labels_.at(static_cast<std::size_t>(index));
  }
  std::string name(std::int64_t index) const override;
  std::string location(std::int64_t index) const override;
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string fingerprint() const override;

 private:
  std::string root_;
  std::int64_t columns_;
  bool lines_;
  std::string bytes_;
  std::vector<std::uint64_t> ends_;  ///< of each column of each item in bytes_
  std::vector<std::int64_t> labels_;
  std::vector<std::string> names_;           ///< of files
  std::vector<std::int64_t> line_numbers_;   ///< of lines
  std::vector<std::int64_t> document_ends_;  ///< ascending; empty: no documents
  std::vector<std::string> classes_;
};

}  // namespace clr
