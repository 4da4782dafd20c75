// SPDX-License-Identifier: Apache-2.0
#include "reference/swav_reference.h"

#include <cmath>

namespace clr::test {
namespace {

Matrix scores_of(const Matrix& rows, const Matrix& prototypes) {
  Matrix scores;
  for (const auto& row : rows) {
    scores.emplace_back();
    for (const auto& prototype : prototypes) {
      double dot = 0;
      for (std::size_t d = 0; d < row.size(); ++d) dot += row[d] * prototype[d];
      scores.back().push_back(dot);
    }
  }
  return scores;
}

}  // namespace

Matrix sinkhorn_reference(const Matrix& scores, double epsilon, int iterations) {
  const std::size_t n = scores.size();
  const std::size_t k = scores[0].size();
  Matrix q = scores;
  double total = 0;
  for (auto& row : q) {
    for (double& value : row) total += value = std::exp(value / epsilon);
  }
  for (auto& row : q) {
    for (double& value : row) value /= total;
  }
  for (int i = 0; i < iterations; ++i) {
    for (std::size_t c = 0; c < k; ++c) {
      double sum = 0;
      for (std::size_t r = 0; r < n; ++r) sum += q[r][c];
      for (std::size_t r = 0; r < n; ++r) q[r][c] /= sum * static_cast<double>(k);
    }
    for (auto& row : q) {
      double sum = 0;
      for (const double value : row) sum += value;
      for (double& value : row) value /= sum * static_cast<double>(n);
    }
  }
  for (auto& row : q) {
    for (double& value : row) value *= static_cast<double>(n);
  }
  return q;
}

double swav_reference(const SwavProblem& problem) {
  double loss = 0;
  for (std::size_t v = 0; v < problem.assigned; ++v) {
    const std::size_t n = problem.views[v].size();
    // The queue stands behind the batch here; the order of samples has no meaning.
    Matrix rows = problem.views[v];
    if (!problem.queue.empty()) {
      rows.insert(rows.end(), problem.queue[v].begin(), problem.queue[v].end());
    }
    const Matrix codes = sinkhorn_reference(scores_of(rows, problem.prototypes), problem.epsilon,
                                            problem.iterations);
    for (std::size_t w = 0; w < problem.views.size(); ++w) {
      if (w == v) continue;
      const Matrix scores = scores_of(problem.views[w], problem.prototypes);
      double sum = 0;
      for (std::size_t r = 0; r < n; ++r) {
        double total = 0;
        for (const double score : scores[r]) total += std::exp(score / problem.temperature);
        for (std::size_t c = 0; c < scores[r].size(); ++c) {
          sum += codes[r][c] * (std::log(total) - scores[r][c] / problem.temperature);
        }
      }
      loss += sum / static_cast<double>(n);
    }
  }
  return loss / static_cast<double>(problem.assigned * (problem.views.size() - 1));
}

}  // namespace clr::test
