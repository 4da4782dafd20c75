// SPDX-License-Identifier: Apache-2.0
// Tables of texts.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "clr/data/dataset.h"

namespace clr {

/// A line of a table, or an object of JSON lines.
struct TableRow {
  std::size_t line = 0;
  std::vector<std::string> fields;
};

/// The rows of a table, which all have as many fields as the first.
///
/// `path` tells the format: .csv, with quotes as RFC 4180 has them; .jsonl, an object a line, whose first
/// row is the keys of the first object (which all have), numbers as they are written and null as an empty
/// field; anything else is separated by tabs, without quotes: what texts have is theirs.
/// Throws:  Error{data} "PATH:LINE: ..." for other fields than the first row's, damaged quotes or JSON.
std::vector<TableRow> read_table(const std::string& path, std::string_view content);

/// Whether a table's first row names a column `text` or `text_a`.
bool is_text_table(const std::string& path, std::string_view content);

/// The texts of a table with a column `text`, or several: `text_a`, `text_b` and perhaps `negative`; with a column
/// `label` (and data.labels not none) in classes, numbered in byte order. Other columns are left out.
///
/// Throws:  Error{data} as read_table(); text_a without text_b, an empty label, no row.
std::unique_ptr<Dataset> open_text_table(const std::string& path, std::string_view content,
                                         const DataConfig& config);

}  // namespace clr
