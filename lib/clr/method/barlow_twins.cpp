// SPDX-License-Identifier: Apache-2.0
// Barlow Twins: each coordinate of one view's embedding agrees with itself in the other view's, and
// with no other coordinate. No negatives. Source: arXiv:2103.03230, eq. 1 and 2.
//
// Objective: scale * (sum_i (1 - C_ii)^2 + lambda * sum_{i != j} C_ij^2), C the correlations over the
// batch of the coordinates of both views: (1 / N) sum_n a_ni b_nj, where a and b are the embeddings less
// their mean, over their standard deviation (with 1e-5 added to the variance, as batch norm does).
//
// Where other code differs:
// - lightly's loss has no scale, and 0.005 for lambda; the paper's code has 0.0051, and had a scale
//   of 1 / 32 in its beginnings; solo-learn 0.024, and 0.1 in its CIFAR recipe.
// - Correlations are of the whole batch, whoever holds it and in whatever parts it was embedded.
#include <ATen/ops/diagonal_scatter.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>

#include "clr/dist/world.h"
#include "clr/loss/contrastive.h"
#include "clr/method/projecting_method.h"

namespace clr {
namespace {

struct Options {
  double lambda = 0.0051;
  double scale = 1.0;

  static void fields(auto&& f) {
    f("lambda", &Options::lambda, In{0, 1000}, "weight of the correlations of two coordinates");
    f("scale", &Options::scale, In{1e-6, 1000}, "of the whole loss");
  }
};

class BarlowTwins : public ProjectingMethod {
 public:
  BarlowTwins(const Options& options, const MethodContext& context)
      : ProjectingMethod(context), options_(options), view_forward_(context.view_forward) {
    require_two_views(context.view_groups, "barlow_twins");
  }

  Embeddings embed(const Batch& batch) override { return {{project_views(batch, view_forward_)}}; }

  /// Memory: D * D floats three times; of several processes each has its part of the rows.
  StepOutput loss(const Embeddings& embeddings, const Batch& batch, const StepContext&) override {
    const torch::Tensor& own = embeddings.z.at(0);
    const torch::Tensor z = gather(own, batch, 1);
    const auto n = static_cast<double>(z.size(1));
    const torch::Tensor centred = z - z.mean(1, true);
    const torch::Tensor normal = centred * (centred.square().mean(1, true) + 1e-5).rsqrt();
    const std::int64_t width = z.size(2);
    const auto [first, last] = world().share(width);
    const torch::Tensor c = at::mm(normal[0].slice(1, first, last).t(), normal[1]) / n;
    const torch::Tensor same = c.diagonal(first);
    const torch::Tensor others =
        at::diagonal_scatter(c, at::zeros_like(same), first).square().sum();
    StepOutput output;
    output.loss = ((1 - same).square().sum() + options_.lambda * others) * options_.scale;

    const torch::NoGradGuard no_grad;
    const auto d = static_cast<double>(width);
    const torch::Tensor cosine = (unit_rows(own[0]) * unit_rows(own[1])).sum(1).mean();
    output.metrics = {{"positive_cosine", cosine * share(batch)},
                      {"correlation_same", same.detach().sum() / d},
                      {"squared_correlation_other", others.detach() / (d * std::max(1.0, d - 1))}};
    return output;
  }

 private:
  Options options_;
  ViewForward view_forward_;
};

}  // namespace

MethodEntry barlow_twins_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "barlow_twins", "coordinates of the embedding agree between views and with no other one",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<BarlowTwins>(options, context);
      });
}

}  // namespace clr
