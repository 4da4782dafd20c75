// SPDX-License-Identifier: Apache-2.0
// Supervised contrastive learning: all rows of an image's class attract, the others repel.
//
// Objective: "out", the mean over an anchor's positives of -log softmax (arXiv:2004.11362, eq. 2),
// or "in", -log of the mean share of its positives (eq. 3). All views of all
// images together.
// Differs from the reference: its code multiplies by temperature / base temperature (0.1 / 0.07 in
// its CIFAR recipe), which belongs to the learning rate; solo-learn's loss is "in" without the
// division by the number of positives, a constant.
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include "clr/loss/supcon.h"
#include "clr/method/projecting_method.h"

namespace clr {
namespace {

enum class Form { out, in };
constexpr auto enum_names(Form) { return std::array{"out", "in"}; }

struct Options {
  Form loss = Form::out;
  double temperature = 0.1;

  static void fields(auto&& f) {
    f("loss", &Options::loss,
      "the mean over positives outside the logarithm (out) or inside it (in)");
    f("temperature", &Options::temperature, In{1e-3, 100}, "temperature of the loss");
  }
};

class SupCon : public ProjectingMethod {
 public:
  SupCon(const Options& options, const MethodContext& context)
      : ProjectingMethod(context),
        options_(options),
        backend_(context.loss_backend),
        view_forward_(context.view_forward),
        classes_(context.classes) {
    require_labels(context, "supcon");
    require_views_of_one_size(context.view_groups, "supcon");
  }

  Embeddings embed(const Batch& batch) override { return {{project_views(batch, view_forward_)}}; }

  StepOutput loss(const Embeddings& embeddings, const Batch& batch, const StepContext&) override {
    const torch::Tensor rows = embeddings.z.at(0).flatten(0, 1);
    const torch::Tensor labels = batch.labels.repeat({embeddings.z.at(0).size(0)});
    StepOutput output;
    output.loss = options_.loss == Form::out
                      ? supcon_out(rows, labels, options_.temperature, backend_, shared(batch))
                      : supcon_in(rows, labels, options_.temperature, backend_, shared(batch));
    const auto [positive, negative] = mean_cosines(rows.detach(), labels);
    output.metrics = {{"positive_cosine", positive}, {"negative_cosine", negative}};
    return output;
  }

 private:
  /// Mean cosine of rows of one class, and of rows of two, of rows [M, D], by way of the classes'
  /// sums, in O(M * D); 0 where there is no such pair. A row with itself does not count. This
  /// process's share of what all processes' rows give.
  std::pair<torch::Tensor, torch::Tensor> mean_cosines(const torch::Tensor& rows,
                                                       const torch::Tensor& labels) const {
    const torch::Tensor unit = unit_rows(rows);
    const torch::Tensor ones = torch::ones({labels.size(0), 1}, unit.options());
    // A class's sum, how many it has, and their squares.
    const torch::Tensor columns = at::cat({unit, ones, unit.square().sum(1, true)}, 1);
    const torch::Tensor classes =
        sum(at::zeros({classes_, columns.size(1)}, unit.options()).index_add(0, labels, columns));
    const std::int64_t width = unit.size(1);
    const torch::Tensor sums = classes.narrow(1, 0, width);
    const torch::Tensor sizes = classes.select(1, width);
    const torch::Tensor within = sums.square().sum();
    const torch::Tensor all = sums.sum(0).square().sum();
    const torch::Tensor pairs = (sizes * (sizes - 1)).sum();
    const torch::Tensor others = sizes.sum().square() - sizes.square().sum();
    return {equal_share((within - classes.select(1, width + 1).sum()) / pairs.clamp_min(1)),
            equal_share((all - within) / others.clamp_min(1))};
  }

  Options options_;
  LossBackend backend_;
  ViewForward view_forward_;
  std::int64_t classes_;
};

}  // namespace

MethodEntry supcon_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "supcon", "images of one class attract, the rest of the batch repels",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<SupCon>(options, context);
      });
}

}  // namespace clr
