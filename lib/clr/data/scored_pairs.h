// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "clr/data/dataset.h"

namespace clr {

/// Pairs of items that people scored for likeness.
struct ScoredPairs {
  std::shared_ptr<const Dataset> items;  ///< pair i is items 2 i and 2 i + 1
  std::vector<double> scores;            ///< of each pair; more is more alike
  std::int64_t unscored = 0;             ///< rows without a score, left out
};

/// Reads pairs from a table (.csv, .jsonl, anything else with tabs: data/text_table.h).
///
/// `columns`: those of the two items and the score, by their names in the first row or, of a table without
/// names, by their numbers from 1; all empty: text_a, text_b, score or path_a, path_b, score. Columns
/// named path_a and path_b are image files, relative to the table's folder.
/// Throws:  Error{data} naming file and line: no such column, a score that is no number, fewer than two
///          pairs.
ScoredPairs read_scored_pairs(const std::string& path, const std::array<std::string, 3>& columns);

}  // namespace clr
