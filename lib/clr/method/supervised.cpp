// SPDX-License-Identifier: Apache-2.0
// Cross-entropy on labels. The supervised baseline, and what fine-tuning and linear evaluation by
// gradient descent train with. Source: arXiv:2002.05709, B.5 and B.6; arXiv:2006.10029 for
// classifiers on the projection head's first layer.
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <torch/nn/init.h>

#include <cmath>
#include <functional>
#include <map>
#include <optional>

#include "clr/method/classifier_options.h"
#include "clr/method/method.h"

namespace clr {
namespace {

struct Options : ClassifierOptions {
  bool frozen = false;

  static void fields(auto&& f) {
    base_fields<Options>(f);
    f("frozen", &Options::frozen,
      "train the classifier alone: all below it is in evaluation mode and has no gradients");
  }
};

/// Layers of the projection head below the classifier.
std::int64_t used_layers(ClassifierInput from, const MlpHeadConfig& projector) {
  switch (from) {
    case ClassifierInput::encoder:
      break;
    case ClassifierInput::projector_1:
      if (projector.layers == 0) {
        throw Error(ErrorKind::config,
                    "/projector/layers: expected at least 1 for a classifier on projector_1, got "
                    "0; stand it on the encoder");
      }
      return 1;
    case ClassifierInput::projector:
      return projector.layers;
  }
  return 0;
}

std::int64_t width_after(std::int64_t layers, std::int64_t features,
                         const MlpHeadConfig& projector) {
  if (layers == 0) return features;
  return layers == projector.layers ? projector.output : projector.hidden;
}

class Supervised : public Method {
 public:
  Supervised(const Options& options, const MethodContext& context)
      : options_(options),
        view_forward_(context.view_forward),
        layers_(used_layers(options.from, context.projector)) {
    require_labels(context, "supervised");
    encoder_ = register_module("encoder", context.make_encoder());
    const std::int64_t features = encoder_->feature_dim();
    if (options.from != ClassifierInput::encoder) {
      projector_ =
          register_module("projector", std::make_shared<MlpHead>(features, context.projector));
      // What lies above the classifier is kept as it is, so that the head stays whole in files.
      for (const auto& item : projector_->named_parameters()) {
        if (layer_number(item.key()) > layers_) item.value().set_requires_grad(false);
      }
    }
    classifier_ = register_module(
        "classifier",
        torch::nn::Linear(width_after(layers_, features, context.projector), context.classes));
    // SimCLR's zero_init_logits_layer: every class is as probable as the next, and no draw of a
    // classifier blurs the comparison of encoders.
    torch::nn::init::zeros_(classifier_->weight);
    torch::nn::init::zeros_(classifier_->bias);
    if (options.frozen) {
      for (const auto& item : named_parameters()) {
        if (!item.key().starts_with("classifier.")) item.value().set_requires_grad(false);
      }
    }
  }

  Embeddings embed(const Batch& batch) override {
    if (options_.frozen) {
      encoder_->eval();
      if (projector_) projector_->eval();
    }
    Embeddings embeddings;
    for (std::size_t g = 0; g < batch.groups.size(); ++g) {
      const torch::Tensor logits = forward_views(
          batch.views(g), view_forward_,
          [this](const View& view) { return classifier_->forward(below_classifier(view)); });
      embeddings.z.push_back(for_loss(logits));
    }
    return embeddings;
  }

  StepOutput loss(const Embeddings& embeddings, const Batch& batch, const StepContext&) override {
    std::vector<torch::Tensor> logits;
    std::vector<torch::Tensor> labels;
    for (const torch::Tensor& z : embeddings.z) {
      logits.push_back(z.flatten(0, 1));
      labels.push_back(batch.labels.repeat({z.size(0)}));
    }
    const torch::Tensor rows = at::cat(logits);
    const torch::Tensor wanted = at::cat(labels);
    StepOutput output;
    output.loss = at::cross_entropy_loss(rows, wanted) * share(batch);
    output.metrics = {
        {"top1", rows.detach().argmax(1).eq(wanted).to(torch::kFloat64).mean() * share(batch)}};
    return output;
  }

  /// The default groups, split further by learning rate.
  std::vector<ParameterGroup> parameter_groups() override {
    std::vector<ParameterGroup> groups;
    for (const ParameterGroup& whole : Method::parameter_groups()) {
      std::map<double, ParameterGroup, std::greater<>> parts;
      for (const auto& item : whole.parameters) {
        const double multiplier = lr_multiplier(item.first);
        ParameterGroup& part = parts[multiplier];
        part.norm_or_bias = whole.norm_or_bias;
        part.lr_multiplier = multiplier;
        part.parameters.push_back(item);
      }
      for (auto& [multiplier, part] : parts) groups.push_back(std::move(part));
    }
    return groups;
  }

  Encoder& encoder() override { return *encoder_; }
  MlpHead* projector() override { return projector_.get(); }

 private:
  /// k of `linearK.weight` and `bnK.bias`.
  static std::int64_t layer_number(const std::string& name) {
    return std::stoll(name.substr(name.find_first_of("0123456789")));
  }

  torch::Tensor below_classifier(const View& view) {
    std::optional<torch::NoGradGuard> no_grad;
    if (options_.frozen) no_grad.emplace();
    const torch::Tensor h = encoder_->forward(view);
    return projector_ ? projector_->forward_to(h, layers_) : h;
  }

  double lr_multiplier(const std::string& name) const {
    constexpr std::string_view kEncoder = "encoder.";
    if (name.starts_with("classifier.")) return options_.head_lr_multiplier;
    std::int64_t below = 1;  // layers from the classifier down to this parameter
    if (name.starts_with(kEncoder)) {
      below = (projector_ ? 2 : 1) + encoder_->layers() -
              encoder_->layer_of(name.substr(kEncoder.size()));
    }
    return std::pow(options_.layer_decay, static_cast<double>(below));
  }

  Options options_;
  ViewForward view_forward_;
  std::int64_t layers_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<MlpHead> projector_;  ///< null where the classifier stands on the encoder
  torch::nn::Linear classifier_{nullptr};
};

}  // namespace

MethodEntry supervised_method() {
  return make_entry<std::shared_ptr<Method>, Options, const MethodContext&>(
      "supervised", "a linear classifier learns the labels, and the networks below it with it",
      [](const Options& options, const MethodContext& context) -> std::shared_ptr<Method> {
        return std::make_shared<Supervised>(options, context);
      });
}

}  // namespace clr
