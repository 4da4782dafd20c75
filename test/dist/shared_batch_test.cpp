// SPDX-License-Identifier: Apache-2.0
// Losses and batch norm of a batch that three processes share, unevenly, against one that holds it
// all, in float64.
#include "clr/loss/shared_batch.h"

#include <ATen/Functions.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "clr/dist/gather.h"
#include "clr/loss/info_nce.h"
#include "clr/loss/multi_view.h"
#include "clr/loss/nt_xent.h"
#include "clr/loss/supcon.h"
#include "clr/model/sync_batch_norm.h"
#include "support/catch.h"
#include "support/worlds.h"

namespace clr {
namespace {

using torch::Tensor;

const std::vector<std::int64_t> kCounts = {4, 1, 6};
const std::vector<std::int64_t> kFirsts = {0, 4, 5};
constexpr std::int64_t kImages = 11;
const std::vector<std::string> kNothing(3);

Tensor numbers(const std::vector<std::int64_t>& shape, int seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<std::uint64_t>(seed));
  return at::randn(shape, generator, torch::kFloat64);
}

/// Checks in threads: Catch2's own are for one thread.
void require(bool good, const std::string& what) {
  if (!good) throw std::runtime_error(what);
}

SharedBatch batch_of(const std::shared_ptr<World>& world) {
  const auto rank = static_cast<std::size_t>(world->rank());
  return {[world, rank](const Tensor& x) {
            const std::int64_t k = x.size(0) / kCounts[rank];
            std::vector<std::int64_t> rows;
            for (const std::int64_t count : kCounts) rows.push_back(k * count);
            return gather_rows(world, x, rows);
          },
          kFirsts[rank], kImages};
}

/// Images of this process in [kImages, ...].
Tensor own(const Tensor& all, std::size_t rank) {
  return all.narrow(0, kFirsts[rank], kCounts[rank]);
}

/// The same of both views' rows, one view after the other.
Tensor own_of_views(const Tensor& all, std::size_t rank) {
  return at::cat(
      {own(all.narrow(0, 0, kImages), rank), own(all.narrow(0, kImages, kImages), rank)});
}

/// A loss of z0, z1 and what belongs to the images; `rank` < 0: of all.
using Loss =
    std::function<Tensor(const Tensor& z0, const Tensor& z1, int rank, const SharedBatch& shared)>;

/// Loss and gradients of the shares against the whole.
std::vector<std::string> compare(const Loss& loss) {
  const Tensor z0 = numbers({kImages, 5}, 1);
  const Tensor z1 = z0 + numbers({kImages, 5}, 2);
  const Tensor whole0 = z0.clone().requires_grad_();
  const Tensor whole1 = z1.clone().requires_grad_();
  const Tensor expected = loss(whole0, whole1, -1, {});
  expected.backward();
  return in_worlds(3, [&](const std::shared_ptr<World>& world) {
    const auto rank = static_cast<std::size_t>(world->rank());
    const Tensor own0 = own(z0, rank).clone().requires_grad_();
    const Tensor own1 = own(z1, rank).clone().requires_grad_();
    const Tensor share = loss(own0, own1, world->rank(), batch_of(world));
    share.backward();
    const Tensor total = share.detach().clone().reshape({1});
    world->sum(total);
    require(at::allclose(total, expected.detach(), 1e-13, 1e-13), "loss");
    require(at::allclose(own0.grad(), own(whole0.grad(), rank), 1e-12, 1e-13), "gradient of z0");
    require(at::allclose(own1.grad(), own(whole1.grad(), rank), 1e-12, 1e-13), "gradient of z1");
  });
}

Tensor part(const Tensor& of_views, int rank) {
  return rank < 0 ? of_views : own_of_views(of_views, static_cast<std::size_t>(rank));
}

CATCH_TEST_CASE("losses of two views: shares add up to the whole", "[dist]") {
  // Mistakes: rows against own rows alone; positives or the row itself looked for in the wrong
  // columns; a mean over own rows; a gradient of own rows without what other processes ask of them.
  const Tensor weights = numbers({2 * kImages}, 3).abs();
  const Tensor ids =
      at::tensor({0, 1, 2, 3, 4, 5, 0, 7, 1, 9, 10}, torch::dtype(torch::kInt64)).repeat({2});
  const std::vector<
      std::pair<std::string, std::function<Tensor(const Tensor&, const Tensor&, TwoViewOptions)>>>
      losses = {
          {"nt_xent", [](const Tensor& z0, const Tensor& z1,
                         TwoViewOptions options) { return nt_xent(z0, z1, 0.3, options); }},
          {"dcl", [](const Tensor& z0, const Tensor& z1,
                     TwoViewOptions options) { return dcl(z0, z1, 0.3, options); }},
          {"dclw", [](const Tensor& z0, const Tensor& z1,
                      TwoViewOptions options) { return dclw(z0, z1, 0.3, 0.5, options); }},
          {"debiased", [](const Tensor& z0, const Tensor& z1,
                          TwoViewOptions options) { return debiased(z0, z1, 0.3, 0.1, options); }},
          {"hard_negative", [](const Tensor& z0, const Tensor& z1, TwoViewOptions options) {
             return hard_negative(z0, z1, 0.3, 0.1, 1.0, options);
           }}};
  for (const auto& [name, loss] : losses) {
    for (const std::string way : {"plain", "weights", "ids", "cosine"}) {
      CATCH_INFO(name << ", " << way);
      const auto thrown =
          compare([&](const Tensor& z0, const Tensor& z1, int rank, const SharedBatch& shared) {
            TwoViewOptions options;
            options.shared = shared;
            if (way == "weights") options.weights = part(weights, rank);
            if (way == "ids") options.ids = part(ids, rank);
            if (way == "cosine") options.cosine_limit = 0.5;
            return loss(z0, z1, options);
          });
      CATCH_CHECK(thrown == kNothing);
    }
  }
}

CATCH_TEST_CASE("the loss of many views: shares add up to the whole", "[dist]") {
  const auto thrown =
      compare([&](const Tensor& z0, const Tensor& z1, int, const SharedBatch& shared) {
        return multi_view_nt_xent(at::stack({z0, z1, z0 + 2 * z1}), 0.3, LossBackend::automatic,
                                  false, shared);
      });
  CATCH_CHECK(thrown == kNothing);
}

CATCH_TEST_CASE("one view against the other: shares add up to the whole", "[dist]") {
  for (const bool negatives : {false, true}) {
    const auto thrown =
        compare([&](const Tensor& z0, const Tensor& z1, int, const SharedBatch& shared) {
          return info_nce_in_batch(z0, z1, negatives ? z0 - 3 * z1 : Tensor(), 0.3,
                                   LossBackend::automatic, shared);
        });
    CATCH_CHECK(thrown == kNothing);
  }
}

CATCH_TEST_CASE("supervised contrastive losses: shares add up to the whole", "[dist]") {
  // Class 7 is in one image, whose two views are each other's only positives; class 1 in three
  // processes.
  const Tensor labels =
      at::tensor({0, 1, 1, 2, 1, 0, 0, 7, 1, 2, 2}, torch::dtype(torch::kInt64)).repeat({2});
  for (const bool out : {true, false}) {
    const auto thrown =
        compare([&](const Tensor& z0, const Tensor& z1, int rank, const SharedBatch& shared) {
          const Tensor z = at::cat({z0, z1});
          return out ? supcon_out(z, part(labels, rank), 0.3, LossBackend::automatic, shared)
                     : supcon_in(z, part(labels, rank), 0.3, LossBackend::automatic, shared);
        });
    CATCH_CHECK(thrown == kNothing);
  }
}

struct NormCase {
  std::vector<std::int64_t> shape;
  bool channels_last = false;
  bool affine = true;
  double mean = 0;
};

CATCH_TEST_CASE("batch norm of three processes is LibTorch's of the whole batch", "[dist]") {
  // Mistakes: means of means where shares are uneven; biased running variance; a gradient without
  // the other processes' sums; gradients of weight and bias that count the others' twice.
  for (const NormCase& test :
       {NormCase{{kImages, 5, 4, 3}}, NormCase{{kImages, 5, 4, 3}, true, true, 10},
        NormCase{{kImages, 5}}, NormCase{{kImages, 5}, false, false, 10}}) {
    for (const auto type : {torch::kFloat64, torch::kFloat32}) {
      const double tolerance = type == torch::kFloat64 ? 1e-12 : 2e-5;
      CATCH_INFO(test.shape.size() << " dimensions, mean " << test.mean << ", " << type);
      Tensor x = 2 * numbers(test.shape, 1) + test.mean;
      Tensor dy = numbers(test.shape, 2);
      if (test.channels_last) {
        x = x.contiguous(torch::MemoryFormat::ChannelsLast);
        dy = dy.contiguous(torch::MemoryFormat::ChannelsLast);
      }
      const auto affine = [&](int seed) {
        return test.affine ? numbers({5}, seed).requires_grad_() : Tensor();
      };
      const Tensor whole = x.clone().requires_grad_();
      const Tensor weight = affine(3);
      const Tensor bias = affine(4);
      const Tensor mean = at::zeros({5}, torch::kFloat64);
      const Tensor var = at::ones({5}, torch::kFloat64);
      const Tensor y = at::batch_norm(whole, weight, bias, mean, var, true, 0.1, 1e-5, false);
      y.backward(dy);
      const auto thrown = in_worlds(3, [&](const std::shared_ptr<World>& world) {
        const auto rank = static_cast<std::size_t>(world->rank());
        const auto near = [&](const Tensor& a, const Tensor& b) {
          return at::allclose(a.to(torch::kFloat64), b, tolerance, tolerance);
        };
        const auto of_type = [&](const Tensor& tensor) {
          return tensor.defined() ? tensor.detach().to(type).clone().requires_grad_() : Tensor();
        };
        const Tensor mine = of_type(own(x, rank));
        const Tensor own_weight = of_type(weight);
        const Tensor own_bias = of_type(bias);
        const Tensor own_mean = at::zeros({5}, type);
        const Tensor own_var = at::ones({5}, type);
        const Tensor out =
            sync_batch_norm(world, mine, own_weight, own_bias, own_mean, own_var, 0.1, 1e-5);
        out.backward(own(dy, rank).to(type));
        require(out.scalar_type() == type, "type");
        require(out.strides() == mine.strides(), "memory format");
        require(near(out, own(y, rank)), "output");
        require(near(own_mean, mean), "running mean");
        require(near(own_var, var), "running variance");
        require(near(mine.grad(), own(whole.grad(), rank)), "gradient");
        if (!test.affine) return;
        const Tensor sums = at::cat({own_weight.grad(), own_bias.grad()});
        world->sum(sums);
        require(near(sums, at::cat({weight.grad(), bias.grad()})), "gradients of weight and bias");
      });
      CATCH_CHECK(thrown == kNothing);
    }
  }
}

CATCH_TEST_CASE("batch norm of 16-bit rows has float32 statistics in all processes", "[dist]") {
  const Tensor x = (numbers({kImages, 5}, 1) + 10).to(torch::kBFloat16);
  const Tensor expected =
      at::batch_norm(x.to(torch::kFloat64), {}, {}, {}, {}, true, 0.1, 1e-5, false);
  const auto thrown = in_worlds(3, [&](const std::shared_ptr<World>& world) {
    const auto rank = static_cast<std::size_t>(world->rank());
    const Tensor mine = own(x, rank).clone().requires_grad_();
    const Tensor out = sync_batch_norm(world, mine, {}, {}, {}, {}, 0.1, 1e-5);
    out.sum().backward();
    require(out.scalar_type() == torch::kBFloat16 && mine.grad().scalar_type() == torch::kBFloat16,
            "type");
    // 8 bits of mantissa.
    require(at::allclose(out.to(torch::kFloat64), own(expected, rank), 1e-2, 1e-2), "output");
  });
  CATCH_CHECK(thrown == kNothing);
}

}  // namespace
}  // namespace clr
