// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>
#include <fmt/format.h>
#include <malloc.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <limits>
#include <memory>

#include "bench.h"
#include "clr/core/device.h"
#include "clr/core/error.h"
#include "clr/core/log.h"
#include "clr/core/memory.h"
#include "clr/loss/nt_xent.h"
#include "clr/train/trainer.h"

namespace clr {
namespace {

using torch::Tensor;

struct BenchLossOptions {
  std::vector<std::int64_t> images = {256, 1024, 4096, 8192};
  std::int64_t dimension = 128;
  double temperature = 0.1;
  std::int64_t repeats = 5;
  std::int64_t compute_threads = 0;
  bool json = false;
};

/// Counts the bytes of tensors: how many there are now, and the most there were.
class CountingAllocator : public c10::Allocator {
 public:
  explicit CountingAllocator(c10::Allocator* inner) : inner_(inner) {}

  c10::DataPtr allocate(std::size_t bytes) override {
    auto block = std::make_unique<Block>(Block{inner_->allocate(bytes), bytes, this});
    void* const data = block->memory.get();
    const c10::Device device = block->memory.device();
    const std::size_t now = (now_ += bytes);
    std::size_t most = most_;
    while (now > most && !most_.compare_exchange_weak(most, now)) {
    }
    return {data, block.release(), &release, device};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  std::size_t now() const { return now_; }
  std::size_t most() const { return most_; }
  void reset() { most_ = now_.load(); }

 private:
  struct Block {
    c10::DataPtr memory;
    std::size_t bytes;
    CountingAllocator* owner;
  };
  static void release(void* block) {
    const std::unique_ptr<Block> owned(static_cast<Block*>(block));
    owned->owner->now_ -= owned->bytes;
  }

  c10::Allocator* inner_;
  std::atomic<std::size_t> now_ = 0;
  std::atomic<std::size_t> most_ = 0;
};

CountingAllocator& counting_allocator() {
  // Never destroyed: tensors of the program may outlive main.
  static auto* const allocator = [] {
    auto* made = new CountingAllocator(c10::GetCPUAllocator());
    c10::SetCPUAllocator(made, /*priority=*/255);
    return made;
  }();
  return *allocator;
}

/// The loss as one writes it in PyTorch: the whole matrix, and cross-entropy.
Tensor eager_nt_xent(const Tensor& z0, const Tensor& z1, double temperature) {
  const std::int64_t n = z0.size(0);
  const Tensor x = torch::cat({z0, z1});
  const Tensor z = x / x.norm(2, 1, true).clamp_min(1e-12);
  const Tensor logits =
      (z.mm(z.t()) / temperature)
          .masked_fill(torch::eye(2 * n, torch::kBool), -std::numeric_limits<double>::infinity());
  const Tensor targets =
      torch::cat({torch::arange(n, 2 * n, torch::kInt64), torch::arange(n, torch::kInt64)});
  return at::cross_entropy_loss(logits, targets);
}

using Loss = std::function<Tensor(const Tensor&, const Tensor&)>;

struct Outcome {
  double loss;
  Tensor gradient;  ///< [2N, D]
};

Outcome once(const Loss& loss, const Tensor& x0, const Tensor& x1) {
  const Tensor z0 = x0.detach().requires_grad_();
  const Tensor z1 = x1.detach().requires_grad_();
  const Tensor value = loss(z0, z1);
  value.backward();
  return {value.item<double>(), torch::cat({z0.grad(), z1.grad()})};
}

double relative_distance(const Tensor& a, const Tensor& b) {
  const Tensor exact = b.to(torch::kFloat64);
  return ((a.to(torch::kFloat64) - exact).norm() / exact.norm()).item<double>();
}

struct Row {
  std::string implementation;
  std::int64_t n = 0;
  std::vector<double> milliseconds{};
  double gradient_error = 0;
  std::int64_t extra_bytes = 0;     ///< of tensors, over inputs and returned gradients
  std::int64_t extra_resident = 0;  ///< the same by the process's peak
};

/// Forward and backward, with fresh gradients.
void time_once(Row& row, const Loss& loss, const Tensor& x0, const Tensor& x1) {
  const Tensor z0 = x0.detach().requires_grad_();
  const Tensor z1 = x1.detach().requires_grad_();
  const auto start = std::chrono::steady_clock::now();
  loss(z0, z1).backward();
  row.milliseconds.push_back(
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
}

void measure_memory(Row& row, const Loss& loss, const Tensor& x0, const Tensor& x1) {
  CountingAllocator& allocator = counting_allocator();
  const Tensor z0 = x0.detach().requires_grad_();
  const Tensor z1 = x1.detach().requires_grad_();
  const auto gradients = static_cast<std::int64_t>(x0.nbytes() + x1.nbytes());
  // What was freed goes back, or it would be taken again unseen; and the process's peak becomes what
  // it has now.
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
  const std::int64_t resident = resident_memory();
  const auto before = static_cast<std::int64_t>(allocator.now());
  allocator.reset();
  loss(z0, z1).backward();
  row.extra_bytes = static_cast<std::int64_t>(allocator.most()) - before - gradients;
  row.extra_resident = peak_resident_memory() - resident - gradients;
}

/// GFLOP/s of a product of two square matrices of 2,048 rows, the best of some.
double product_rate() {
  constexpr std::int64_t kSize = 2048;
  const Tensor a = torch::randn({kSize, kSize});
  const Tensor b = torch::randn({kSize, kSize});
  Tensor c = torch::empty({kSize, kSize});
  double best = 0;
  for (int run = 0; run < 8; ++run) {
    const auto start = std::chrono::steady_clock::now();
    at::mm_out(c, a, b);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, 2.0 * kSize * kSize * kSize / seconds.count() / 1e9);
  }
  return best;
}

std::string megabytes(std::int64_t bytes) {
  return fmt::format("{:.1f}", static_cast<double>(bytes) / 1e6);
}

Json to_json(const Row& row, const BenchLossOptions& options) {
  return {{"implementation", row.implementation},
          {"n", row.n},
          {"d", options.dimension},
          {"dtype", "float32"},
          {"device", "cpu"},
          {"milliseconds", median(row.milliseconds)},
          {"milliseconds_runs", row.milliseconds},
          {"extra_bytes", row.extra_bytes},
          {"extra_resident_bytes", row.extra_resident},
          {"gradient_error", row.gradient_error}};
}

void run(const BenchLossOptions& options) {
  counting_allocator();
  apply_compute_settings(options.compute_threads, false);
  const double ceiling = product_rate();
  log_info("NT-Xent, forward and backward: {} dimensions, temperature {}, float32, {}",
           options.dimension, options.temperature, device_description(torch::kCPU));
  log_info("float32 product of 2,048 x 2,048 matrices: {:.0f} GFLOP/s", ceiling);
  const Loss tiled = [&](const Tensor& z0, const Tensor& z1) {
    return nt_xent(z0, z1, options.temperature);
  };
  const Loss eager = [&](const Tensor& z0, const Tensor& z1) {
    return eager_nt_xent(z0, z1, options.temperature);
  };
  std::vector<std::vector<std::string>> table = {{"images", "eager ms", "clr ms", "ratio",
                                                  "eager MB", "clr MB", "resident MB",
                                                  "gradient error", "of the product's rate"}};
  Json rows = Json::array();
  for (const std::int64_t n : options.images) {
    torch::manual_seed(static_cast<std::uint64_t>(n));
    const Tensor x0 = torch::randn({n, options.dimension});
    const Tensor x1 = torch::randn({n, options.dimension});
    Row clr_row{"clr", n};
    Row eager_row{"eager", n};
    const Outcome exact = once(tiled, x0.to(torch::kFloat64), x1.to(torch::kFloat64));
    for (auto [row, loss] : {std::pair(&clr_row, &tiled), std::pair(&eager_row, &eager)}) {
      const Outcome got = once(*loss, x0, x1);
      row->gradient_error = relative_distance(got.gradient, exact.gradient);
      if (!(row->gradient_error < 1e-4 && std::abs(got.loss / exact.loss - 1) < 1e-5)) {
        throw Error(
            ErrorKind::diverged,
            fmt::format("bench loss: {} images: {} is {} with a gradient {:.1e} from "
                        "float64's, whose loss is {}; no speed of a wrong result is reported",
                        n, row->implementation, got.loss, row->gradient_error, exact.loss));
      }
      measure_memory(*row, *loss, x0, x1);
    }
    // Small ones last microseconds, so that more of them are needed for a median.
    const std::int64_t repeats = options.repeats * std::max<std::int64_t>(1, 2048 / n);
    for (std::int64_t repeat = 0; repeat < repeats; ++repeat) {
      const Tensor y0 = torch::randn_like(x0);
      const Tensor y1 = torch::randn_like(x1);
      time_once(eager_row, eager, y0, y1);
      time_once(clr_row, tiled, y0, y1);
    }
    const double m = 2.0 * static_cast<double>(n);
    const double rate =
        4 * m * m * static_cast<double>(options.dimension) / median(clr_row.milliseconds) / 1e6;
    table.push_back(
        {fmt::format("{}", n), median_and_spread(eager_row.milliseconds, n < 1024 ? 2 : 1),
         median_and_spread(clr_row.milliseconds, n < 1024 ? 2 : 1),
         fmt::format("{:.1f}x", median(eager_row.milliseconds) / median(clr_row.milliseconds)),
         megabytes(eager_row.extra_bytes), megabytes(clr_row.extra_bytes),
         megabytes(clr_row.extra_resident), fmt::format("{:.1e}", clr_row.gradient_error),
         fmt::format("{:.0f} %", 100 * rate / ceiling)});
    rows.push_back(to_json(clr_row, options));
    rows.push_back(to_json(eager_row, options));
  }
  log_info(
      "in turn, median [least, most]; MB over inputs and returned gradients, of tensors and of "
      "the process; the rate counts 4 (2N)^2 D operations");
  print_table(table);
  if (options.json) print_json({{"rows", rows}, {"product_gflops", ceiling}});
}

}  // namespace

void add_bench_loss_command(CLI::App& bench, Action& action) {
  auto options = std::make_shared<BenchLossOptions>();
  CLI::App* command =
      bench.add_subcommand("loss", "NT-Xent on the CPU, against the whole matrix in PyTorch's way");
  command->add_option("--images", options->images, "batch sizes N, of 2N rows")
      ->check(CLI::Range(2, 1'000'000))
      ->capture_default_str();
  command->add_option("--dimension", options->dimension, "dimensions D of an embedding")
      ->check(CLI::Range(1, 65'536))
      ->capture_default_str();
  command->add_option("--temperature", options->temperature, "temperature")
      ->check(CLI::Range(1e-3, 100.0))
      ->capture_default_str();
  command->add_option("--repeats", options->repeats, "runs of each, at least")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--compute-threads", options->compute_threads, "threads (default: all cores)")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
