// SPDX-License-Identifier: Apache-2.0
// ResNets with torchvision's structure, names and initialisation. Source: arXiv:1512.03385, with
// the stride of a bottleneck in its 3x3 convolution, as torchvision has it.
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <torch/nn/init.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "clr/model/batch_norm.h"
#include "clr/model/encoder.h"

namespace clr {
namespace {

enum class Stem { imagenet, cifar, cifar_padded };
constexpr auto enum_names(Stem) { return std::array{"imagenet", "cifar", "cifar_padded"}; }

// One and the same for a ResNet: torchvision draws its convolutions from Kaiming's normal
// distribution (fan out, ReLU) and starts batch norm with scale 1 and shift 0.
enum class Initialization { torchvision, kaiming_normal_fan_out };
constexpr auto enum_names(Initialization) {
  return std::array{"torchvision", "kaiming_normal_fan_out"};
}

struct Options {
  Stem stem = Stem::imagenet;
  double width = 1.0;
  bool zero_init_residual = false;
  Initialization initialization = Initialization::torchvision;

  static void fields(auto&& f) {
    f("stem", &Options::stem,
      "imagenet: 7x7 convolution of stride 2 and max pooling; cifar: 3x3 convolution of stride 1; "
      "cifar_padded: the same padded by 2 pixels, as solo-learn has it");
    f("width", &Options::width, In{0.0625, 8},
      "multiple of all channel counts; the first convolution has round(64 * width)");
    f("zero_init_residual", &Options::zero_init_residual,
      "start the last batch norm of each block with scale 0, so that blocks begin as identities");
    f("initialization", &Options::initialization,
      "convolutions from a Kaiming normal distribution (fan out, ReLU), batch norm 1 and 0; both "
      "names mean this");
  }
};

class Convolution : public torch::nn::Module {
 public:
  Convolution(std::int64_t input, std::int64_t output, std::int64_t kernel, std::int64_t stride,
              std::int64_t groups = 1)
      : Convolution(input, output, kernel, stride, groups, kernel / 2) {}

  Convolution(std::int64_t input, std::int64_t output, std::int64_t kernel, std::int64_t stride,
              std::int64_t groups, std::int64_t padding)
      : stride_(stride), groups_(groups), padding_(padding) {
    torch::Tensor values = torch::empty({output, input / groups, kernel, kernel});
    torch::nn::init::kaiming_normal_(values, 0, torch::kFanOut, torch::kReLU);
    weight = register_parameter("weight", values);
  }

  torch::Tensor forward(const torch::Tensor& x) {
    if (is_training() && x.is_cpu() && stride_ > 1 && weight.size(2) == 1 && weight.size(1) < 16)
      return at::conv2d(every_other(x), weight);
    return at::conv2d(x, weight, {}, at::IntArrayRef(stride_), at::IntArrayRef(padding_),
                      at::IntArrayRef(1), groups_);
  }

  torch::Tensor weight;

 private:
  /// The pixels that a 1x1 convolution with a stride sees. oneDNN (of LibTorch 2.11, with AVX-512)
  /// picks them itself, and the gradient of the weight writes beyond its memory when there are fewer
  /// than 16 channels: test/cli/guarded_memory.sh. Evaluation has no such gradient.
  torch::Tensor every_other(const torch::Tensor& x) const {
    return x.slice(2, 0, std::nullopt, stride_)
        .slice(3, 0, std::nullopt, stride_)
        .contiguous(x.suggest_memory_format());
  }

  std::int64_t stride_;
  std::int64_t groups_;
  std::int64_t padding_;
};

/// `downsample`: a 1x1 convolution and batch norm, named 0 and 1.
class Shortcut : public torch::nn::Module {
 public:
  Shortcut(std::int64_t input, std::int64_t output, std::int64_t stride)
      : convolution_(register_module("0", std::make_shared<Convolution>(input, output, 1, stride))),
        norm_(register_module("1", std::make_shared<BatchNorm>(output))) {}

  torch::Tensor forward(const torch::Tensor& x) { return norm_->forward(convolution_->forward(x)); }

 private:
  std::shared_ptr<Convolution> convolution_;
  std::shared_ptr<BatchNorm> norm_;
};

/// What tells ResNets apart. A bottleneck's 3x3 convolution has planes * base_width / 64 channels in each of
/// its groups (arXiv:1611.05431, arXiv:1605.07146).
struct Architecture {
  std::array<int, 4> blocks;
  bool bottleneck;
  std::int64_t groups = 1;
  std::int64_t base_width = 64;
};

/// Two 3x3 convolutions, or a 1x1, 3x3, 1x1 bottleneck, around a shortcut.
class Block : public torch::nn::Module {
 public:
  Block(std::int64_t input, std::int64_t planes, std::int64_t stride,
        const Architecture& architecture, bool zero_init) {
    const std::int64_t output = architecture.bottleneck ? 4 * planes : planes;
    if (architecture.bottleneck) {
      const std::int64_t groups = architecture.groups;
      const std::int64_t inner =
          std::max<std::int64_t>(1, planes * architecture.base_width / 64) * groups;
      add(input, inner, 1, 1);
      add(inner, inner, 3, stride, groups);
      add(inner, output, 1, 1);
    } else {
      add(input, planes, 3, stride);
      add(planes, output, 3, 1);
    }
    if (zero_init) torch::nn::init::zeros_(norms_.back()->weight);
    if (stride != 1 || input != output) {
      shortcut_ = register_module("downsample", std::make_shared<Shortcut>(input, output, stride));
    }
  }

  torch::Tensor forward(const torch::Tensor& x) {
    torch::Tensor y = x;
    for (std::size_t k = 0; k < convolutions_.size(); ++k) {
      y = norms_[k]->forward(convolutions_[k]->forward(y));
      if (k + 1 < convolutions_.size()) y = y.relu_();
    }
    y += shortcut_ ? shortcut_->forward(x) : x;
    return y.relu_();
  }

 private:
  void add(std::int64_t input, std::int64_t output, std::int64_t kernel, std::int64_t stride,
           std::int64_t groups = 1) {
    const std::string number = std::to_string(convolutions_.size() + 1);
    convolutions_.push_back(register_module(
        "conv" + number, std::make_shared<Convolution>(input, output, kernel, stride, groups)));
    norms_.push_back(register_module("bn" + number, std::make_shared<BatchNorm>(output)));
  }

  std::vector<std::shared_ptr<Convolution>> convolutions_;
  std::vector<std::shared_ptr<BatchNorm>> norms_;
  std::shared_ptr<Shortcut> shortcut_;
};

/// `layer1` to `layer4`: blocks named 0, 1, ...
class Stage : public torch::nn::Module {
 public:
  void add(std::shared_ptr<Block> block) {
    blocks_.push_back(register_module(std::to_string(blocks_.size()), std::move(block)));
  }

  torch::Tensor forward(torch::Tensor x) {
    for (const auto& block : blocks_) x = block->forward(x);
    return x;
  }

 private:
  std::vector<std::shared_ptr<Block>> blocks_;
};

class ResNet : public Encoder {
 public:
  ResNet(const Options& options, const Architecture& architecture) : stem_(options.stem) {
    std::int64_t planes = std::lround(64 * options.width);
    std::int64_t channels = planes;
    const bool imagenet = stem_ == Stem::imagenet;
    const std::int64_t kernel = imagenet ? 7 : 3;
    convolution_ = register_module(
        "conv1", std::make_shared<Convolution>(3, channels, kernel, imagenet ? 2 : 1, /*groups=*/1,
                                               stem_ == Stem::cifar_padded ? 2 : kernel / 2));
    norm_ = register_module("bn1", std::make_shared<BatchNorm>(channels));
    for (std::size_t s = 0; s < architecture.blocks.size(); ++s) {
      auto stage = register_module("layer" + std::to_string(s + 1), std::make_shared<Stage>());
      for (int b = 0; b < architecture.blocks[s]; ++b) {
        const std::int64_t stride = s > 0 && b == 0 ? 2 : 1;
        stage->add(std::make_shared<Block>(channels, planes, stride, architecture,
                                           options.zero_init_residual));
        channels = architecture.bottleneck ? 4 * planes : planes;
      }
      stages_.push_back(std::move(stage));
      planes *= 2;
    }
    feature_dim_ = channels;
  }

  torch::Tensor forward(const View& view) override {
    torch::Tensor x = norm_->forward(convolution_->forward(view.input)).relu_();
    if (stem_ == Stem::imagenet) x = at::max_pool2d(x, {3, 3}, {2, 2}, {1, 1});
    for (const auto& stage : stages_) x = stage->forward(x);
    return at::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
  }

  std::int64_t feature_dim() const override { return feature_dim_; }

  std::int64_t layers() const override { return static_cast<std::int64_t>(stages_.size()); }

  std::int64_t layer_of(const std::string& parameter) const override {
    constexpr std::string_view kStage = "layer";
    return parameter.starts_with(kStage) ? parameter[kStage.size()] - '0' : 0;
  }

 private:
  Stem stem_;
  std::shared_ptr<Convolution> convolution_;
  std::shared_ptr<BatchNorm> norm_;
  std::vector<std::shared_ptr<Stage>> stages_;
  std::int64_t feature_dim_ = 0;
};

EncoderEntry resnet_entry(const char* name, const char* help, const Architecture& architecture) {
  return make_entry<std::shared_ptr<Encoder>, Options>(
      name, help, [=](const Options& options) -> std::shared_ptr<Encoder> {
        return std::make_shared<ResNet>(options, architecture);
      });
}

}  // namespace

EncoderEntry resnet18_encoder() {
  return resnet_entry("resnet18", "ResNet-18, 512 features", {{2, 2, 2, 2}, false});
}
EncoderEntry resnet34_encoder() {
  return resnet_entry("resnet34", "ResNet-34, 512 features", {{3, 4, 6, 3}, false});
}
EncoderEntry resnet50_encoder() {
  return resnet_entry("resnet50", "ResNet-50, 2048 features", {{3, 4, 6, 3}, true});
}
EncoderEntry resnet101_encoder() {
  return resnet_entry("resnet101", "ResNet-101, 2048 features", {{3, 4, 23, 3}, true});
}
EncoderEntry resnet152_encoder() {
  return resnet_entry("resnet152", "ResNet-152, 2048 features", {{3, 8, 36, 3}, true});
}
EncoderEntry resnext50_32x4d_encoder() {
  return resnet_entry("resnext50_32x4d", "ResNeXt-50, 32 groups of 4 channels, 2048 features",
                      {{3, 4, 6, 3}, true, 32, 4});
}
EncoderEntry wide_resnet50_2_encoder() {
  return resnet_entry("wide_resnet50_2", "ResNet-50 with bottlenecks twice as wide, 2048 features",
                      {{3, 4, 6, 3}, true, 1, 128});
}

}  // namespace clr
