// SPDX-License-Identifier: Apache-2.0
// Judgements that are repeated with other draws of labels, or with fewer of them, and summed up.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "clr/config/json.h"
#include "evaluation_data.h"

namespace clr {

/// The row of texts whose words were counted ("tfidf").
inline constexpr const char* kWordsTitle = "TF-IDF, without an encoder";

/// What an evaluation draws.
struct LabelDraws {
  LabelChoice labels;
  std::int64_t seeds = 0;          ///< draws of these; 0: one, which is the result itself
  std::vector<LabelChoice> curve;  ///< the same with so many labels
  std::uint64_t first_seed = 0;    ///< further draws have the seeds that follow
};

/// The options that say so, for processes that draw alike.
Json described_draws(const EvaluationDataOptions& data, std::int64_t seeds);

/// Judges one draw into a folder and returns what it found ("top1", "ci95", ...).
using LabelDraw = std::function<Json(const std::filesystem::path& folder, std::uint64_t seed,
                                     const LabelChoice& choice)>;

/// With seeds = 0 one draw into `out` itself. Else draws into OUT/seed_K, each with its result.json,
/// and their means, deviation and interval. Then the curve's points, each by `seeds` draws (0: 3;
/// all labels: one) in a folder of its own: a table, and
/// "few_labels": [{"labels", "train_images", "draws", "top1", "deviation", "ci95"}].
Json run_label_draws(const std::filesystem::path& out, const LabelDraws& draws,
                     const LabelDraw& draw);

/// Seed and labels of the same draws in the same order: for a process that helps with each.
void for_each_draw(const LabelDraws& draws,
                   const std::function<void(std::uint64_t seed, const LabelChoice& choice)>& help);

}  // namespace clr
