// SPDX-License-Identifier: Apache-2.0
// Instance discrimination (NPID): every image is a class of its own, and a bank that holds one
// embedding for each image of the data set takes the place of a classifier's weights. Source:
// arXiv:1805.01978 and its code, lemniscate.pytorch.
//
// With an anchor v, the bank's row f_i of its image, rows f_j of other images and temperature T:
//
//   info_nce  -log(exp(v.f_i / T) / (exp(v.f_i / T) + sum over j of exp(v.f_j / T)))
//   nce       two-way choices between data and noise, with a constant for that sum (loss/nce.h)
//
// and for both proximal_weight * |v - f_i|^2. Each view of an image is an anchor. After the step
// f_i becomes m f_i + (1 - m) v, v the mean of the views, and is scaled to length 1.
//
// Different from the reference:
//  - Its noise is drawn for each anchor, with repeats. Here a step draws K images without repeats
//    that all its anchors share: the same expectation, and a product of matrices instead of N * K
//    gathered rows.
//  - It draws the bank from a cube, with lengths near 1. Here its rows have length 1 from the
//    start.
//  - It has bank_momentum and no proximal term, the paper the proximal term and no momentum; its
//    author says that they do the same job (its issue 11). The defaults here are the code's; the
//    paper's form is bank_momentum 0 and a proximal_weight.
//  - nce's noise may hold the anchor's own row, as the paper draws noise from all images. Among
//    info_nce's negatives it never is, so that negatives 0 is the full softmax (nce-k 0 there).
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <fmt/format.h>

#include <limits>

#include "clr/loss/contrastive.h"
#include "clr/loss/nce.h"
#include "clr/method/projecting_method.h"

namespace clr {
namespace {

enum class BankLoss { nce, info_nce };
constexpr auto enum_names(BankLoss) { return std::array{"nce", "info_nce"}; }

struct Options {
  BankLoss loss = BankLoss::nce;
  double temperature = 0.07;
  std::int64_t negatives = 4096;
  double bank_momentum = 0.5;
  double proximal_weight = 0.0;

  static void fields(auto&& f) {
    f("loss", &Options::loss,
      "nce: noise-contrastive estimation, as in the paper; info_nce: softmax over positive and "
      "negatives");
    f("temperature", &Options::temperature, In{1e-3, 100}, "temperature of the softmax");
    f("negatives", &Options::negatives, In{0, 1 << 30},
      "images drawn each step as noise or negatives, all of them at most; 0 = all");
    f("bank_momentum", &Options::bank_momentum, In{0, 0.9999},
      "share of its old value that a row of the bank keeps when its image is seen");
    f("proximal_weight", &Options::proximal_weight, AtLeast{0},
      "weight of the squared distance of an embedding from its row of the bank (the paper's "
      "lambda)");
  }
};

torch::Tensor random_unit_rows(std::int64_t rows, std::int64_t width) {
  return unit_rows(at::rand({rows, width}) * 2 - 1);
}

class MemoryBank : public ProjectingMethod {
 public:
  MemoryBank(const Options& options, const MethodContext& context)
      : ProjectingMethod(context),
        options_(options),
        view_forward_(context.view_forward),
        loss_backend_(context.loss_backend),
        half_precision_(context.half_precision),
        images_(context.dataset_size) {
    if (context.view_groups.size() != 1) {
      throw Error(ErrorKind::config,
                  fmt::format("/augment/views: expected views of one size for memory_bank, got {} "
                              "sizes",
                              context.view_groups.size()));
    }
    bank_ = register_buffer("bank", random_unit_rows(images_, projector_->output_dim()));
    if (options.loss == BankLoss::nce) {
      // Minus infinity: nothing was seen yet.
      log_normalizer_ =
          register_buffer("log_normalizer", at::full({}, -kInfinity, torch::kFloat64));
    }
  }

  Embeddings embed(const Batch& batch) override { return {{project_views(batch, view_forward_)}}; }

  StepOutput loss(const Embeddings& embeddings, const Batch& batch,
                  const StepContext& context) override {
    const Rows rows = rows_of(embeddings, batch, context);
    const torch::Tensor cosines = (rows.anchors * rows.own).sum(1);
    StepOutput output;
    if (options_.loss == BankLoss::nce) {
      const torch::Tensor log_normalizer = estimated() ? log_normalizer_ : estimate(rows, batch);
      output.loss = nce(rows.anchors, rows.own, rows.others, options_.temperature, log_normalizer);
      output.metrics.emplace_back("log_normalizer", equal_share(log_normalizer));
    } else {
      output.loss = info_nce_of(rows, cosines);
    }
    if (options_.proximal_weight > 0) {
      const torch::Tensor distance = (rows.anchors - rows.own).square().sum(1).mean();
      output.loss = output.loss + options_.proximal_weight * distance;
      output.metrics.emplace_back("proximal", distance.detach() * share(batch));
    }
    output.loss = output.loss * share(batch);
    output.metrics.emplace_back("positive_cosine", cosines.detach().mean() * share(batch));
    output.metrics.emplace_back(
        "negative_cosine", rows.anchors.detach().mean(0).dot(rows.others.mean(0)) * share(batch));
    return output;
  }

  void after_step(const Embeddings& embeddings, const Batch& batch,
                  const StepContext& context) override {
    const torch::NoGradGuard no_grad;
    if (options_.loss == BankLoss::nce && !estimated()) {
      // Once, and the number that loss() had: of the same rows.
      log_normalizer_.copy_(estimate(rows_of(embeddings, batch, context), batch));
    }
    update_bank(embeddings, batch);
  }

 private:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();

  /// What a step compares: M = V * N anchors and K rows of the bank.
  struct Rows {
    torch::Tensor anchors;  ///< [M, D], of unit length, with a graph
    torch::Tensor ids;      ///< [M], their images
    torch::Tensor own;      ///< [M, D], their rows of the bank
    torch::Tensor drawn;    ///< [K], images
    torch::Tensor others;   ///< [K, D], their rows of the bank
  };

  Rows rows_of(const Embeddings& embeddings, const Batch& batch, const StepContext& context) const {
    const torch::Tensor& z = embeddings.z.at(0);
    Rows rows;
    rows.anchors = unit_rows(z.flatten(0, 1));
    rows.ids = batch.indices.repeat({z.size(0)});
    rows.own = bank_.index_select(0, rows.ids);
    if (options_.negatives == 0 || options_.negatives >= images_) {
      rows.drawn = at::arange(images_, batch.indices.options());
      rows.others = bank_;
    } else {
      rows.drawn = draw(context).to(batch.indices.device());
      rows.others = bank_.index_select(0, rows.drawn);
    }
    return rows;
  }

  /// This step's images, each once, from all of the data set.
  torch::Tensor draw(const StepContext& context) const {
    const Permutation order = context.order(images_);
    torch::Tensor drawn = at::empty({options_.negatives}, torch::kInt64);
    auto* values = drawn.data_ptr<std::int64_t>();
    for (std::int64_t k = 0; k < options_.negatives; ++k) {
      values[k] = static_cast<std::int64_t>(order(static_cast<std::uint64_t>(k)));
    }
    return drawn;
  }

  torch::Tensor info_nce_of(const Rows& rows, const torch::Tensor& cosines) const {
    ContrastiveProblem problem;
    problem.rows = rows.anchors;
    problem.columns = rows.others;
    problem.row_ids = rows.ids;
    problem.column_ids = rows.drawn;
    problem.inverse_temperature = inverse_temperature(options_.temperature, rows.anchors.device());
    problem.backend = loss_backend_;
    problem.half_precision = half_precision_;
    const torch::Tensor positives = cosines.to(torch::kFloat64) * problem.inverse_temperature;
    return pair_cross_entropy(positives, log_sums(problem).rows)
        .mean()
        .to(rows.anchors.scalar_type());
  }

  bool estimated() {
    if (!estimated_) estimated_ = log_normalizer_.item<double>() != -kInfinity;
    return estimated_;
  }

  torch::Tensor estimate(const Rows& rows, const Batch& batch) const {
    return nce_log_normalizer(gather(rows.anchors.detach(), batch), gather(rows.own, batch),
                              rows.others, options_.temperature);
  }

  /// Rows of the batch's images towards the mean of their views.
  void update_bank(const Embeddings& embeddings, const Batch& batch) {
    const torch::Tensor& z = embeddings.z.at(0);
    const torch::Tensor indices = gather(batch.indices, batch);
    const torch::Tensor seen =
        gather(unit_rows(z.flatten(0, 1)).unflatten(0, {z.size(0), -1}).mean(0), batch);
    const torch::Tensor old = bank_.index_select(0, indices);
    const torch::Tensor moved =
        unit_rows(options_.bank_momentum * old + (1 - options_.bank_momentum) * seen);
    // An image that is in the batch twice (data.on_error = replace) counts where it stands first.
    const torch::Tensor first = indices.unsqueeze(1).eq(indices).to(torch::kUInt8).argmax(1);
    bank_.index_copy_(0, indices, moved.index_select(0, first));
  }

  Options options_;
  ViewForward view_forward_;
  LossBackend loss_backend_;
  bool half_precision_;
  std::int64_t images_;
  torch::Tensor bank_;            ///< [images, D], rows of unit length
  torch::Tensor log_normalizer_;  ///< float64 scalar, log(Z / images); with nce only
  /// Whether log_normalizer_ is known to hold a value, so that a GPU is asked no more.
  bool estimated_ = false;
};

}  // namespace

MethodEntry memory_bank_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "memory_bank",
      "each image against a bank of all images' embeddings (instance discrimination)",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<MemoryBank>(options, context);
      });
}

}  // namespace clr
