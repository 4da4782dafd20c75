// SPDX-License-Identifier: Apache-2.0
// Mistakes that must show here: counts that are not damped, weights of words by their counts, rows of other
// lengths, words of one text kept, labels' own words learnt from test texts, a penalty on the bias.
#include "clr/eval/tfidf.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <numeric>

#include "clr/data/stored_texts.h"
#include "eval/tfidf_golden.h"
#include "support/catch.h"

namespace {

using clr::SparseRows;
using clr::TfIdf;
using clr::test::kTfidfLabels;
using clr::test::kTfidfTexts;
using clr::test::kTfidfTrain;

clr::StoredTexts stored() {
  clr::StoredTexts texts("test", 1, true);
  std::int64_t line = 0;
  for (const std::string& text : kTfidfTexts) texts.add({text}, -1, {}, ++line);
  return texts;
}

std::vector<std::int64_t> numbers(std::int64_t first, std::int64_t end) {
  std::vector<std::int64_t> result(static_cast<std::size_t>(end - first));
  std::iota(result.begin(), result.end(), first);
  return result;
}

}  // namespace

CATCH_TEST_CASE("TF-IDF and its classifier are scikit-learn's", "[eval]") {
  const auto texts = stored();
  const auto count = static_cast<std::int64_t>(kTfidfTexts.size());
  const TfIdf words(texts, numbers(0, kTfidfTrain));
  CATCH_CHECK(words.width() == clr::test::kTfidfWords);
  const SparseRows train = words.rows(texts, numbers(0, kTfidfTrain));
  const SparseRows test = words.rows(texts, numbers(kTfidfTrain, count));
  // Columns have numbers of their own: the values are compared.
  std::vector<double> first(train.values.begin(), train.values.begin() + train.ends[0]);
  std::vector<double> expected;
  for (const auto& [word, value] : clr::test::kTfidfFirstRow) expected.push_back(value);
  std::sort(first.begin(), first.end());
  std::sort(expected.begin(), expected.end());
  CATCH_REQUIRE(first.size() == expected.size());
  for (std::size_t i = 0; i < first.size(); ++i)
    CATCH_CHECK(first[i] == Approx(expected[i]).epsilon(1e-12));
  CATCH_CHECK(train.begin_of(6) == train.begin_of(5));  // "alone"

  std::vector<std::int64_t> labels;
  for (int i = 0; i < kTfidfTrain; ++i) labels.push_back(kTfidfLabels[static_cast<std::size_t>(i)]);
  const torch::Tensor got =
      clr::sparse_logistic_regression(train, torch::tensor(labels), 3, 10.0, test);
  const torch::Tensor wanted =
      torch::tensor(clr::test::kTfidfProbabilities, torch::kFloat64).view({count - kTfidfTrain, 3});
  CATCH_CHECK((got - wanted).abs().max().item<double>() < 1e-5);
}

CATCH_TEST_CASE("rows are chosen with all that is theirs", "[eval]") {
  SparseRows rows;
  rows.width = 5;
  rows.columns = {1, 3, 0, 2, 4};
  rows.values = {1, 2, 3, 4, 5};
  rows.ends = {2, 2, 5};
  const SparseRows chosen = rows.select({2, 1, 0, 2});
  CATCH_CHECK(chosen.ends == std::vector<std::int64_t>{3, 3, 5, 8});
  CATCH_CHECK(chosen.columns == std::vector<std::int32_t>{0, 2, 4, 1, 3, 0, 2, 4});
  CATCH_CHECK(chosen.values == std::vector<double>{3, 4, 5, 1, 2, 3, 4, 5});
  CATCH_CHECK(chosen.width == 5);
}
