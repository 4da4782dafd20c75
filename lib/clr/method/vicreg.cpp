// SPDX-License-Identifier: Apache-2.0
// VICReg: views of an image have one embedding (invariance), whose coordinates vary over the batch
// (variance) and do not vary together (covariance). No negatives. Source: arXiv:2105.04906, eq. 1 to 6.
//
// Objective: invariance_weight * s + variance_weight * v + covariance_weight * c, with
//   s the mean, over pairs of views and coordinates, of squared differences;
//   v the mean, over views and coordinates, of max(0, 1 - sqrt(variance + 1e-4));
//   c the sum of the squared covariances of two coordinates over D, both views' together.
// Variances and covariances are over the batch's N images, divided by N - 1. With V > 2 views s is of
// all pairs, and c is two times the mean over views.
//
// Where other code differs:
// - The paper's eq. 6 sums v over both views; its code, which made its numbers, takes the mean. So
//   here, and in lightly's loss; solo-learn sums them, so that its weight of 25 is 50 here.
// - The paper's eq. 5 sums s over coordinates; its code, lightly and this take the mean.
// - Statistics are of the whole batch, whoever holds it and in whatever parts it was embedded.
#include <ATen/ops/bmm.h>
#include <ATen/ops/diagonal_scatter.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros_like.h>

#include "clr/dist/world.h"
#include "clr/method/projecting_method.h"

namespace clr {
namespace {

struct Options {
  double invariance_weight = 25.0;
  double variance_weight = 25.0;
  double covariance_weight = 1.0;

  static void fields(auto&& f) {
    f("invariance_weight", &Options::invariance_weight, In{0, 1e6}, "of the views' differences");
    f("variance_weight", &Options::variance_weight, In{0, 1e6},
      "of deviations below 1: what keeps the embedding from collapsing");
    f("covariance_weight", &Options::covariance_weight, In{0, 1e6},
      "of coordinates that vary together");
  }
};

class VicReg : public ProjectingMethod {
 public:
  VicReg(const Options& options, const MethodContext& context)
      : ProjectingMethod(context), options_(options), view_forward_(context.view_forward) {
    require_views_of_one_size(context.view_groups, "vicreg");
  }

  Embeddings embed(const Batch& batch) override { return {{project_views(batch, view_forward_)}}; }

  /// Memory: V * D * D floats twice; of several processes each has its part of the rows.
  StepOutput loss(const Embeddings& embeddings, const Batch& batch, const StepContext&) override {
    const torch::Tensor& own = embeddings.z.at(0);
    const auto views = static_cast<double>(own.size(0));
    const auto width = static_cast<double>(own.size(2));
    // Squared differences of all pairs, by way of those from the views' mean.
    const torch::Tensor invariance =
        (own - own.mean(0, true)).square().mean({1, 2}).sum() * (2 / (views - 1)) * share(batch);

    const torch::Tensor z = gather(own, batch, 1);
    const auto n = static_cast<double>(z.size(1));
    const torch::Tensor centred = z - z.mean(1, true);
    const auto [first, last] = world().share(z.size(2));
    const torch::Tensor part = centred.slice(2, first, last);
    const torch::Tensor deviation = (part.square().sum(1) / (n - 1) + 1e-4).sqrt();
    const torch::Tensor variance = at::relu(1 - deviation).sum() / (views * width);
    const torch::Tensor covariances = at::bmm(part.transpose(1, 2), centred) / (n - 1);
    const torch::Tensor covariance =
        at::diagonal_scatter(covariances, at::zeros_like(covariances.diagonal(first, 1, 2)), first,
                             1, 2)
            .square()
            .sum() *
        (2 / (views * width));

    StepOutput output;
    output.loss = options_.invariance_weight * invariance + options_.variance_weight * variance +
                  options_.covariance_weight * covariance;
    output.metrics = {{"invariance", invariance.detach()},
                      {"variance", variance.detach()},
                      {"covariance", covariance.detach()}};
    return output;
  }

 private:
  Options options_;
  ViewForward view_forward_;
};

}  // namespace

MethodEntry vicreg_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "vicreg", "views agree, coordinates of the embedding vary, and not together",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<VicReg>(options, context);
      });
}

}  // namespace clr
