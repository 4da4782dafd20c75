// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/tfidf.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <torch/optim/lbfgs.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>

#include "clr/core/log.h"
#include "clr/eval/probe_data.h"
#include "clr/text/words.h"

namespace clr {
namespace {

constexpr std::size_t kMostWords = 30000;
constexpr std::int64_t kMostIterations = 500;

/// Whether a word is more than a letter, a digit or a mark: two characters, or an ideograph.
bool counts(std::string_view word) {
  const auto characters = std::count_if(word.begin(), word.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
  });
  if (characters >= 2) return true;
  // From U+3400 on; below are the marks.
  return word.size() == 4 || (word.size() == 3 && word >= "\xE3\x90\x80" && word < "\xEF");
}

template <typename Visit>
void for_each_counted_word(std::string_view text, const Visit& visit) {
  for_each_word(text, /*lowercase=*/true, [&](std::string_view word) {
    if (counts(word)) visit(std::string(word));
  });
}

/// out [n, C] += x w, w [F, C].
void add_products(const SparseRows& x, const torch::Tensor& w, torch::Tensor& out) {
  const std::int64_t classes = w.size(1);
  const auto* weights = w.const_data_ptr<double>();
  auto* result = out.data_ptr<double>();
  at::parallel_for(0, x.size(), 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      double* const to = result + row * classes;
      for (std::int64_t k = x.begin_of(row); k < x.ends[static_cast<std::size_t>(row)]; ++k) {
        const auto at = static_cast<std::size_t>(k);
        const double* const from = weights + x.columns[at] * classes;
        for (std::int64_t c = 0; c < classes; ++c) to[c] += x.values[at] * from[c];
      }
    }
  });
}

SparseRows transposed(const SparseRows& x) {
  SparseRows result;
  result.width = x.size();
  result.ends.assign(static_cast<std::size_t>(x.width), 0);
  for (const std::int32_t column : x.columns) ++result.ends[static_cast<std::size_t>(column)];
  std::int64_t end = 0;
  std::vector<std::int64_t> next;
  for (std::int64_t& count : result.ends) {
    next.push_back(end);
    end += count;
    count = end;
  }
  result.columns.resize(x.columns.size());
  result.values.resize(x.values.size());
  for (std::int64_t row = 0; row < x.size(); ++row) {
    for (std::int64_t k = x.begin_of(row); k < x.ends[static_cast<std::size_t>(row)]; ++k) {
      const auto from = static_cast<std::size_t>(k);
      const auto to = static_cast<std::size_t>(next[static_cast<std::size_t>(x.columns[from])]++);
      result.columns[to] = static_cast<std::int32_t>(row);
      result.values[to] = x.values[from];
    }
  }
  return result;
}

}  // namespace

SparseRows SparseRows::select(const std::vector<std::int64_t>& rows) const {
  SparseRows result;
  result.width = width;
  for (const std::int64_t row : rows) {
    const auto first = static_cast<std::ptrdiff_t>(begin_of(row));
    const auto last = static_cast<std::ptrdiff_t>(ends.at(static_cast<std::size_t>(row)));
    result.columns.insert(result.columns.end(), columns.begin() + first, columns.begin() + last);
    result.values.insert(result.values.end(), values.begin() + first, values.begin() + last);
    result.ends.push_back(static_cast<std::int64_t>(result.columns.size()));
  }
  return result;
}

TfIdf::TfIdf(const TextDataset& texts, const std::vector<std::int64_t>& indices) {
  struct Count {
    std::int64_t times = 0;
    std::int64_t texts = 0;
    std::int64_t last = -1;  ///< the text that counted it last
  };
  std::unordered_map<std::string, Count> counts;
  for (const std::int64_t index : indices) {
    for_each_counted_word(texts.text(index, 0), [&](std::string word) {
      Count& count = counts[std::move(word)];
      ++count.times;
      if (count.last != index) ++count.texts;
      count.last = index;
    });
  }
  std::vector<const std::pair<const std::string, Count>*> kept;
  for (const auto& entry : counts) {
    if (entry.second.texts >= 2) kept.push_back(&entry);
  }
  std::sort(kept.begin(), kept.end(), [](const auto* a, const auto* b) {
    return a->second.times != b->second.times ? a->second.times > b->second.times
                                              : a->first < b->first;
  });
  kept.resize(std::min(kept.size(), kMostWords));
  const auto all = static_cast<double>(indices.size());
  for (const auto* entry : kept) {
    number_.emplace(entry->first, static_cast<std::int32_t>(weight_.size()));
    weight_.push_back(1.0 +
                      std::log((1.0 + all) / (1.0 + static_cast<double>(entry->second.texts))));
  }
}

SparseRows TfIdf::rows(const TextDataset& texts, const std::vector<std::int64_t>& indices) const {
  SparseRows result;
  result.width = width();
  std::map<std::int32_t, double> counts;
  for (const std::int64_t index : indices) {
    counts.clear();
    for_each_counted_word(texts.text(index, 0), [&](const std::string& word) {
      if (const auto found = number_.find(word); found != number_.end()) ++counts[found->second];
    });
    double squares = 0.0;
    for (auto& [word, value] : counts) {
      value = (1.0 + std::log(value)) * weight_[static_cast<std::size_t>(word)];
      squares += value * value;
    }
    for (const auto& [word, value] : counts) {
      result.columns.push_back(word);
      result.values.push_back(value / std::sqrt(squares));
    }
    result.ends.push_back(static_cast<std::int64_t>(result.columns.size()));
  }
  return result;
}

torch::Tensor sparse_logistic_regression(const SparseRows& train, const torch::Tensor& labels,
                                         std::int64_t classes, double c, const SparseRows& test) {
  check_probe_data(at::zeros({train.size(), 1}), labels, classes);
  const c10::NoGradGuard no_grad;
  const SparseRows words = transposed(train);
  const auto n = static_cast<double>(train.size());
  const double l2 = 0.5 / (c * n);
  torch::Tensor weight = at::zeros({train.width, classes}, torch::kFloat64);
  torch::Tensor bias = at::zeros({classes}, torch::kFloat64);
  const torch::Tensor label = labels.unsqueeze(1);
  const auto objective = [&] {
    const c10::NoGradGuard without;
    torch::Tensor slopes = bias.expand({train.size(), classes}).contiguous();
    add_products(train, weight, slopes);
    slopes = at::log_softmax(slopes, 1);
    const torch::Tensor value = slopes.gather(1, label).mean().neg().add(weight.square().sum(), l2);
    slopes.exp_().scatter_add_(1, label, at::full_like(label, -1, slopes.options())).div_(n);
    torch::Tensor gradient = 2.0 * l2 * weight;
    add_products(words, slopes, gradient);
    weight.mutable_grad() = gradient;
    bias.mutable_grad() = slopes.sum(0);
    return value;
  };
  objective();
  // A part of the largest slope there is before anything is learnt.
  const double aim = train.width > 0 ? 1e-6 * weight.grad().abs().max().item<double>() : 1e-6;
  torch::optim::LBFGS optimizer(std::vector<torch::Tensor>{weight, bias},
                                torch::optim::LBFGSOptions(1.0)
                                    .max_iter(kMostIterations)
                                    .max_eval(2000)
                                    .history_size(20)
                                    .tolerance_grad(aim)
                                    .tolerance_change(1e-16)
                                    .line_search_fn("strong_wolfe"));
  optimizer.step(objective);
  objective();
  if (train.width > 0 && weight.grad().abs().max().item<double>() > 100 * aim) {
    log_warning("TF-IDF's classifier had not converged after {} iterations", kMostIterations);
  }
  torch::Tensor logits = bias.expand({test.size(), classes}).contiguous();
  add_products(test, weight, logits);
  return at::softmax(logits, 1).to(torch::kFloat32);
}

}  // namespace clr
