// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "clr/data/text_dataset.h"

namespace clr {

/// Rows of which most numbers are 0: those of row i are entries [ends[i - 1], ends[i]).
struct SparseRows {
  std::vector<std::int64_t> ends;
  std::vector<std::int32_t> columns;
  std::vector<double> values;
  std::int64_t width = 0;

  std::int64_t size() const { return static_cast<std::int64_t>(ends.size()); }
  std::int64_t begin_of(std::int64_t row) const {
    return row == 0 ? 0 : ends[static_cast<std::size_t>(row - 1)];
  }
  SparseRows select(const std::vector<std::int64_t>& rows) const;
};

/// Words counted: the baseline that every encoder of texts is read against, as it wins where labels are
/// many.
///
/// Words are lower-cased and without accents (text/words.h), of two characters or more (or one ideograph),
/// in two texts or more, the 30,000 most frequent of these. A word's weight in a text is (1 + ln count) * (1 + ln((1 + n) / (1 +
/// texts that have it))), and a text's row has length 1, or is 0.
/// Source:  Manning, Raghavan, Schuetze, Introduction to Information Retrieval, 6.4; the smoothing is
///          scikit-learn's TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=30000), of which this
///          is the same but for what counts as a word.
class TfIdf {
 public:
  /// Learns words and their weights from the texts at these indices; none of their labels.
  TfIdf(const TextDataset& texts, const std::vector<std::int64_t>& indices);

  /// Rows of texts, their first column.
  SparseRows rows(const TextDataset& texts, const std::vector<std::int64_t>& indices) const;

  std::int64_t width() const { return static_cast<std::int64_t>(weight_.size()); }

 private:
  std::unordered_map<std::string, std::int32_t> number_;
  std::vector<double> weight_;
};

/// L2-regularised multinomial logistic regression on such rows, in float64 by L-BFGS from zero: the sum of
/// cross-entropies times `c` plus half the squared weights, without the bias.
///
/// Shapes:  labels [n] int64 in [0, classes), on the CPU. Returns class probabilities [m, classes] float32
///          of the rows of `test`.
/// Throws:  Error{data} for one class alone.
torch::Tensor sparse_logistic_regression(const SparseRows& train, const torch::Tensor& labels,
                                         std::int64_t classes, double c, const SparseRows& test);

}  // namespace clr
