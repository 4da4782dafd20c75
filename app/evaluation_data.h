// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "clr/data/dataset.h"

namespace clr {

/// The options that name an evaluation's data and how much of the labels it may use.
struct EvaluationDataOptions {
  std::string train;
  std::string test;
  double holdout = 0.0;
  double fraction = 0.0;
  std::int64_t per_class = 0;
  std::string label_list;

  void add_to(CLI::App& command);
};

/// A labelled training and test set with one numbering of classes.
struct EvaluationData {
  std::shared_ptr<const Dataset> train;
  std::shared_ptr<const Dataset> test;
  std::vector<std::string> classes;
  std::vector<std::int64_t> train_labels;   ///< [train->size()]
  std::vector<std::int64_t> test_labels;    ///< [test->size()], in the training set's numbering
  std::vector<std::string> held_out_names;  ///< with --holdout: the names that became the test set
};

/// Opens and checks both sets.
///
/// `seed` draws the held-out part. Throws Error{data}: no labels, one class only, a test class that
/// training lacks.
EvaluationData open_evaluation_data(const EvaluationDataOptions& options, const DataConfig& config,
                                    std::uint64_t seed);

/// Rows of the training set whose labels one draw may use: by --fraction, --per-class or
/// --label-list, else all.
std::vector<std::int64_t> labelled_rows(const EvaluationDataOptions& options,
                                        const EvaluationData& data, std::uint64_t seed);

}  // namespace clr
