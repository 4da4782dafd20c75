// SPDX-License-Identifier: Apache-2.0
// Vision transformers with timm's structure, names and initialisation (vit_tiny_patch16_224 and its
// kin). Source: arXiv:2010.11929; arXiv:1603.09382 for drop path; arXiv:2104.02057 for the frozen patch
// projection.
//
// Differs from timm: with pooling mean the last norm comes before the mean, not after it (timm's
// fc_norm). Linear layers start normal with deviation 0.02: timm cuts that off at 100 deviations.
#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <fmt/format.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <cmath>
#include <optional>

#include "clr/core/error.h"
#include "clr/core/rng.h"
#include "clr/model/encoder.h"

namespace clr {
namespace {

enum class Pooling { token, mean };
constexpr auto enum_names(Pooling) { return std::array{"token", "mean"}; }

struct Options {
  std::int64_t patch = 16;
  std::int64_t image_size = 224;
  Pooling pooling = Pooling::token;
  double drop_path = 0.0;
  bool freeze_patch = false;

  static void fields(auto&& f) {
    f("patch", &Options::patch, In{1, 64}, "side of a patch in pixels; 4 for images of 32");
    f("image_size", &Options::image_size, In{1, 4096},
      "side of the images that the position embeddings are for; they are interpolated for others");
    f("pooling", &Options::pooling, "features: the class token, or the mean of the patches");
    f("drop_path", &Options::drop_path, In{0, 0.9},
      "share of rows that skip the last block in training; less for those before it, along a line");
    f("freeze_patch", &Options::freeze_patch,
      "the patch projection stays as it was drawn: steadier training, as moco_v3's paper has it");
  }

  void validate(const Place& place) const {
    if (image_size % patch == 0) return;
    (place / "image_size")
        .fail(fmt::format("expected a multiple of patch = {}, got {}", patch, image_size));
  }
};

torch::nn::Linear linear(std::int64_t input, std::int64_t output) {
  torch::nn::Linear layer(input, output);
  torch::nn::init::normal_(layer->weight, 0, 0.02);
  torch::nn::init::zeros_(layer->bias);
  return layer;
}

torch::nn::LayerNorm norm(std::int64_t width) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}).eps(1e-6));
}

/// `proj`: a convolution whose stride is its size.
class PatchProjection : public torch::nn::Module {
 public:
  PatchProjection(std::int64_t patch, std::int64_t width, bool frozen) : patch_(patch) {
    torch::Tensor weight = at::empty({width, 3, patch, patch});
    torch::Tensor bias = at::empty({width});
    const auto inputs = static_cast<double>(3 * patch * patch);
    if (frozen) {
      const double bound = std::sqrt(6.0 / (inputs + static_cast<double>(width)));
      torch::nn::init::uniform_(weight, -bound, bound);
      torch::nn::init::zeros_(bias);
    } else {
      // torch.nn.Conv2d's own.
      torch::nn::init::kaiming_uniform_(weight, std::sqrt(5.0));
      torch::nn::init::uniform_(bias, -1 / std::sqrt(inputs), 1 / std::sqrt(inputs));
    }
    weight_ = register_parameter("weight", weight, !frozen);
    bias_ = register_parameter("bias", bias, !frozen);
  }

  torch::Tensor forward(const torch::Tensor& pixels) {
    return at::conv2d(pixels, weight_, bias_, {patch_, patch_});
  }

 private:
  std::int64_t patch_;
  torch::Tensor weight_;
  torch::Tensor bias_;
};

/// `patch_embed`: proj.
class PatchEmbedding : public torch::nn::Module {
 public:
  PatchEmbedding(std::int64_t patch, std::int64_t width, bool frozen)
      : proj_(register_module("proj", std::make_shared<PatchProjection>(patch, width, frozen))) {}

  /// [N, 3, H, W] -> [N, D, H / patch, W / patch].
  torch::Tensor forward(const torch::Tensor& pixels) { return proj_->forward(pixels); }

 private:
  std::shared_ptr<PatchProjection> proj_;
};

/// `attn`: qkv and proj.
class Attention : public torch::nn::Module {
 public:
  Attention(std::int64_t width, std::int64_t heads)
      : heads_(heads),
        qkv_(register_module("qkv", linear(width, 3 * width))),
        proj_(register_module("proj", linear(width, width))) {}

  torch::Tensor forward(const torch::Tensor& x) {
    // No number of rows is written down, so that a recorded network takes any.
    const auto parts =
        qkv_->forward(x).unflatten(2, {3, heads_, -1}).permute({2, 0, 3, 1, 4}).unbind(0);
    const torch::Tensor seen = at::scaled_dot_product_attention(parts[0], parts[1], parts[2]);
    return proj_->forward(seen.transpose(1, 2).flatten(2));
  }

 private:
  std::int64_t heads_;
  torch::nn::Linear qkv_;
  torch::nn::Linear proj_;
};

/// `mlp`: fc1 and fc2.
class Mlp : public torch::nn::Module {
 public:
  explicit Mlp(std::int64_t width)
      : fc1_(register_module("fc1", linear(width, 4 * width))),
        fc2_(register_module("fc2", linear(4 * width, width))) {}

  torch::Tensor forward(const torch::Tensor& x) {
    return fc2_->forward(at::gelu(fc1_->forward(x)));
  }

 private:
  torch::nn::Linear fc1_;
  torch::nn::Linear fc2_;
};

class Block : public torch::nn::Module {
 public:
  Block(std::int64_t width, std::int64_t heads)
      : norm1_(register_module("norm1", norm(width))),
        norm2_(register_module("norm2", norm(width))),
        attention_(register_module("attn", std::make_shared<Attention>(width, heads))),
        mlp_(register_module("mlp", std::make_shared<Mlp>(width))) {}

  /// Each branch times its factors [N, 1, 1], if there are any.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& attention_factors,
                        const torch::Tensor& mlp_factors) {
    const torch::Tensor seen =
        x + times(attention_->forward(norm1_->forward(x)), attention_factors);
    return seen + times(mlp_->forward(norm2_->forward(seen)), mlp_factors);
  }

 private:
  static torch::Tensor times(const torch::Tensor& branch, const torch::Tensor& factors) {
    return factors.defined() ? branch * factors.to(branch.scalar_type()) : branch;
  }

  torch::nn::LayerNorm norm1_;
  torch::nn::LayerNorm norm2_;
  std::shared_ptr<Attention> attention_;
  std::shared_ptr<Mlp> mlp_;
};

/// `blocks`: 0, 1, ...
class Blocks : public torch::nn::Module {
 public:
  void add(std::shared_ptr<Block> block) {
    all.push_back(register_module(std::to_string(all.size()), std::move(block)));
  }

  std::vector<std::shared_ptr<Block>> all;
};

class VisionTransformer : public Encoder {
 public:
  VisionTransformer(const Options& options, std::int64_t width, std::int64_t depth,
                    std::int64_t heads)
      : options_(options), width_(width), grid_(options.image_size / options.patch) {
    cls_token_ = register_parameter("cls_token", at::empty({1, 1, width}).normal_(0, 1e-6));
    pos_embed_ =
        register_parameter("pos_embed", at::empty({1, 1 + grid_ * grid_, width}).normal_(0, 0.02));
    patch_embed_ = register_module("patch_embed", std::make_shared<PatchEmbedding>(
                                                      options.patch, width, options.freeze_patch));
    blocks_ = register_module("blocks", std::make_shared<Blocks>());
    for (std::int64_t i = 0; i < depth; ++i) blocks_->add(std::make_shared<Block>(width, heads));
    norm_ = register_module("norm", norm(width));
  }

  torch::Tensor forward(const View& view) override {
    require_patches(view.input);
    const torch::Tensor patches = patch_embed_->forward(view.input);
    // Before the patches a row for the class token, which comes with the positions. In the parameters'
    // type, as timm's under autocast: what the blocks add up to is not to be rounded at each.
    torch::Tensor x = at::constant_pad_nd(
        patches.flatten(2).transpose(1, 2).to(cls_token_.scalar_type()), {0, 0, 1, 0});
    x = x + positions(patches.size(2), patches.size(3));
    const torch::Tensor dropped = factors(view);
    for (std::size_t i = 0; i < blocks_->all.size(); ++i) {
      const auto block = static_cast<std::int64_t>(i);
      x = blocks_->all[i]->forward(x, dropped.defined() ? dropped[block][0] : torch::Tensor(),
                                   dropped.defined() ? dropped[block][1] : torch::Tensor());
    }
    x = norm_->forward(x);
    return options_.pooling == Pooling::token ? x.select(1, 0)
                                              : x.narrow(1, 1, x.size(1) - 1).mean(1);
  }

  std::int64_t feature_dim() const override { return width_; }

  std::int64_t layers() const override { return static_cast<std::int64_t>(blocks_->all.size()); }

  std::int64_t layer_of(const std::string& parameter) const override {
    constexpr std::string_view kBlocks = "blocks.";
    if (parameter.starts_with(kBlocks)) return 1 + std::stoll(parameter.substr(kBlocks.size()));
    // The last norm goes with what stands on it, as in BEiT's and MAE's code.
    return parameter.starts_with("norm.") ? layers() + 1 : 0;
  }

 private:
  void require_patches(const torch::Tensor& pixels) const {
    const std::int64_t patch = options_.patch;
    if (pixels.size(2) % patch == 0 && pixels.size(3) % patch == 0) return;
    throw Error(
        ErrorKind::config,
        fmt::format("/encoder/patch: expected views whose sides are multiples of {}, got {} "
                    "x {}; change the patch or the views' size",
                    patch, pixels.size(3), pixels.size(2)));
  }

  /// Of a grid of patches: the class token at its position, then the patches' embeddings, [1, 1 + rows *
  /// columns, D]. For another grid than the parameter's these are interpolated as timm does: a matrix
  /// product, as the interpolation's own gradient is not deterministic on CUDA.
  torch::Tensor positions(std::int64_t rows, std::int64_t columns) const {
    const torch::Tensor token = cls_token_ + pos_embed_.narrow(1, 0, 1);
    torch::Tensor patches = pos_embed_.narrow(1, 1, grid_ * grid_);
    if (rows != grid_ || columns != grid_) patches = at::matmul(resizing(rows, columns), patches);
    return at::cat({token, patches}, 1);
  }

  /// [rows * columns, grid * grid].
  torch::Tensor resizing(std::int64_t rows, std::int64_t columns) const {
    const torch::NoGradGuard no_grad;
    const torch::Tensor each =
        at::eye(grid_ * grid_, pos_embed_.options()).view({1, grid_ * grid_, grid_, grid_});
    return at::_upsample_bicubic2d_aa(each, {rows, columns}, /*align_corners=*/false, std::nullopt,
                                      std::nullopt)
        .flatten(2)[0]
        .t();
  }

  /// Drop path, [blocks, 2, N, 1, 1]: 0 for rows that skip a branch of a block, and for the others what
  /// makes up for them. Undefined where nothing is dropped.
  torch::Tensor factors(const View& view) const {
    if (!is_training() || options_.drop_path == 0 || !view.keys.defined()) return {};
    const std::int64_t blocks = layers();
    const std::int64_t rows = view.keys.size(0);
    const auto* keys = view.keys.const_data_ptr<std::int64_t>();
    torch::Tensor result = at::empty(
        {blocks, 2, rows, 1, 1}, torch::dtype(torch::kFloat32).pinned_memory(view.input.is_cuda()));
    auto* value = result.data_ptr<float>();
    for (std::int64_t block = 0; block < blocks; ++block) {
      const double dropped =
          options_.drop_path * static_cast<double>(block) / static_cast<double>(blocks - 1);
      for (std::int64_t branch = 0; branch < 2; ++branch) {
        for (std::int64_t i = 0; i < rows; ++i) {
          const Rng rng(static_cast<std::uint64_t>(keys[i]), {}, OpId::drop_path);
          const double drawn = rng.uniform(static_cast<std::uint32_t>(2 * block + branch));
          *value++ = drawn < dropped ? 0.0F : static_cast<float>(1 / (1 - dropped));
        }
      }
    }
    // One copy a forward, which nobody waits for.
    return result.to(view.input.device(), torch::kFloat32, /*non_blocking=*/true);
  }

  Options options_;
  std::int64_t width_;
  std::int64_t grid_;  ///< side, in patches, of what the position embeddings are for
  torch::Tensor cls_token_;
  torch::Tensor pos_embed_;
  std::shared_ptr<PatchEmbedding> patch_embed_;
  std::shared_ptr<Blocks> blocks_;
  torch::nn::LayerNorm norm_{nullptr};
};

EncoderEntry vit_entry(const char* name, const char* help, std::int64_t width, std::int64_t heads) {
  return make_entry<std::shared_ptr<Encoder>, Options>(
      name, help, [=](const Options& options) -> std::shared_ptr<Encoder> {
        return std::make_shared<VisionTransformer>(options, width, 12, heads);
      });
}

}  // namespace

EncoderEntry vit_tiny_encoder() {
  return vit_entry("vit_tiny", "vision transformer, 12 blocks, 192 features", 192, 3);
}
EncoderEntry vit_small_encoder() {
  return vit_entry("vit_small", "vision transformer, 12 blocks, 384 features", 384, 6);
}
EncoderEntry vit_base_encoder() {
  return vit_entry("vit_base", "vision transformer, 12 blocks, 768 features", 768, 12);
}

}  // namespace clr
