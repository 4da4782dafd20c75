// SPDX-License-Identifier: Apache-2.0
// Several worlds in threads of one process: what processes exchange does not know the difference.
#include "clr/dist/world.h"

#include <torch/torch.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "clr/core/error.h"
#include "clr/dist/gather.h"
#include "clr/dist/gradient_reducer.h"
#include "support/catch.h"
#include "support/worlds.h"

namespace {

using clr::World;
using torch::Tensor;
using Seconds = std::chrono::duration<double>;

const std::vector<std::string> kNothing(3);

/// Checks in threads: Catch2's own are for one thread.
void require(bool good, const std::string& what) {
  if (!good) throw std::runtime_error(what);
}

Tensor numbers(std::int64_t rows, std::int64_t columns, int seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<std::uint64_t>(seed));
  return torch::randn({rows, columns}, generator, torch::kFloat64);
}

}  // namespace

CATCH_TEST_CASE("one process exchanges nothing", "[dist]") {
  const auto world = World::alone();
  const Tensor x = numbers(3, 2, 1);
  CATCH_CHECK(world->is_alone());
  CATCH_CHECK(world->leads());
  CATCH_CHECK(world->gather(x).is_same(x));
  CATCH_CHECK(world->sum_scatter(x, {3}).is_same(x));
  world->sum(x);
  CATCH_CHECK(torch::equal(x, numbers(3, 2, 1)));
  CATCH_CHECK(world->gather_text("a") == std::vector<std::string>{"a"});
  CATCH_CHECK(world->broadcast("b") == "b");
  CATCH_CHECK(world->share(5) == std::pair<std::int64_t, std::int64_t>{0, 5});
  world->barrier();
  world->leave();
}

CATCH_TEST_CASE("shares cover everything once", "[dist]") {
  const auto thrown = in_worlds(3, [](const std::shared_ptr<World>& world) {
    for (const std::int64_t count : {0, 1, 2, 3, 10}) {
      const auto [first, last] = world->share(count);
      const Tensor ends = world->gather(torch::tensor({first, last}).unsqueeze(0));
      require(ends[0][0].item<std::int64_t>() == 0, "first");
      require(ends[2][1].item<std::int64_t>() == count, "last");
      require(torch::equal(ends.slice(0, 1).select(1, 0), ends.slice(0, 0, 2).select(1, 1)),
              "joints");
    }
  });
  CATCH_CHECK(thrown == kNothing);
}

CATCH_TEST_CASE("rows, sums and texts of all processes", "[dist]") {
  const auto thrown = in_worlds(3, [](const std::shared_ptr<World>& world) {
    const int rank = world->rank();
    require(world->local_size() == 3 && world->local_rank() == rank && world->hosts() == 1,
            "place");
    const std::vector<std::int64_t> counts = {2, 0, 3};
    const Tensor whole = numbers(5, 4, 7);
    const std::vector<Tensor> parts = whole.split_with_sizes(counts);
    const Tensor mine = parts[static_cast<std::size_t>(rank)];
    for (const auto type : {torch::kFloat64, torch::kFloat32, torch::kBFloat16, torch::kInt64}) {
      require(torch::equal(world->gather(mine.to(type), counts), whole.to(type)), "gather");
    }
    require(torch::equal(world->gather(torch::full({1, 2}, rank)).select(1, 0),
                         torch::tensor({0, 1, 2})),
            "gather of equal parts");
    // Everyone's whole, times rank + 1: six times it, a part to each.
    require(torch::allclose(world->sum_scatter(whole * (rank + 1), counts), mine * 6, 1e-14, 1e-14),
            "sum_scatter");
    const Tensor total = whole * (rank + 1);
    world->sum(total);
    require(torch::allclose(total, whole * 6, 1e-14, 1e-14), "sum");
    auto first = torch::full({1000}, 1.0 + rank);
    auto second = torch::full({3}, 10.0 + rank);
    auto a = world->sum_later(first);
    auto b = world->sum_later(second);
    b.wait();
    a.wait();
    require(first[0].item<double>() == 6 && second[2].item<double>() == 33, "sum_later");
    const std::string text(static_cast<std::size_t>(rank * 1000), static_cast<char>('a' + rank));
    const auto texts = world->gather_text(text);
    require(texts[0].empty() && texts[1] == std::string(1000, 'b') && texts[2].size() == 2000,
            "texts");
    require(world->broadcast(rank == 0 ? "hello" : "mine").substr(0, 5) == "hello", "broadcast");
    require(world->broadcast("").empty(), "broadcast of nothing");
    world->barrier();
  });
  CATCH_CHECK(thrown == kNothing);
}

CATCH_TEST_CASE("rows of all processes for rank 0 alone", "[dist]") {
  // The wide rows take several pieces; rank 1 has none.
  const std::vector<std::int64_t> counts = {2, 0, 3};
  const std::int64_t width = (std::int64_t{24} << 20) / 4 + 1;
  const auto thrown = in_worlds(3, [&](const std::shared_ptr<World>& world) {
    for (const std::int64_t columns : {std::int64_t{3}, width}) {
      const std::int64_t own = counts[static_cast<std::size_t>(world->rank())];
      Tensor rows = torch::full({world->leads() ? 6 : own + 1, columns}, -1.0F);
      rows.narrow(0, 0, own) = static_cast<double>(world->rank() + 1);
      world->collect(rows, counts);
      if (!world->leads()) continue;
      const Tensor expected = torch::tensor({1.F, 1.F, 3.F, 3.F, 3.F, -1.F});
      require(rows.eq(expected.unsqueeze(1)).all().item<bool>(), "rows of their process");
    }
  });
  CATCH_CHECK(thrown == kNothing);
}

CATCH_TEST_CASE("gradients go back through gathered rows", "[dist]") {
  // The loss of process r: the sum over its rows i and all rows j of w_ij exp(x_i . x_j).
  const Tensor whole = numbers(6, 3, 11);
  const Tensor weights = numbers(6, 6, 12);
  const auto loss_of = [&](const Tensor& rows, const Tensor& all, std::int64_t first) {
    return (weights.narrow(0, first, rows.size(0)) * rows.mm(all.t()).exp()).sum();
  };
  Tensor alone = whole.clone().requires_grad_();
  loss_of(alone, alone, 0).backward();
  const auto thrown = in_worlds(3, [&](const std::shared_ptr<World>& world) {
    const std::vector<std::int64_t> counts = {1, 3, 2};
    const std::vector<std::int64_t> firsts = {0, 1, 4};
    const auto rank = static_cast<std::size_t>(world->rank());
    Tensor mine = whole.narrow(0, firsts[rank], counts[rank]).clone().requires_grad_();
    loss_of(mine, clr::gather_rows(world, mine, counts), firsts[rank]).backward();
    require(torch::allclose(mine.grad(), alone.grad().narrow(0, firsts[rank], counts[rank]), 1e-12,
                            1e-12),
            "gradient");
  });
  CATCH_CHECK(thrown == kNothing);
}

CATCH_TEST_CASE("gradients are summed in buckets, those of parameters that have none left out",
                "[dist]") {
  const auto thrown = in_worlds(3, [](const std::shared_ptr<World>& world) {
    std::vector<Tensor> parameters;
    for (int i = 0; i < 5; ++i) parameters.push_back(numbers(10, 4, i).requires_grad_());
    // Channels last, and never used.
    parameters.push_back(torch::ones({2, 3, 4, 4}, torch::kFloat64)
                             .contiguous(torch::MemoryFormat::ChannelsLast)
                             .requires_grad_());
    parameters.push_back(torch::ones({7}, torch::kFloat32).requires_grad_());
    const Tensor unused = torch::ones({2}, torch::kFloat64).requires_grad_();
    parameters.push_back(unused);
    // Two to a bucket.
    clr::GradientReducer reducer(world, parameters, 600);
    for (int step = 0; step < 2; ++step) {
      for (Tensor& parameter : parameters) parameter.mutable_grad() = Tensor();
      const double factor = world->rank() + 1 + step;
      const auto loss = [&] {
        Tensor sum = torch::zeros({}, torch::kFloat64);
        for (std::size_t i = 0; i + 1 < parameters.size(); ++i) {
          sum = sum + (parameters[i] * parameters[i]).sum() * factor * static_cast<double>(i + 1);
        }
        return sum;
      };
      // A pass that does not count as the last, a part of the loss without the networks, the last.
      loss().backward();
      reducer.expect();
      loss().backward();
      reducer.finish();
      require(!unused.grad().defined(), "a gradient for what is not used");
      for (std::size_t i = 0; i + 1 < parameters.size(); ++i) {
        const double total = 2 * (6.0 + 3 * step) * 2 * static_cast<double>(i + 1);
        const Tensor& gradient = parameters[i].grad();
        require(torch::allclose(gradient, parameters[i] * total, 1e-6, 1e-12), "sum");
        require(gradient.strides() == parameters[i].strides(), "strides");
      }
    }
  });
  CATCH_CHECK(thrown == kNothing);
}

CATCH_TEST_CASE("an error of one process ends all, with its words and its code", "[dist]") {
  std::atomic<int> codes{0};
  const auto thrown = in_worlds(3, [&](const std::shared_ptr<World>& world) {
    world->barrier();
    if (world->rank() == 1) {
      world->end(static_cast<int>(clr::ErrorKind::data), "photo.jpg: damaged");
      throw std::runtime_error("its own");
    }
    try {
      world->barrier();
    } catch (const clr::Error& error) {
      if (error.kind() == clr::ErrorKind::data) ++codes;
      throw;
    }
  });
  CATCH_CHECK(codes == 2);
  CATCH_CHECK(thrown[1] == "its own");
  for (const std::size_t rank : {0, 2}) {
    CATCH_CHECK(thrown[rank] == "ended, as another process did: rank 1: photo.jpg: damaged");
  }
}

CATCH_TEST_CASE("a process that does not come is named", "[dist]") {
  clr::Launch launch;
  launch.size = 3;
  launch.address = "127.0.0.1";
  launch.port = free_port();
  clr::WorldOptions options;
  options.join_timeout = std::chrono::seconds(1);
  const auto message = [&](int rank) {
    launch.rank = rank;
    const auto start = std::chrono::steady_clock::now();
    try {
      World::join(launch, "test", options);
    } catch (const clr::Error& error) {
      CATCH_CHECK(Seconds(std::chrono::steady_clock::now() - start).count() < 5);
      return std::string(error.what());
    }
    return std::string("joined");
  };
  CATCH_CHECK(
      message(0) ==
      "expected 3 processes within 1 s, got none for rank 1, 2; look at its output, at RANK "
      "and at WORLD_SIZE");
  CATCH_CHECK(message(1).find("expected rank 0 to answer within 1 s, got nothing") !=
              std::string::npos);
}

CATCH_TEST_CASE("processes that were told different things", "[dist]") {
  const std::uint16_t port = free_port();
  const auto joined = [&](int rank, int size, const std::string& program) {
    clr::Launch launch;
    launch.rank = rank;
    launch.size = size;
    launch.address = "127.0.0.1";
    launch.port = port;
    clr::WorldOptions options;
    options.join_timeout = std::chrono::seconds(3);
    try {
      World::join(launch, program, options)->leave();
    } catch (const clr::Error& error) {
      return std::string(error.what());
    }
    return std::string("joined");
  };
  const auto both = [&](int rank, int size, const std::string& program) {
    std::string first;
    std::thread thread([&] { first = joined(0, 2, "clr 1"); });
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    const std::string second = joined(rank, size, program);
    thread.join();
    return std::pair{first, second};
  };
  {
    const auto [first, second] = both(1, 3, "clr 1");
    CATCH_CHECK(
        first.starts_with("number of processes: expected the same for all, got 2 here and 3"));
    CATCH_CHECK(
        second.starts_with("number of processes: expected the same for all, got 3 here and 2"));
  }
  {
    // The third hears of it too, and ends as they do.
    std::string third;
    std::string first;
    std::thread at_third([&] { third = joined(2, 3, "clr 1"); });
    std::thread at_first([&] { first = joined(0, 3, "clr 1"); });
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    const std::string second = joined(1, 2, "clr 1");
    at_first.join();
    at_third.join();
    CATCH_CHECK(
        first.starts_with("number of processes: expected the same for all, got 3 here and 2"));
    CATCH_CHECK(
        second.starts_with("number of processes: expected the same for all, got 2 here and 3"));
    CATCH_CHECK(third == "rank 0: " + first);
  }
  {
    const auto [first, second] = both(1, 2, "clr 2");
    CATCH_CHECK(first == "program: expected the same for all, got clr 1 here and clr 2 for rank 1");
    CATCH_CHECK(second ==
                "program: expected the same for all, got clr 2 here and clr 1 for rank 0");
  }
  {
    const auto [first, second] = both(0, 2, "clr 1");
    CATCH_CHECK(second.starts_with("MASTER_PORT: expected a port that is free on this host"));
    CATCH_CHECK(first.find("got none for rank 1") != std::string::npos);
  }
}
