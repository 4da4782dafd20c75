// SPDX-License-Identifier: Apache-2.0
#include "clr/model/keyed_dropout.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "clr/core/multiversion.h"
#include "clr/core/rng.h"

namespace clr {
namespace {

/// Eight draws of 16 bits a block of Philox.
constexpr std::int64_t kBlock = 8;

/// Factors of elements [first, first + count) of a row: 0 or `scale`.
CLR_MULTIVERSION
void draw_factors(std::int64_t key, std::uint32_t slot, std::int64_t first, std::int64_t count,
                  std::uint32_t dropped, float scale, float* factors) {
  const auto bits = static_cast<std::uint64_t>(key);
  const std::array<std::uint32_t, 2> seed{static_cast<std::uint32_t>(bits),
                                          static_cast<std::uint32_t>(bits >> 32)};
  const std::int64_t end = first + count;
  for (std::int64_t block = first / kBlock; block * kBlock < end; ++block) {
    const auto words = philox4x32({static_cast<std::uint32_t>(block), 0, slot,
                                   static_cast<std::uint32_t>(OpId::dropout) * 256U},
                                  seed);
    for (std::int64_t i = 0; i < kBlock; ++i) {
      const std::int64_t element = block * kBlock + i;
      if (element < first || element >= end) continue;
      const std::uint32_t draw =
          (words[static_cast<std::size_t>(i / 2)] >> (16 * (i % 2))) & 0xFFFFU;
      factors[element - first] = draw < dropped ? 0.0F : scale;
    }
  }
}

/// Where the elements of a tensor get their draws.
struct Draws {
  double p = 0;
  std::uint32_t slot = 0;
  std::vector<std::int64_t> keys;
  std::vector<std::int64_t> elements_of;  ///< of each row, one after the other
  std::int64_t heads = 0;                 ///< > 0: attention weights instead
  std::int64_t width = 0;
  std::int64_t most = 0;

  torch::Tensor factors(const torch::Tensor& x) const {
    const auto dropped = static_cast<std::uint32_t>(std::lround(p * 65536));
    const auto scale = static_cast<float>(65536.0 / (65536.0 - dropped));
    torch::Tensor result =
        at::empty(x.sizes(), torch::dtype(torch::kFloat32).pinned_memory(x.is_cuda()));
    auto* out = result.data_ptr<float>();
    const auto rows = static_cast<std::int64_t>(keys.size());
    std::vector<std::int64_t> first(keys.size() + 1, 0);
    for (std::size_t row = 0; row < keys.size(); ++row) {
      first[row + 1] = first[row] + (heads > 0 ? heads * width * width : elements_of[row]);
    }
    TORCH_CHECK(first.back() == x.numel(), "keyed dropout: expected ", first.back(),
                " elements, got ", x.numel());
    at::parallel_for(0, rows, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const auto at = static_cast<std::size_t>(row);
        float* to = out + first[at];
        if (heads == 0) {
          draw_factors(keys[at], slot, 0, elements_of[at], dropped, scale, to);
          continue;
        }
        for (std::int64_t line = 0; line < heads * width; ++line, to += width) {
          const std::int64_t number = (line / width * most + line % width) * most;
          draw_factors(keys[at], slot, number, width, dropped, scale, to);
        }
      }
    });
    return result.to(x.device(), x.scalar_type(), /*non_blocking=*/true);
  }
};

class KeyedDropout : public torch::autograd::Function<KeyedDropout> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const std::shared_ptr<const Draws>& draws) {
    context->saved_data["draws"] = c10::IValue::make_capsule(c10::make_intrusive<Held>(draws));
    return x * draws->factors(x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto held = context->saved_data["draws"].toCapsule();
    const torch::Tensor gradient = gradients.at(0).contiguous();
    return {gradient * static_cast<const Held&>(*held).draws->factors(gradient), {}};
  }

 private:
  struct Held : public torch::CustomClassHolder {
    explicit Held(std::shared_ptr<const Draws> held) : draws(std::move(held)) {}
    std::shared_ptr<const Draws> draws;
  };
};

}  // namespace

torch::Tensor keyed_dropout(const torch::Tensor& x, double p, std::uint32_t slot,
                            const std::vector<std::int64_t>& keys,
                            const std::vector<std::int64_t>& elements_of) {
  if (p == 0) return x;
  return KeyedDropout::apply(x.contiguous(),
                             std::make_shared<const Draws>(Draws{p, slot, keys, elements_of}));
}

torch::Tensor keyed_attention_dropout(const torch::Tensor& weights, double p, std::uint32_t slot,
                                      const std::vector<std::int64_t>& keys, std::int64_t most) {
  if (p == 0) return weights;
  return KeyedDropout::apply(weights.contiguous(),
                             std::make_shared<const Draws>(
                                 Draws{p, slot, keys, {}, weights.size(1), weights.size(3), most}));
}

}  // namespace clr
