// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "evaluation_result.h"

namespace clr {

/// How classes lie among features, whatever the labels a classifier may use: nearest centroids,
/// retrieval and clusters, by all labels. {"centroids", "retrieval", "clustering"}, and a table.
Json judge_geometry(const JudgedSplit& train_split, const JudgedSplit& test_split,
                    std::int64_t classes, std::uint64_t seed);

}  // namespace clr
