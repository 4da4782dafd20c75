// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>

#include "bench.h"
#include "clr/core/autocast.h"
#include "clr/core/device.h"
#include "clr/core/error.h"
#include "clr/core/log.h"
#include "clr/core/memory.h"
#include "clr/loss/nt_xent.h"
#include "clr/train/run_setup.h"
#include "loss_measure.h"
#include "loss_peers.h"

namespace clr {
namespace {

using torch::Tensor;

constexpr double kNoBound = std::numeric_limits<double>::infinity();

struct BenchLossOptions {
  std::vector<std::int64_t> images = {256, 1024, 4096, 8192};
  std::vector<std::int64_t> dimensions = {128};
  double temperature = 0.1;
  std::string dtype = "float32";
  std::string device = "auto";
  std::int64_t repeats = 5;
  std::int64_t compute_threads = 0;
  bool peers = false;
  bool json = false;
};

torch::ScalarType type_of(const std::string& name) {
  if (name == "float16") return torch::kFloat16;
  return name == "bfloat16" ? torch::kBFloat16 : torch::kFloat32;
}

/// The loss as one writes it in PyTorch: the whole matrix, and cross-entropy, in float32 but for
/// what autocast rounds.
Tensor eager_nt_xent(const Tensor& z0, const Tensor& z1, double temperature) {
  const std::int64_t n = z0.size(0);
  const auto on_device = torch::dtype(torch::kInt64).device(z0.device());
  const Tensor x = torch::cat({z0.to(torch::kFloat32), z1.to(torch::kFloat32)});
  const Tensor z = x / x.norm(2, 1, true).clamp_min(1e-12);
  const Tensor self = torch::eye(2 * n, on_device.dtype(torch::kBool));
  const Tensor logits =
      (z.mm(z.t()) / temperature).masked_fill(self, -std::numeric_limits<double>::infinity());
  return at::cross_entropy_loss(logits, torch::arange(2 * n, on_device).roll({n}));
}

/// Eager's largest tensors: products, logits, their softmax and two gradients.
bool eager_fits(std::int64_t n, const torch::Device& device) {
  const auto m = static_cast<double>(2 * n);
  return !device.is_cpu() || 5 * 4 * m * m < 0.8 * static_cast<double>(physical_memory());
}

/// How far a gradient may be from float64's: float32's rounding, and that of the type it is returned
/// in. In float16 gradients of a mean over many rows are below its smallest normal number.
double largest_error(torch::ScalarType type) { return type == torch::kFloat32 ? 1e-4 : 1e-2; }

/// What is compared on a device, eager first.
std::vector<LossForm> forms(const BenchLossOptions& options, const torch::Device& device) {
  const double temperature = options.temperature;
  const auto type = type_of(options.dtype);
  const double bound = largest_error(type);
  const auto eager = [temperature](const Tensor& z0, const Tensor& z1) {
    return eager_nt_xent(z0, z1, temperature);
  };
  const auto rounded = [temperature, device](const Tensor& z0, const Tensor& z1) {
    const BFloat16Autocast autocast(device.type(), true);
    return eager_nt_xent(z0, z1, temperature);
  };
  const auto tiles = [temperature](LossBackend backend) {
    return [temperature, backend](const Tensor& z0, const Tensor& z1) {
      TwoViewOptions two_views;
      two_views.backend = backend;
      return nt_xent(z0, z1, temperature, two_views);
    };
  };
  std::vector<LossForm> result = {{"eager", eager, bound}};
  if (device.is_cuda()) result.push_back({"eager, TF32", eager, kNoBound, true});
  if (device.is_cuda() || type != torch::kFloat32) {
    result.push_back({"eager, bfloat16 autocast", rounded, kNoBound});
  }
  result.push_back({"clr", tiles(LossBackend::automatic), bound});
  if (device.is_cuda()) {
    result.push_back({"clr, streaming", tiles(LossBackend::streaming), bound});
    result.push_back({"clr, fused", tiles(LossBackend::fused), bound});
  }
  return result;
}

/// Refuses a form whose result is wrong.
void check(const LossRow& row, double bound, double exact_loss, std::int64_t n, std::int64_t d) {
  if (row.gradient_error < bound && std::abs(row.loss / exact_loss - 1) < 1e-5) {
    return;
  }
  throw Error(ErrorKind::diverged,
              fmt::format("bench loss: N = {}, D = {}: {} is {} with a gradient {:.1e} from "
                          "float64's, whose loss is {}; no speed of a wrong result is reported",
                          n, d, row.implementation, row.loss, row.gradient_error, exact_loss));
}

/// Checks and measures all forms on one size.
std::vector<LossRow> measure(const BenchLossOptions& options, const torch::Device& device,
                             const std::optional<LossPeers>& peers, std::int64_t n,
                             std::int64_t d) {
  torch::manual_seed(static_cast<std::uint64_t>(n));
  const Tensor x = torch::randn({2 * n, d}).to(device, type_of(options.dtype));
  const LossForm in_float64{"float64", [&](const Tensor& z0, const Tensor& z1) {
                              return nt_xent(z0, z1, options.temperature);
                            }};
  const LossValue exact = evaluate(in_float64, x.to(torch::kFloat64));

  std::vector<LossRow> rows;
  std::vector<LossForm> working;
  for (const LossForm& form : forms(options, device)) {
    LossRow row{form.name};
    if (form.name == "eager" && !eager_fits(n, device)) {
      log_info("N = {}, D = {}: {} needs more memory than there is: left out", n, d, form.name);
      continue;
    }
    try {
      const LossValue got = evaluate(form, x);
      row.loss = got.loss;
      row.gradient_error =
          ((got.gradient - exact.gradient).norm() / exact.gradient.norm()).item<double>();
      if (form.largest_error < kNoBound) check(row, form.largest_error, exact.loss, n, d);
      measure_memory(row, form, x);
    } catch (const c10::OutOfMemoryError&) {
      log_info("N = {}, D = {}: {} needs more memory than there is: left out", n, d, form.name);
      continue;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::device) throw;
      log_info("N = {}, D = {}: {} is left out: {}", n, d, form.name, error.what());
      continue;
    }
    rows.push_back(std::move(row));
    working.push_back(form);
  }
  // Small ones last microseconds, so that more of them are needed for a median.
  const std::int64_t repeats = options.repeats * std::max<std::int64_t>(1, 2048 / n);
  for (std::int64_t repeat = 0; repeat < repeats; ++repeat) {
    const Tensor y = torch::randn_like(x);
    for (std::size_t i = 0; i < working.size(); ++i) measure_time(rows[i], working[i], y);
  }
  if (peers) {
    for (LossRow& row : peers->measure(x, exact.gradient, options.temperature, repeats)) {
      // A type of its own, as lightly's bfloat16, is reported as it is.
      if (options.dtype == "float32") check(row, 1e-4, exact.loss, n, d);
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

void run(const BenchLossOptions& options) {
  std::optional<LossPeers> peers;
  if (options.peers) peers.emplace();
  count_tensor_bytes();
  apply_compute_settings(options.compute_threads, false);
  const torch::Device device = resolve_device(options.device);
  const auto product_type = device.is_cpu() ? torch::kFloat32 : type_of(options.dtype);
  const double ceiling = product_rate(device, product_type);
  log_info("NT-Xent, forward and backward: temperature {}, {}, {}", options.temperature,
           options.dtype, device_description(device));
  log_info("fastest product of two square {} matrices: {:.0f} GFLOP/s",
           device.is_cpu() ? "float32" : options.dtype, ceiling);
  std::vector<std::vector<std::string>> table = {{"N", "D", "implementation", "ms", "extra MB",
                                                  "resident MB", "ratio to eager", "gradient error",
                                                  "of the product's rate"}};
  Json result = Json::array();
  for (const std::int64_t d : options.dimensions) {
    for (const std::int64_t n : options.images) {
      const std::vector<LossRow> rows = measure(options, device, peers, n, d);
      const auto eager = std::find_if(rows.begin(), rows.end(), [](const LossRow& row) {
        return row.implementation == "eager";
      });
      for (const LossRow& row : rows) {
        const double took = median(row.milliseconds);
        const double m = 2.0 * static_cast<double>(n);
        const double rate = 4 * m * m * static_cast<double>(d) / took / 1e6;
        const double ratio = eager == rows.end() ? std::numeric_limits<double>::quiet_NaN()
                                                 : median(eager->milliseconds) / took;
        table.push_back({fmt::format("{}", n), fmt::format("{}", d), row.implementation,
                         median_and_spread(row.milliseconds, took < 10 ? 2 : 1),
                         megabytes(row.extra_bytes),
                         row.extra_resident ? megabytes(*row.extra_resident) : "-",
                         std::isnan(ratio) ? "-" : fmt::format("{:.1f}x", ratio),
                         fmt::format("{:.1e}", row.gradient_error),
                         fmt::format("{:.0f} %", 100 * rate / ceiling)});
        Json line = {{"implementation", row.implementation},
                     {"n", n},
                     {"d", d},
                     {"dtype", options.dtype},
                     {"device", device.str()},
                     {"milliseconds", took},
                     {"extra_bytes", row.extra_bytes},
                     {"gradient_error", row.gradient_error},
                     {"milliseconds_runs", row.milliseconds},
                     {"product_share", rate / ceiling}};
        if (row.extra_resident) line["extra_resident_bytes"] = *row.extra_resident;
        if (!std::isnan(ratio)) line["ratio_to_eager"] = ratio;
        result.push_back(std::move(line));
      }
    }
  }
  log_info(
      "in turn, median [least, most]; MB over inputs and returned gradients, of tensors and of "
      "the process; the rate counts 4 (2N)^2 D operations");
  print_table(table);
  if (options.json) print_json({{"rows", result}, {"product_gflops", ceiling}});
}

}  // namespace

void add_bench_loss_command(CLI::App& bench, Action& action) {
  auto options = std::make_shared<BenchLossOptions>();
  CLI::App* command =
      bench.add_subcommand("loss", "NT-Xent, against the whole matrix in PyTorch's way");
  command->add_option("--n,--images", options->images, "batch sizes N, of 2N rows; repeatable")
      ->check(CLI::Range(2, 1'000'000))
      ->capture_default_str();
  command
      ->add_option("--d,--dimension", options->dimensions,
                   "dimensions D of an embedding; repeatable")
      ->check(CLI::Range(1, 65'536))
      ->capture_default_str();
  command->add_option("--temperature", options->temperature, "temperature")
      ->check(CLI::Range(1e-3, 100.0))
      ->capture_default_str();
  command->add_option("--dtype", options->dtype, "type of the embeddings")
      ->check(CLI::IsMember({"float32", "float16", "bfloat16"}))
      ->capture_default_str();
  command->add_option("--device", options->device, "auto, cpu, cuda or cuda:N")
      ->capture_default_str();
  command->add_option("--repeats", options->repeats, "runs of each, at least")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--compute-threads", options->compute_threads, "threads (default: all cores)")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--peers", options->peers,
                    "also Python's: eager, lightly, checkpointed chunks, torch.compile "
                    "(scripts/setup.sh --peers)");
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
