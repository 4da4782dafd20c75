// SPDX-License-Identifier: Apache-2.0
// The grid of nearest-neighbour accuracies, for files and for people.
#pragma once

#include <vector>

#include "clr/config/json.h"
#include "clr/eval/knn.h"

namespace clr {

/// [{"k", "metric", "weighting", "temperature" (where it has one), "top1"}], in the grid's order.
Json knn_json(const std::vector<KnnResult>& results);

/// A row a way to vote, temperatures in order; a column a k.
void print_knn_table(std::vector<KnnResult> results);

}  // namespace clr
