// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "clr/data/dataset.h"

namespace clr {

/// How many of the training labels may be used: all where nothing is said.
struct LabelChoice {
  double fraction = 0.0;
  std::int64_t per_class = 0;
  std::string list;

  /// "1 %", "5 a class", "all", or the list's name.
  std::string str() const;
};

/// The options that name an evaluation's data and how much of the labels it may use.
struct EvaluationDataOptions {
  std::vector<std::string> train;
  std::vector<std::string> test;
  double holdout = 0.0;
  std::int64_t folds = 0;  ///< > 0: --train is both, in as many parts
  LabelChoice labels;
  std::vector<LabelChoice> curve;  ///< --label-curve

  /// `several`: whether --train and --test may be given more than once.
  void add_to(CLI::App& command, bool several);

  /// How many pairs of a training and a test set there are.
  std::size_t sets() const { return train.size(); }
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

/// Opens and checks pair `set` of a training and a test set.
///
/// `seed` draws the held-out part. Throws Error{usage}: not as many --test as --train; Error{data}:
/// no labels, one class only, a test class that training lacks.
EvaluationData open_evaluation_data(const EvaluationDataOptions& options, std::size_t set,
                                    const DataConfig& config, std::uint64_t seed);

/// Rows of the training set whose labels one draw may use.
std::vector<std::int64_t> labelled_rows(const LabelChoice& choice, const EvaluationData& data,
                                        std::uint64_t seed);

}  // namespace clr
