// SPDX-License-Identifier: Apache-2.0
#include "clr/model/keyed_dropout.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/ones.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>

#include "clr/core/multiversion.h"
#include "clr/core/rng.h"

namespace clr {
namespace {

/// Eight draws of 16 bits a block of Philox, and as many blocks at a time as make vectors of them.
constexpr std::int64_t kBlock = 8;
constexpr std::int64_t kLanes = 16;
constexpr std::int64_t kAtOnce = kBlock * kLanes;

/// philox4x32({first + lane, 0, slot, ...}, seed) of all lanes, as core/rng.h has it for one: loops over
/// lanes inside become vectors.
CLR_MULTIVERSION
void philox_lanes(std::uint32_t first, std::uint32_t slot, std::array<std::uint32_t, 2> key,
                  std::uint32_t* words) {
  std::uint32_t* const c0 = words;
  std::uint32_t* const c1 = words + kLanes;
  std::uint32_t* const c2 = words + 2 * kLanes;
  std::uint32_t* const c3 = words + 3 * kLanes;
  for (std::int64_t lane = 0; lane < kLanes; ++lane) {
    c0[lane] = first + static_cast<std::uint32_t>(lane);
    c1[lane] = 0;
    c2[lane] = slot;
    c3[lane] = static_cast<std::uint32_t>(OpId::dropout) * 256U;
  }
  for (int round = 0; round < 10; ++round) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      const std::uint64_t product0 = std::uint64_t{0xD2511F53U} * c0[lane];
      const std::uint64_t product1 = std::uint64_t{0xCD9E8D57U} * c2[lane];
      c0[lane] = static_cast<std::uint32_t>(product1 >> 32) ^ c1[lane] ^ key[0];
      c1[lane] = static_cast<std::uint32_t>(product1);
      c2[lane] = static_cast<std::uint32_t>(product0 >> 32) ^ c3[lane] ^ key[1];
      c3[lane] = static_cast<std::uint32_t>(product0);
    }
    key[0] += 0x9E3779B9U;
    key[1] += 0xBB67AE85U;
  }
}

/// The factors, 0 or `scale`, of a row's elements from number kAtOnce * part on.
class RowDraws {
 public:
  RowDraws(std::int64_t key, std::uint32_t slot, std::uint32_t dropped, float scale)
      : slot_(slot), dropped_(dropped), scale_(scale) {
    const auto bits = static_cast<std::uint64_t>(key);
    seed_ = {static_cast<std::uint32_t>(bits), static_cast<std::uint32_t>(bits >> 32)};
  }

  /// Calls use(offset, count, factors) for elements [first, first + count) of the row, part by part.
  template <typename Use>
  void for_each_part(std::int64_t first, std::int64_t count, const Use& use) {
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t part = (first + done) / kAtOnce;
      if (part != part_) draw(part);
      const std::int64_t begin = (first + done) % kAtOnce;
      const std::int64_t here = std::min(kAtOnce - begin, count - done);
      use(done, here, factors_.data() + begin);
      done += here;
    }
  }

 private:
  void draw(std::int64_t part) {
    part_ = part;
    std::array<std::uint32_t, 4 * kLanes> words;
    philox_lanes(static_cast<std::uint32_t>(part * kLanes), slot_, seed_, words.data());
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      for (std::int64_t word = 0; word < 4; ++word) {
        const std::uint32_t bits = words[static_cast<std::size_t>(word * kLanes + lane)];
        float* const to = factors_.data() + lane * kBlock + 2 * word;
        to[0] = (bits & 0xFFFFU) < dropped_ ? 0.0F : scale_;
        to[1] = (bits >> 16) < dropped_ ? 0.0F : scale_;
      }
    }
  }

  std::array<std::uint32_t, 2> seed_{};
  std::uint32_t slot_;
  std::uint32_t dropped_;
  float scale_;
  std::int64_t part_ = -1;
  std::array<float, kAtOnce> factors_{};
};

/// Where the elements of a tensor get their draws.
struct Draws {
  double p = 0;
  std::uint32_t slot = 0;
  std::vector<std::int64_t> keys;
  std::vector<std::int64_t> elements_of;  ///< of each row, one after the other
  std::int64_t heads = 0;                 ///< > 0: attention weights instead
  std::int64_t width = 0;
  std::int64_t most = 0;

  /// x, contiguous, times its factors.
  torch::Tensor applied_to(const torch::Tensor& x) const {
    if (!x.is_cpu()) {
      const torch::Tensor ones =
          at::ones(x.sizes(), torch::dtype(torch::kFloat32).pinned_memory(true));
      return x * applied_to(ones).to(x.device(), x.scalar_type(), /*non_blocking=*/true);
    }
    torch::Tensor result = at::empty_like(x);
    if (x.scalar_type() == torch::kFloat64) {
      fill<double>(x, result);
    } else if (x.scalar_type() == torch::kBFloat16) {
      fill<at::BFloat16>(x, result);
    } else {
      TORCH_CHECK(x.scalar_type() == torch::kFloat32,
                  "keyed dropout: expected float32, float64 or "
                  "bfloat16, got ",
                  x.scalar_type());
      fill<float>(x, result);
    }
    return result;
  }

 private:
  template <typename T>
  void fill(const torch::Tensor& x, torch::Tensor& result) const {
    using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;
    const auto dropped = static_cast<std::uint32_t>(std::lround(p * 65536));
    const auto scale = static_cast<float>(65536.0 / (65536.0 - dropped));
    const auto* in = x.const_data_ptr<T>();
    auto* out = result.data_ptr<T>();
    std::vector<std::int64_t> first(keys.size() + 1, 0);
    for (std::size_t row = 0; row < keys.size(); ++row) {
      first[row + 1] = first[row] + (heads > 0 ? heads * width * width : elements_of[row]);
    }
    TORCH_CHECK(first.back() == x.numel(), "keyed dropout: expected ", first.back(),
                " elements, got ", x.numel());
    const auto rows = static_cast<std::int64_t>(keys.size());
    at::parallel_for(0, rows, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const auto at = static_cast<std::size_t>(row);
        RowDraws draws(keys[at], slot, dropped, scale);
        const auto drop = [&](std::int64_t number, std::int64_t place, std::int64_t count) {
          draws.for_each_part(
              number, count, [&](std::int64_t offset, std::int64_t here, const float* factors) {
                const T* const from = in + place + offset;
                T* const to = out + place + offset;
                for (std::int64_t k = 0; k < here; ++k)
                  to[k] =
                      static_cast<T>(static_cast<Wide>(from[k]) * static_cast<Wide>(factors[k]));
              });
        };
        if (heads == 0) {
          drop(0, first[at], elements_of[at]);
          continue;
        }
        for (std::int64_t line = 0; line < heads * width; ++line)
          drop((line / width * most + line % width) * most, first[at] + line * width, width);
      }
    });
  }
};

class KeyedDropout : public torch::autograd::Function<KeyedDropout> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const std::shared_ptr<const Draws>& draws) {
    context->saved_data["draws"] = c10::IValue::make_capsule(c10::make_intrusive<Held>(draws));
    return draws->applied_to(x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto held = context->saved_data["draws"].toCapsule();
    const torch::Tensor gradient = gradients.at(0).contiguous();
    return {static_cast<const Held&>(*held).draws->applied_to(gradient), {}};
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
