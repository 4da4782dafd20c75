// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/knn.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>

namespace clr {
namespace {

constexpr std::int64_t kBlockBytes = std::int64_t{64} << 20;

/// Rows scaled to length 1; rows of zeros stay so, and are equally far from everything.
torch::Tensor normalized(const torch::Tensor& features) {
  const torch::Tensor rows = features.to(torch::kCPU, torch::kFloat32).contiguous();
  const torch::Tensor norm = at::linalg_vector_norm(rows, 2, {1}, true, torch::kFloat64);
  return rows / norm.masked_fill(norm == 0, 1.0).to(torch::kFloat32);
}

/// Sorts by falling similarity, then by rising index: smaller keys first.
std::uint64_t neighbour_key(float similarity, std::int64_t index) {
  // Adding 0 turns -0 into +0, which must tie with it.
  const auto bits = std::bit_cast<std::uint32_t>(similarity + 0.0F);
  const std::uint32_t rising = (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
  return static_cast<std::uint64_t>(~rising) << 32 | static_cast<std::uint64_t>(index);
}

/// One (k, weighting) to count, and the place of its count.
struct Vote {
  std::int64_t k;
  KnnWeighting weighting;
  std::size_t place;
};

struct Problem {
  const torch::Tensor& train;
  const torch::Tensor& train_labels;
  const torch::Tensor& test;
  const torch::Tensor& test_labels;
  std::int64_t classes;
  double temperature;
  bool leave_one_out;
};

/// Judges one test row: similarities to all training rows -> for each vote, whether it is right.
class Judge {
 public:
  Judge(const Problem& problem, const std::vector<Vote>& votes)
      : problem_(problem),
        votes_(votes),
        labels_(problem.train_labels.const_data_ptr<std::int64_t>()),
        keys_(static_cast<std::size_t>(problem.train.size(0))),
        majority_(static_cast<std::size_t>(problem.classes)),
        weighted_(static_cast<std::size_t>(problem.classes)) {}

  void judge(const float* similarity, std::int64_t row, std::int64_t label,
             std::vector<std::atomic<std::int64_t>>& correct) {
    keys_.clear();
    for (std::int64_t i = 0; i < problem_.train.size(0); ++i) {
      if (problem_.leave_one_out && i == row) continue;
      keys_.push_back(neighbour_key(similarity[i], i));
    }
    const auto longest = static_cast<std::size_t>(votes_.back().k);
    const auto end = keys_.begin() + static_cast<std::ptrdiff_t>(longest);
    std::nth_element(keys_.begin(), end - 1, keys_.end());
    std::sort(keys_.begin(), end);

    std::fill(majority_.begin(), majority_.end(), 0.0);
    std::fill(weighted_.begin(), weighted_.end(), 0.0);
    std::size_t counted = 0;
    for (const Vote& vote : votes_) {
      for (; counted < static_cast<std::size_t>(vote.k); ++counted) {
        const std::uint64_t neighbour = keys_[counted] & 0xFFFFFFFFU;
        const auto place = static_cast<std::size_t>(labels_[neighbour]);
        // Relative to the nearest: the same winner, and no overflow at low temperatures.
        const double distance = double{similarity[neighbour]} - similarity[keys_[0] & 0xFFFFFFFFU];
        majority_[place] += 1.0;
        weighted_[place] += std::exp(distance / problem_.temperature);
      }
      const auto& ballot = vote.weighting == KnnWeighting::majority ? majority_ : weighted_;
      const auto winner = std::max_element(ballot.begin(), ballot.end()) - ballot.begin();
      if (winner == label) correct[vote.place].fetch_add(1, std::memory_order_relaxed);
    }
  }

 private:
  const Problem& problem_;
  const std::vector<Vote>& votes_;
  const std::int64_t* labels_;
  std::vector<std::uint64_t> keys_;
  std::vector<double> majority_;
  std::vector<double> weighted_;
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

/// Accuracies by the votes' places.
std::vector<double> accuracies(const Problem& problem, std::vector<Vote> votes) {
  const std::int64_t available = problem.train.size(0) - (problem.leave_one_out ? 1 : 0);
  for (Vote& vote : votes) vote.k = std::min(vote.k, available);
  std::stable_sort(votes.begin(), votes.end(),
                   [](const Vote& a, const Vote& b) { return a.k < b.k; });
  std::vector<std::atomic<std::int64_t>> correct(votes.size());

  const std::int64_t rows = problem.test.size(0);
  const std::int64_t row_bytes = problem.train.size(0) * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t block = std::clamp<std::int64_t>(kBlockBytes / row_bytes, 1, rows);
  const torch::Tensor transposed = problem.train.t();
  const auto* labels = problem.test_labels.const_data_ptr<std::int64_t>();
  for (std::int64_t begin = 0; begin < rows; begin += block) {
    const std::int64_t count = std::min(block, rows - begin);
    const torch::Tensor similarity = at::mm(problem.test.narrow(0, begin, count), transposed);
    const auto* values = similarity.const_data_ptr<float>();
    at::parallel_for(0, count, 1, [&](std::int64_t first, std::int64_t last) {
      Judge judge(problem, votes);
      for (std::int64_t i = first; i < last; ++i) {
        judge.judge(values + i * problem.train.size(0), begin + i, labels[begin + i], correct);
      }
    });
  }

  std::vector<double> results(votes.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    results[i] = static_cast<double>(correct[i].load()) / static_cast<double>(rows);
  }
  return results;
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
  std::vector<KnnResult> results;
  std::vector<Vote> votes;
  for (const std::int64_t k : config.k) {
    for (const KnnWeighting weighting : config.weighting) {
      votes.push_back({k, weighting, results.size()});
      results.push_back({k, weighting, 0.0});
    }
  }
  if (votes.empty()) return results;
  const torch::Tensor near = normalized(train);
  const torch::Tensor asked = normalized(test);
  const torch::Tensor near_labels = train_labels.contiguous();
  const torch::Tensor asked_labels = test_labels.contiguous();
  const auto top1 = accuracies(
      {near, near_labels, asked, asked_labels, classes, config.temperature, false}, votes);
  for (std::size_t i = 0; i < results.size(); ++i) results[i].top1 = top1[i];
  return results;
}

double knn_leave_one_out(const torch::Tensor& features, const torch::Tensor& labels,
                         std::int64_t classes, std::int64_t k, KnnWeighting weighting,
                         double temperature) {
  check(features, labels, classes);
  TORCH_CHECK(features.size(0) >= 2, "knn_leave_one_out: one row has no neighbour");
  const c10::NoGradGuard no_grad;
  const torch::Tensor rows = normalized(features);
  const torch::Tensor own = labels.contiguous();
  return accuracies({rows, own, rows, own, classes, temperature, true}, {{k, weighting, 0}})[0];
}

Neighbors nearest_neighbors(const torch::Tensor& set, const torch::Tensor& queries,
                            std::int64_t k) {
  TORCH_CHECK(set.dim() == 2 && queries.dim() == 2 && set.size(1) == queries.size(1),
              "nearest_neighbors: features ", set.sizes(), " and ", queries.sizes());
  const c10::NoGradGuard no_grad;
  const torch::Tensor cosines = at::mm(normalized(queries), normalized(set).t());
  auto [values, rows] = cosines.topk(std::min(k, set.size(0)), 1);
  return {rows, values};
}

}  // namespace clr
