// SPDX-License-Identifier: Apache-2.0
// SimCLR: two views of an image attract, the other rows of the batch repel.
//
// Objective: NT-Xent over 2N rows of unit length, 2N - 2 negatives an anchor (arXiv:2002.05709,
// eq. 1), or one of the losses that came from it: loss/nt_xent.h has each one's equation and source.
// Differs from the reference: Google's code sums the means of both views' anchors, twice this value.
// With more than two views: loss/multi_view.h. `cross` is SimCSE's loss (arXiv:2104.08821): loss/info_nce.h.
//
// Negatives of the anchor's own kind (false negatives) can be left out, as arXiv:2011.11765 cancels
// them: rows of its dataset index or label (an oracle, for studies), or rows too much like it.
//
// mlm_weight adds the prediction of masked tokens of all views, in further forward passes (SimCSE, appendix).
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>

#include "clr/loss/info_nce.h"
#include "clr/loss/multi_view.h"
#include "clr/loss/nt_xent.h"
#include "clr/method/projecting_method.h"
#include "clr/method/token_prediction_head.h"
#include "clr/method/view_metrics.h"

namespace clr {
namespace {

enum class Loss { nt_xent, cross, dcl, dclw, debiased, hard_negative };
constexpr auto enum_names(Loss) {
  return std::array{"nt_xent", "cross", "dcl", "dclw", "debiased", "hard_negative"};
}

enum class FalseNegatives { keep, same_index, same_label, cosine };
constexpr auto enum_names(FalseNegatives) {
  return std::array{"keep", "same_index", "same_label", "cosine"};
}

struct Options {
  Loss loss = Loss::nt_xent;
  double temperature = 0.5;
  double sigma = 0.5;
  double positive_prior = 0.1;
  double beta = 1.0;
  FalseNegatives false_negatives = FalseNegatives::keep;
  double cosine_limit = 0.9;
  double mlm_weight = 0.0;
  double mask_rate = 0.15;

  static void fields(auto&& f) {
    f("loss", &Options::loss,
      "nt_xent; cross: the first view against the second alone, N - 1 negatives, a third view "
      "being "
      "further negatives (SimCSE); dcl: without the positive in the denominator; dclw: that, with "
      "positives weighted; "
      "debiased: negatives corrected for those of the anchor's class; hard_negative: that, with "
      "near negatives weighted up");
    f("temperature", &Options::temperature, In{1e-3, 100}, "temperature of the loss");
    f("sigma", &Options::sigma, In{1e-3, 100}, "dclw: width of the positives' weights");
    f("positive_prior", &Options::positive_prior, In{0, 0.999},
      "debiased, hard_negative: share of the negatives that are of the anchor's class (tau plus)");
    f("beta", &Options::beta, In{0, 100}, "hard_negative: how much near negatives count more");
    f("false_negatives", &Options::false_negatives,
      "negatives that are none for an anchor: keep them; leave out rows of its dataset index, of "
      "its label (an oracle), or those above cosine_limit");
    f("cosine_limit", &Options::cosine_limit, In{-1, 1},
      "false_negatives cosine: largest cosine of a negative");
    f("mlm_weight", &Options::mlm_weight, AtLeast{0},
      "texts: weight of predicting masked tokens beside it (SimCSE's auxiliary objective: 0.1)");
    f("mask_rate", &Options::mask_rate, In{0.001, 0.9},
      "mlm_weight: share of tokens that is masked");
  }
};

/// Share of an image's negatives whose id [N] is the image's own, the mean over images; ids are in
/// [0, count). N >= 2. Both views of an image have its id, so that images can be counted for rows.
torch::Tensor share_of_equal(const torch::Tensor& ids, std::int64_t count) {
  const torch::Tensor ones = torch::ones(ids.sizes(), ids.options().dtype(torch::kFloat64));
  const torch::Tensor sizes = at::zeros({count}, ones.options()).index_add(0, ids, ones);
  const auto n = static_cast<double>(ids.size(0));
  return (sizes * (sizes - 1)).sum() / (n * (n - 1));
}

/// Share of the negatives whose cosine exceeds `limit`, of unit rows [2, N, D] among all
/// processes' [2, all, D]; block by block, as the loss goes about it.
torch::Tensor share_above(const torch::Tensor& unit, const torch::Tensor& all, double limit) {
  constexpr std::int64_t kBlock = 1024;
  const torch::Tensor rows = unit.flatten(0, 1);
  const torch::Tensor columns = all.flatten(0, 1);
  const std::int64_t m = rows.size(0);
  torch::Tensor above = at::zeros({}, rows.options().dtype(torch::kInt64));
  for (std::int64_t first = 0; first < m; first += kBlock) {
    const torch::Tensor block = rows.narrow(0, first, std::min(kBlock, m - first));
    above += at::mm(block, columns.t()).gt(limit).sum();
  }
  // A row is no negative of itself, nor of its other view.
  const torch::Tensor own = rows.square().sum(1).gt(limit).sum();
  const torch::Tensor pairs = (unit[0] * unit[1]).sum(1).gt(limit).sum();
  const auto count = static_cast<double>(columns.size(0));
  return (above - own - 2 * pairs).to(torch::kFloat64) / (count * (count - 2));
}

class SimClr : public ProjectingMethod {
 public:
  SimClr(const Options& options, const MethodContext& context)
      : ProjectingMethod(context),
        options_(options),
        view_forward_(context.view_forward),
        classes_(context.classes),
        dataset_size_(context.dataset_size) {
    require_views_of_one_size(context.view_groups, "simclr");
    const bool third = options.loss == Loss::cross && context.view_groups[0] == 3;
    if (context.view_groups[0] > 2 && !third &&
        (options.loss != Loss::nt_xent || options.false_negatives != FalseNegatives::keep)) {
      throw Error(
          ErrorKind::config,
          fmt::format("/augment/views: expected 2 views for simclr with loss {} and "
                      "false_negatives {}, got {}; more go with nt_xent and keep, three with cross",
                      to_string(options.loss), to_string(options.false_negatives),
                      context.view_groups[0]));
    }
    if (options.loss == Loss::cross && options.false_negatives != FalseNegatives::keep) {
      throw Error(ErrorKind::config,
                  fmt::format("/method/false_negatives: expected keep with loss cross, got {}",
                              to_string(options.false_negatives)));
    }
    const bool counted = options.loss == Loss::debiased || options.loss == Loss::hard_negative;
    if (counted && options.false_negatives != FalseNegatives::keep) {
      throw Error(ErrorKind::config,
                  fmt::format("/method/false_negatives: expected keep with loss {}, which corrects "
                              "for false negatives itself, got {}",
                              to_string(options.loss), to_string(options.false_negatives)));
    }
    if (options.false_negatives == FalseNegatives::same_label) {
      require_labels(context, "simclr with false_negatives same_label");
    }
    if (options.mlm_weight > 0) {
      text_encoder_ = &require_text_encoder(*encoder_, "simclr with mlm_weight");
      prediction_ = register_module("prediction", std::make_shared<TokenPredictionHead>(
                                                      *text_encoder_, context.pieces,
                                                      PredictedTokens::masked, options.mask_rate));
    }
    loss_options_.backend = context.loss_backend;
    loss_options_.half_precision = context.half_precision;
    if (options.false_negatives == FalseNegatives::cosine) {
      loss_options_.cosine_limit = options.cosine_limit;
    }
  }

  Embeddings embed(const Batch& batch) override {
    Embeddings embeddings{{project_views(batch, view_forward_)}};
    if (prediction_) embeddings.z.push_back(prediction_->forward(*text_encoder_, batch.views(0)));
    return embeddings;
  }

  StepOutput loss(const Embeddings& embeddings, const Batch& batch, const StepContext&) override {
    const torch::Tensor& z = embeddings.z.at(0);
    StepOutput output;
    output.loss = loss_of(z, batch);
    // A third view of cross is no positive.
    const torch::Tensor views = options_.loss == Loss::cross ? z.narrow(0, 0, 2) : z;
    const torch::Tensor unit = unit_rows(views.detach().flatten(0, 1)).view_as(views);
    const auto [positive, negative] = mean_cosines(unit, batch);
    output.metrics = {{"positive_cosine", positive}, {"negative_cosine", negative}};
    if (classes_ > 0) {
      output.metrics.emplace_back("false_negative_share",
                                  share_of_equal(batch.labels, classes_, batch));
    }
    if (options_.false_negatives != FalseNegatives::keep) {
      output.metrics.emplace_back("masked_share", masked_share(unit, batch));
    }
    if (prediction_) {
      const torch::Tensor& rows = embeddings.z.at(1);
      const TokenTotals totals = token_totals(rows, sum(rows.flatten(0, 1).sum(0)));
      output.loss = output.loss + options_.mlm_weight * totals.loss;
      output.metrics.emplace_back("mlm_loss", totals.loss.detach());
      output.metrics.emplace_back("token_accuracy", totals.accuracy);
    }
    return output;
  }

 private:
  /// Mean cosine of the views of one image, and of rows of two images: the latter by way of the sum of
  /// all unit rows, in O(N * D). This process's share of both.
  std::pair<torch::Tensor, torch::Tensor> mean_cosines(const torch::Tensor& unit,
                                                       const Batch& batch) const {
    const double n = static_cast<double>(unit.size(1)) / share(batch);
    const auto views = static_cast<double>(unit.size(0));
    const torch::Tensor images = unit.sum(0);
    const torch::Tensor total = images.sum(0);
    const torch::Tensor others = total.dot(sum(total)) - images.square().sum();
    return {mean_view_cosine(unit) * share(batch), others / (views * views * n * (n - 1))};
  }

  torch::Tensor share_of_equal(const torch::Tensor& ids, std::int64_t count,
                               const Batch& batch) const {
    return equal_share(clr::share_of_equal(gather(ids, batch), count));
  }

  torch::Tensor loss_of(const torch::Tensor& z, const Batch& batch) const {
    if (options_.loss == Loss::cross) {
      return info_nce_in_batch(z[0], z[1], z.size(0) > 2 ? z[2] : torch::Tensor(),
                               options_.temperature, loss_options_.backend, shared(batch));
    }
    if (z.size(0) > 2) {
      return multi_view_nt_xent(z, options_.temperature, loss_options_.backend,
                                loss_options_.half_precision, shared(batch));
    }
    const torch::Tensor z0 = z[0];
    const torch::Tensor z1 = z[1];
    TwoViewOptions masked = loss_options_;
    masked.shared = shared(batch);
    if (options_.false_negatives == FalseNegatives::same_index) {
      masked.ids = batch.indices.repeat({2});
    } else if (options_.false_negatives == FalseNegatives::same_label) {
      masked.ids = batch.labels.repeat({2});
    }
    const double temperature = options_.temperature;
    switch (options_.loss) {
      case Loss::dcl:
        return dcl(z0, z1, temperature, masked);
      case Loss::dclw:
        return dclw(z0, z1, temperature, options_.sigma, masked);
      case Loss::debiased:
        return debiased(z0, z1, temperature, options_.positive_prior, masked);
      case Loss::hard_negative:
        return hard_negative(z0, z1, temperature, options_.positive_prior, options_.beta, masked);
      case Loss::cross:
      case Loss::nt_xent:
        break;
    }
    return nt_xent(z0, z1, temperature, masked);
  }

  torch::Tensor masked_share(const torch::Tensor& unit, const Batch& batch) const {
    switch (options_.false_negatives) {
      case FalseNegatives::same_index:
        return share_of_equal(batch.indices, dataset_size_, batch);
      case FalseNegatives::same_label:
        return share_of_equal(batch.labels, classes_, batch);
      case FalseNegatives::cosine:
        return share_above(unit, gather(unit, batch, 1), options_.cosine_limit);
      case FalseNegatives::keep:
        break;
    }
    return torch::zeros({}, unit.options());
  }

  Options options_;
  TwoViewOptions loss_options_;
  ViewForward view_forward_;
  std::int64_t classes_;
  std::int64_t dataset_size_;
  // With mlm_weight alone.
  TextEncoder* text_encoder_ = nullptr;
  std::shared_ptr<TokenPredictionHead> prediction_;
};

}  // namespace

MethodEntry simclr_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "simclr", "two views attract, the rest of the batch repels (NT-Xent and its kin)",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<SimClr>(options, context);
      });
}

}  // namespace clr
