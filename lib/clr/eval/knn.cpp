// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/knn.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <span>

#include "clr/core/multiversion.h"
#include "clr/eval/unit_features.h"
#include "clr/loss/matrix_product.h"

namespace clr {
namespace {

constexpr std::int64_t kBlockBytes = std::int64_t{64} << 20;

/// Sorts by falling similarity, then by rising index: smaller keys first.
std::uint64_t neighbour_key(float similarity, std::uint32_t index) {
  // Adding 0 turns -0 into +0, which must tie with it.
  const auto bits = std::bit_cast<std::uint32_t>(similarity + 0.0F);
  const std::uint32_t rising = (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
  return static_cast<std::uint64_t>(~rising) << 32 | index;
}

std::uint32_t index_of(std::uint64_t key) { return static_cast<std::uint32_t>(key); }

constexpr std::int64_t kChunk = 64;

/// similarity = dot * factor + addend, of a chunk; how many are at least `threshold`.
CLR_MULTIVERSION std::int32_t score_chunk(const float* dot, const float* factor,
                                          const float* addend, float threshold, float* similarity) {
  std::int32_t count = 0;
  for (std::int64_t i = 0; i < kChunk; ++i) {
    similarity[i] = dot[i] * factor[i] + addend[i];
    count += similarity[i] >= threshold ? 1 : 0;
  }
  return count;
}

/// What makes a similarity of the dot product with each training row, larger for nearer ones.
struct Scores {
  torch::Tensor factor;  ///< [n] float32
  torch::Tensor addend;  ///< [n] float32
};

Scores scores_of(KnnMetric metric, const torch::Tensor& rows) {
  const torch::Tensor squares =
      at::linalg_vector_norm(rows, 2, {1}, false, torch::kFloat64).square();
  if (metric == KnnMetric::cosine) {
    // Rows of zeros are equally far from everything.
    const torch::Tensor norm = squares.sqrt().masked_fill(squares == 0, 1.0);
    return {norm.reciprocal().to(torch::kFloat32), at::zeros_like(norm, torch::kFloat32)};
  }
  // |a - b|^2 = |a|^2 - (2 a.b - |b|^2)
  return {at::full_like(squares, 2.0).to(torch::kFloat32), squares.neg().to(torch::kFloat32)};
}

/// The k nearest of one row: a scan that looks closer only where something is near enough.
class Selection {
 public:
  explicit Selection(std::size_t k) : k_(k), keys_(2 * k + kChunk) {}

  /// The keys of the nearest, in order.
  std::span<const std::uint64_t> nearest(const float* dots, const Scores& scores, std::int64_t rows,
                                         std::int64_t left_out) {
    const auto* factor = scores.factor.const_data_ptr<float>();
    const auto* addend = scores.addend.const_data_ptr<float>();
    count_ = 0;
    float threshold = -std::numeric_limits<float>::infinity();
    std::array<float, kChunk> similarity;
    std::int64_t begin = 0;
    for (; begin + kChunk <= rows; begin += kChunk) {
      if (score_chunk(dots + begin, factor + begin, addend + begin, threshold, similarity.data()) ==
          0)
        continue;
      for (std::int64_t i = 0; i < kChunk; ++i)
        add(similarity[static_cast<std::size_t>(i)], begin + i, left_out, threshold);
      if (count_ >= 2 * k_) threshold = shrink();
    }
    for (; begin < rows; ++begin)
      add(dots[begin] * factor[begin] + addend[begin], begin, left_out, threshold);
    shrink();
    std::sort(keys_.begin(), keys_.begin() + static_cast<std::ptrdiff_t>(count_));
    return {keys_.data(), count_};
  }

 private:
  void add(float similarity, std::int64_t row, std::int64_t left_out, float threshold) {
    if (similarity < threshold || row == left_out) return;
    keys_[count_++] = neighbour_key(similarity, static_cast<std::uint32_t>(row));
  }

  /// Keeps the k nearest; the similarity of the last of them.
  float shrink() {
    if (count_ > k_) {
      const auto last = keys_.begin() + static_cast<std::ptrdiff_t>(k_) - 1;
      std::nth_element(keys_.begin(), last, keys_.begin() + static_cast<std::ptrdiff_t>(count_));
      count_ = k_;
    }
    if (count_ < k_) return -std::numeric_limits<float>::infinity();
    const auto rising = ~static_cast<std::uint32_t>(keys_[k_ - 1] >> 32);
    return std::bit_cast<float>((rising >> 31) != 0 ? rising ^ 0x80000000U : ~rising);
  }

  std::size_t k_;
  std::size_t count_ = 0;
  std::vector<std::uint64_t> keys_;
};

/// A way to count votes; several k share it.
struct Ballot {
  KnnMetric metric;
  KnnWeighting weighting;
  double temperature;

  bool operator==(const Ballot&) const = default;
};

struct Problem {
  const torch::Tensor& train;
  const torch::Tensor& train_labels;
  const torch::Tensor& test;
  const torch::Tensor& test_labels;
  std::int64_t classes;
  bool leave_one_out;
};

/// What each way to count gives for each k: correct[ballot * k.size() + place of k].
using Counts = std::vector<std::atomic<std::int64_t>>;

/// Judges one test row after the other.
class Judge {
 public:
  /// `k`: rising, each at most the number of neighbours there are.
  Judge(const Problem& problem, const std::vector<std::int64_t>& k,
        const std::vector<Ballot>& ballots, const std::vector<Scores>& scores)
      : problem_(problem),
        k_(k),
        ballots_(ballots),
        scores_(scores),
        labels_(problem.train_labels.const_data_ptr<std::int64_t>()),
        selection_(static_cast<std::size_t>(k.back())),
        votes_(static_cast<std::size_t>(problem.classes)) {}

  void judge(const float* dots, std::int64_t row, Counts& correct) {
    const auto label = problem_.test_labels.const_data_ptr<std::int64_t>()[row];
    std::size_t ballot = 0;
    while (ballot < ballots_.size()) {
      const KnnMetric metric = ballots_[ballot].metric;
      const auto nearest =
          selection_.nearest(dots, scores_[static_cast<std::size_t>(metric)],
                             problem_.train.size(0), problem_.leave_one_out ? row : -1);
      measure(dots, row, metric, nearest);
      for (; ballot < ballots_.size() && ballots_[ballot].metric == metric; ++ballot) {
        count_votes(ballots_[ballot], nearest, label, correct.data() + ballot * k_.size());
      }
    }
  }

 private:
  /// Cosines, or distances, of the nearest.
  void measure(const float* dots, std::int64_t row, KnnMetric metric,
               std::span<const std::uint64_t> nearest) {
    const std::int64_t width = problem_.train.size(1);
    const float* own = problem_.test.const_data_ptr<float>() + row * width;
    double square = 0.0;
    for (std::int64_t j = 0; j < width; ++j) square += double{own[j]} * double{own[j]};
    const double norm = square > 0 ? std::sqrt(square) : 1.0;
    const auto* factor = scores_[0].factor.const_data_ptr<float>();
    measured_.clear();
    for (const std::uint64_t key : nearest) {
      const std::uint32_t other = index_of(key);
      if (metric == KnnMetric::cosine) {
        measured_.push_back(double{dots[other]} * double{factor[other]} / norm);
        continue;
      }
      // By its definition: the difference of two large numbers has few digits left where rows are
      // near, and equal rows must be at distance 0.
      const float* theirs = problem_.train.const_data_ptr<float>() + std::int64_t{other} * width;
      measured_.push_back(std::sqrt(square_distance(own, theirs, width)));
    }
  }

  static double square_distance(const float* a, const float* b, std::int64_t width) {
    double sum = 0.0;
    for (std::int64_t j = 0; j < width; ++j) {
      const double difference = double{a[j]} - double{b[j]};
      sum += difference * difference;
    }
    return sum;
  }

  double weight(const Ballot& ballot, std::size_t place) const {
    switch (ballot.weighting) {
      case KnnWeighting::temperature:
        // Relative to the nearest: the same winner, and no overflow at low temperatures.
        return std::exp((measured_[place] - measured_[0]) / ballot.temperature);
      case KnnWeighting::distance: {
        const double distance =
            ballot.metric == KnnMetric::cosine ? cosine_distance(place) : measured_[place];
        const double least = ballot.metric == KnnMetric::cosine ? cosine_distance(0) : measured_[0];
        if (least == 0.0) return distance == 0.0 ? 1.0 : 0.0;
        return 1.0 / distance;
      }
      case KnnWeighting::majority:
        break;
    }
    return 1.0;
  }

  /// Rounding gives equal rows a little; what float32 cannot tell from 0 is 0.
  double cosine_distance(std::size_t place) const {
    const double distance = 1.0 - measured_[place];
    return distance < 1e-6 ? 0.0 : distance;
  }

  void count_votes(const Ballot& ballot, std::span<const std::uint64_t> nearest, std::int64_t label,
                   std::atomic<std::int64_t>* correct) {
    std::fill(votes_.begin(), votes_.end(), 0.0);
    std::size_t counted = 0;
    for (std::size_t i = 0; i < k_.size(); ++i) {
      for (; counted < static_cast<std::size_t>(k_[i]); ++counted)
        votes_[static_cast<std::size_t>(labels_[index_of(nearest[counted])])] +=
            weight(ballot, counted);
      const auto winner = std::max_element(votes_.begin(), votes_.end()) - votes_.begin();
      if (winner == label) correct[i].fetch_add(1, std::memory_order_relaxed);
    }
  }

  const Problem& problem_;
  const std::vector<std::int64_t>& k_;
  const std::vector<Ballot>& ballots_;
  const std::vector<Scores>& scores_;
  const std::int64_t* labels_;
  Selection selection_;
  std::vector<double> measured_;
  std::vector<double> votes_;
};

void check(const torch::Tensor& features, const torch::Tensor& labels, std::int64_t classes) {
  TORCH_CHECK(features.dim() == 2 && labels.dim() == 1 && features.size(0) == labels.size(0) &&
                  features.size(0) > 0 && labels.scalar_type() == torch::kInt64,
              "knn: features ", features.sizes(), ", labels ", labels.sizes(), " ",
              torch::toString(labels.scalar_type()));
  TORCH_CHECK(features.size(0) <= std::numeric_limits<std::uint32_t>::max(), "knn: too many rows");
  TORCH_CHECK(labels.min().item<std::int64_t>() >= 0 && labels.max().item<std::int64_t>() < classes,
              "knn: labels outside [0, ", classes, ")");
}

/// Accuracies, of each ballot for each k. `ballots`: those of one metric together.
std::vector<double> accuracies(const Problem& problem, const std::vector<std::int64_t>& k,
                               const std::vector<Ballot>& ballots) {
  std::vector<Scores> scores;
  for (const KnnMetric metric : {KnnMetric::cosine, KnnMetric::euclidean})
    scores.push_back(scores_of(metric, problem.train));
  Counts correct(ballots.size() * k.size());
  const std::int64_t rows = problem.test.size(0);
  const std::int64_t columns = problem.train.size(0);
  const std::int64_t row_bytes = columns * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t block = std::clamp<std::int64_t>(kBlockBytes / row_bytes, 1, rows);
  torch::Tensor dots = at::empty({block, columns}, torch::kFloat32);
  for (std::int64_t begin = 0; begin < rows; begin += block) {
    const std::int64_t count = std::min(block, rows - begin);
    torch::Tensor part = dots.narrow(0, 0, count);
    detail::matrix_product(part, problem.test.narrow(0, begin, count), problem.train.t(), false);
    const auto* values = part.const_data_ptr<float>();
    at::parallel_for(0, count, 1, [&](std::int64_t first, std::int64_t last) {
      Judge judge(problem, k, ballots, scores);
      for (std::int64_t i = first; i < last; ++i)
        judge.judge(values + i * columns, begin + i, correct);
    });
  }
  std::vector<double> results(correct.size());
  for (std::size_t i = 0; i < results.size(); ++i)
    results[i] = static_cast<double>(correct[i].load()) / static_cast<double>(rows);
  return results;
}

std::vector<Ballot> ballots_of(const KnnConfig& config) {
  std::vector<Ballot> ballots;
  const auto add = [&ballots](const Ballot& ballot) {
    if (std::find(ballots.begin(), ballots.end(), ballot) == ballots.end())
      ballots.push_back(ballot);
  };
  for (const KnnMetric metric : {KnnMetric::cosine, KnnMetric::euclidean}) {
    if (std::find(config.metric.begin(), config.metric.end(), metric) == config.metric.end())
      continue;
    for (const KnnWeighting weighting : config.weighting) {
      if (weighting != KnnWeighting::temperature) {
        add({metric, weighting, 0.0});
      } else if (metric == KnnMetric::cosine) {
        add({metric, weighting, config.temperature});
        for (const double temperature : config.temperatures) add({metric, weighting, temperature});
      }
    }
  }
  return ballots;
}

torch::Tensor as_rows(const torch::Tensor& features) {
  return features.to(torch::kCPU, torch::kFloat32).contiguous();
}

}  // namespace

std::vector<KnnResult> knn_grid(const torch::Tensor& train, const torch::Tensor& train_labels,
                                const torch::Tensor& test, const torch::Tensor& test_labels,
                                std::int64_t classes, const KnnConfig& config) {
  check(train, train_labels, classes);
  check(test, test_labels, classes);
  TORCH_CHECK(train.size(1) == test.size(1), "knn: features of ", train.size(1), " and ",
              test.size(1));
  const c10::NoGradGuard no_grad;
  const std::vector<Ballot> ballots = ballots_of(config);
  std::vector<KnnResult> results;
  if (ballots.empty() || config.k.empty()) return results;
  std::vector<std::int64_t> k;
  for (const std::int64_t wanted : config.k) k.push_back(std::min(wanted, train.size(0)));
  std::sort(k.begin(), k.end());
  k.erase(std::unique(k.begin(), k.end()), k.end());
  const torch::Tensor near = as_rows(train);
  const torch::Tensor asked = as_rows(test);
  const torch::Tensor near_labels = train_labels.contiguous();
  const torch::Tensor asked_labels = test_labels.contiguous();
  const auto top1 =
      accuracies({near, near_labels, asked, asked_labels, classes, false}, k, ballots);
  for (const std::int64_t wanted : config.k) {
    const auto used = std::find(k.begin(), k.end(), std::min(wanted, train.size(0)));
    for (std::size_t b = 0; b < ballots.size(); ++b) {
      const auto& [metric, weighting, temperature] = ballots[b];
      results.push_back({wanted, metric, weighting, temperature,
                         top1[b * k.size() + static_cast<std::size_t>(used - k.begin())]});
    }
  }
  return results;
}

double knn_leave_one_out(const torch::Tensor& features, const torch::Tensor& labels,
                         std::int64_t classes, std::int64_t k, KnnWeighting weighting,
                         double temperature) {
  check(features, labels, classes);
  TORCH_CHECK(features.size(0) >= 2, "knn_leave_one_out: one row has no neighbour");
  const c10::NoGradGuard no_grad;
  const torch::Tensor rows = as_rows(features);
  const torch::Tensor own = labels.contiguous();
  return accuracies({rows, own, rows, own, classes, true}, {std::min(k, features.size(0) - 1)},
                    {{KnnMetric::cosine, weighting, temperature}})[0];
}

Neighbors nearest_neighbors(const torch::Tensor& set, const torch::Tensor& queries,
                            std::int64_t k) {
  TORCH_CHECK(
      set.dim() == 2 && queries.dim() == 2 && set.size(1) == queries.size(1) && set.size(0) > 0,
      "nearest_neighbors: features ", set.sizes(), " and ", queries.sizes());
  const c10::NoGradGuard no_grad;
  const torch::Tensor known = unit_features(set, torch::kFloat32);
  const torch::Tensor asked = unit_features(queries, torch::kFloat32);
  const std::int64_t rows = asked.size(0);
  const std::int64_t columns = known.size(0);
  const std::int64_t count = std::min(k, columns);
  Neighbors found{at::empty({rows, count}, torch::kInt64), at::empty({rows, count})};
  auto* row_out = found.rows.mutable_data_ptr<std::int64_t>();
  auto* cosine_out = found.cosines.mutable_data_ptr<float>();
  // What is of unit length already is scored by its products alone.
  const Scores scores{at::ones({columns}), at::zeros({columns})};
  const std::int64_t block =
      std::clamp<std::int64_t>(kBlockBytes / (4 * columns), 1, std::max<std::int64_t>(1, rows));
  torch::Tensor dots = at::empty({block, columns}, torch::kFloat32);
  for (std::int64_t begin = 0; begin < rows; begin += block) {
    const std::int64_t some = std::min(block, rows - begin);
    torch::Tensor part = dots.narrow(0, 0, some);
    detail::matrix_product(part, asked.narrow(0, begin, some), known.t(), false);
    const auto* values = part.const_data_ptr<float>();
    at::parallel_for(0, some, 1, [&](std::int64_t first, std::int64_t last) {
      Selection selection(static_cast<std::size_t>(count));
      for (std::int64_t i = first; i < last; ++i) {
        const float* own = values + i * columns;
        const auto nearest = selection.nearest(own, scores, columns, -1);
        for (std::size_t j = 0; j < nearest.size(); ++j) {
          const std::int64_t place = (begin + i) * count + static_cast<std::int64_t>(j);
          row_out[place] = index_of(nearest[j]);
          // Rounding may leave a little more than 1.
          cosine_out[place] = std::min(own[index_of(nearest[j])], 1.0F);
        }
      }
    });
  }
  return found;
}

}  // namespace clr
