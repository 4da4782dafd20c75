// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "bench.h"
#include "clr/config/load.h"
#include "clr/core/autocast.h"
#include "clr/core/device.h"
#include "clr/core/log.h"
#include "clr/dist/gather.h"
#include "clr/dist/gradient_reducer.h"
#include "clr/loss/nt_xent.h"
#include "clr/train/device_copies.h"
#include "clr/train/run_config.h"
#include "clr/train/run_setup.h"
#include "clr/train/step_exchange.h"
#include "loss_measure.h"
#include "noise_dataset.h"
#include "processes.h"

namespace clr {
namespace {

using torch::Tensor;

struct BenchProcessesOptions {
  std::int64_t images = 8192;
  std::int64_t dimension = 128;
  double temperature = 0.1;
  std::string config = "simclr_cifar10";
  std::vector<std::string> sets;
  std::int64_t repeats = 5;
  bool json = false;
  ComputeOptions compute;
  ProcessOptions processes;
};

/// The slowest of all processes, at each time.
std::vector<double> slowest(World& world, const std::vector<double>& own) {
  const Tensor all = world.gather(torch::tensor(own, torch::kFloat64).unsqueeze(0)).amax(0);
  const auto* data = all.const_data_ptr<double>();
  return {data, data + all.numel()};
}

std::int64_t most(World& world, std::int64_t own) {
  return world.gather(torch::tensor({own}, torch::kInt64)).max().item<std::int64_t>();
}

/// NT-Xent of a batch that processes share.
class SharedLoss {
 public:
  SharedLoss(const BenchProcessesOptions& options, std::shared_ptr<World> world,
             const c10::Device& device)
      : options_(options), world_(std::move(world)), device_(device) {
    for (std::int64_t rank = 0; rank < world_->size(); ++rank)
      counts_.push_back(row_share(options.images, rank, world_->size()).size());
    const auto [first, last] = world_->share(options.images);
    first_ = first;
    if (last - first < 2) {
      throw Error(ErrorKind::usage,
                  fmt::format("--n: expected at least two images for each of the {} processes, got "
                              "{}",
                              world_->size(), options.images));
    }
    torch::manual_seed(1);
    const Tensor whole = torch::randn({2, options.images, options.dimension});
    own_ = rows_of_this_process(whole.flatten(0, 1)).to(device_);
    find_exact(whole);
  }

  /// Both forms, checked and measured in turn: eager first.
  std::vector<LossRow> measure() {
    const std::vector<LossForm> forms = {
        {"eager", [this](const Tensor& z0, const Tensor& z1) { return eager(z0, z1); }},
        {"clr", [this](const Tensor& z0, const Tensor& z1) { return clr(z0, z1); }}};
    std::vector<LossRow> rows;
    for (const LossForm& form : forms) {
      LossRow row{form.name};
      const LossValue got = evaluate(form, own_);
      check(row, got);
      measure_memory(row, form, own_);
      row.extra_bytes = most(*world_, row.extra_bytes);
      if (row.extra_resident) row.extra_resident = most(*world_, *row.extra_resident);
      rows.push_back(std::move(row));
    }
    for (std::int64_t repeat = 0; repeat < options_.repeats; ++repeat) {
      for (std::size_t i = 0; i < forms.size(); ++i) {
        world_->barrier();
        measure_time(rows[i], forms[i], own_);
      }
    }
    for (LossRow& row : rows) row.milliseconds = slowest(*world_, row.milliseconds);
    return rows;
  }

  /// What a process sends of its embeddings in a step, and of the gradients of others'.
  std::int64_t bytes_sent() const {
    const auto all = 2 * options_.images * options_.dimension * 4;
    return (all - static_cast<std::int64_t>(own_.nbytes())) * 2;
  }

 private:
  /// Of both views' rows [2N, ...] those of this process's images [2n, ...].
  Tensor rows_of_this_process(const Tensor& all) const {
    const std::int64_t n = counts_[static_cast<std::size_t>(world_->rank())];
    return torch::cat({all.narrow(0, first_, n), all.narrow(0, options_.images + first_, n)});
  }

  Tensor gather(const Tensor& x) const {
    if (world_->is_alone()) return x;
    const std::int64_t k = x.size(0) / counts_[static_cast<std::size_t>(world_->rank())];
    std::vector<std::int64_t> rows;
    for (const std::int64_t count : counts_) rows.push_back(k * count);
    return gather_rows(world_, x, rows);
  }

  /// float64, of the whole batch, by rank 0 for all.
  void find_exact(const Tensor& whole) {
    exact_gradient_ = torch::zeros({2 * options_.images, options_.dimension}, torch::kFloat64);
    Tensor loss = torch::zeros({1}, torch::kFloat64);
    if (world_->leads()) {
      const World::OwnWork exactly(*world_);
      const LossForm form{"float64", [this](const Tensor& z0, const Tensor& z1) {
                            return nt_xent(z0, z1, options_.temperature);
                          }};
      const LossValue value = evaluate(form, whole.flatten(0, 1).to(device_, torch::kFloat64));
      exact_gradient_ = value.gradient.contiguous();
      loss.fill_(value.loss);
    }
    world_->broadcast(exact_gradient_);
    world_->broadcast(loss);
    exact_loss_ = loss.item<double>();
    exact_gradient_ = rows_of_this_process(exact_gradient_);
  }

  Tensor clr(const Tensor& z0, const Tensor& z1) const {
    TwoViewOptions options;
    if (!world_->is_alone()) {
      options.shared = {[this](const Tensor& x) { return gather(x); }, first_, options_.images};
    }
    return nt_xent(z0, z1, options_.temperature, options);
  }

  /// As in PyTorch: own rows against the gathered ones, a matrix [2n, 2N].
  Tensor eager(const Tensor& z0, const Tensor& z1) const {
    const std::int64_t n = z0.size(0);
    const Tensor x = torch::cat({z0, z1});
    const Tensor z = x / x.norm(2, 1, true).clamp_min(1e-12);
    const Tensor all = gather(z);
    const Tensor self =
        torch::arange(2 * n, torch::dtype(torch::kInt64).device(device_)) + 2 * first_;
    const Tensor logits =
        (z.mm(all.t()) / options_.temperature)
            .scatter(1, self.unsqueeze(1), -std::numeric_limits<double>::infinity());
    return at::cross_entropy_loss(logits, self.roll({n}), {}, at::Reduction::Sum) /
           (2 * options_.images);
  }

  void check(LossRow& row, const LossValue& got) {
    const Tensor shares =
        torch::tensor({got.loss, (got.gradient - exact_gradient_).square().sum().item<double>(),
                       exact_gradient_.square().sum().item<double>()},
                      torch::kFloat64);
    world_->sum(shares);
    row.loss = shares[0].item<double>();
    row.gradient_error = std::sqrt((shares[1] / shares[2]).item<double>());
    if (row.gradient_error < 1e-4 && std::abs(row.loss / exact_loss_ - 1) < 1e-5) return;
    throw Error(ErrorKind::diverged,
                fmt::format("bench processes: the loss of {} is {} with a gradient {:.1e} from "
                            "float64's, whose loss is {}; no speed of a wrong result is reported",
                            row.implementation, row.loss, row.gradient_error, exact_loss_));
  }

  BenchProcessesOptions options_;
  std::shared_ptr<World> world_;
  c10::Device device_;
  std::vector<std::int64_t> counts_;
  std::int64_t first_ = 0;
  Tensor own_;  ///< [2n, D]
  double exact_loss_ = 0;
  Tensor exact_gradient_;  ///< of own rows
};

/// A training step without its optimizer, on one batch of noise that stays in memory.
class SharedStep {
 public:
  enum class Sum { none, at_the_end, meanwhile, alone };

  SharedStep(const BenchProcessesOptions& options, std::shared_ptr<World> world,
             const c10::Device& device)
      : world_(std::move(world)), device_(device) {
    ConfigDocument document = load_config(options.config, "pretrain");
    for (const std::string& set : options.sets) document.set(set);
    config_ = resolve_automatic(read_run_config(document), device, world_->local_size());
    config_.train.micro_batch = 0;
    apply_compute_settings(config_.train.compute_threads, config_.train.deterministic);
    const auto augmenter = std::make_shared<const Augmenter>(config_.augment);
    const auto dataset =
        std::make_shared<NoiseDataset>(config_.train.batch_size, augmenter->view_size(0));
    method_ = build_method(config_, dataset->size(), 10, 1);
    method_->join(world_, config_.train.sync_batch_norm);
    place_module(*method_, device, config_.train.memory_format == MemoryFormat::channels_last,
                 config_.train.precision);
    method_->train();
    for (const ParameterGroup& group : method_->parameter_groups()) {
      for (const auto& [name, parameter] : group.parameters) parameters_.push_back(parameter);
    }
    steps_per_epoch(config_, dataset->size(), world_->size());
    const auto loader = make_thread_loader(
        dataset, augmenter,
        training_loader_options(
            config_, device, options.compute.loader_threads(device.is_cuda(), world_->local_size()),
            *world_));
    loader->start(0, 0);
    batch_ = loader->next();
    StepExchange(world_).exchange(batch_, StopReason::none);
    DeviceCopies(device).move(batch_);
    for (Tensor& group : batch_.groups) group = as_input(group, config_.train.precision);
  }

  /// Milliseconds of each, in turn; the sums of the second and third are held against each other.
  std::vector<std::vector<double>> measure(const std::vector<Sum>& forms, std::int64_t repeats) {
    std::vector<std::vector<double>> milliseconds(forms.size());
    std::vector<Tensor> expected;
    for (std::int64_t repeat = -1; repeat < repeats; ++repeat) {  // -1: nobody looks
      for (std::size_t i = 0; i < forms.size(); ++i) {
        const double took = step(forms[i], repeat + 1);
        if (repeat >= 0) milliseconds[i].push_back(took);
        if (forms[i] == Sum::at_the_end) expected = gradients();
        if (forms[i] == Sum::meanwhile) require_equal(expected, gradients());
      }
    }
    for (auto& times : milliseconds) times = slowest(*world_, times);
    return milliseconds;
  }

  std::int64_t batch_size() const { return config_.train.batch_size; }

  std::int64_t gradient_bytes() const {
    std::int64_t bytes = 0;
    for (const Tensor& parameter : parameters_)
      bytes += static_cast<std::int64_t>(parameter.nbytes());
    return bytes;
  }

 private:
  double step(Sum form, std::int64_t number) {
    GradientReducer reducer(world_, parameters_);
    const StepContext context{number, 0, 1'000'000, 0};
    if (form != Sum::alone) {
      for (Tensor& parameter : parameters_) parameter.mutable_grad() = Tensor();
    }
    world_->barrier();
    const auto start = std::chrono::steady_clock::now();
    if (form == Sum::alone) {
      reducer.expect();
    } else {
      method_->before_step(context);
      Embeddings embeddings;
      {
        const BFloat16Autocast autocast(device_.type(),
                                        config_.train.precision == Precision::bfloat16);
        embeddings = method_->embed(batch_);
      }
      const StepOutput output = method_->loss(embeddings, batch_, context);
      if (form == Sum::meanwhile) reducer.expect();
      output.loss.backward();
      if (form == Sum::at_the_end) reducer.expect();
    }
    if (form != Sum::none) reducer.finish();
    // A GPU is done once a number of it is here.
    parameters_.front().grad().sum().item<double>();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
        .count();
  }

  std::vector<Tensor> gradients() const {
    std::vector<Tensor> result;
    for (const Tensor& parameter : parameters_) {
      if (parameter.grad().defined()) result.push_back(parameter.grad().clone());
    }
    return result;
  }

  void require_equal(const std::vector<Tensor>& expected, const std::vector<Tensor>& got) const {
    // A GPU's kernels may add in another order each time.
    const auto same = [this](const Tensor& a, const Tensor& b) {
      return device_.is_cpu() ? torch::equal(a, b) : torch::allclose(a, b, 1e-3, 1e-5);
    };
    if (std::equal(expected.begin(), expected.end(), got.begin(), got.end(), same)) return;
    throw Error(ErrorKind::diverged,
                "bench processes: the gradients that were summed during the backward pass are not "
                "those that were summed after it; no speed of a wrong result is reported");
  }

  std::shared_ptr<World> world_;
  c10::Device device_;
  RunConfig config_;
  std::shared_ptr<Method> method_;
  std::vector<Tensor> parameters_;
  Batch batch_;
};

Json loss_part(const BenchProcessesOptions& options, const std::shared_ptr<World>& world,
               const c10::Device& device) {
  SharedLoss loss(options, world, device);
  const std::vector<LossRow> rows = loss.measure();
  log_info("NT-Xent, forward and backward, N = {}, D = {}: the slowest process; MB of the largest",
           options.images, options.dimension);
  std::vector<std::vector<std::string>> table = {
      {"implementation", "ms", "extra MB", "resident MB", "ratio to eager", "gradient error"}};
  Json result = Json::array();
  for (const LossRow& row : rows) {
    const double ratio = median(rows.front().milliseconds) / median(row.milliseconds);
    table.push_back({row.implementation, median_and_spread(row.milliseconds, 1),
                     megabytes(row.extra_bytes),
                     row.extra_resident ? megabytes(*row.extra_resident) : "-",
                     fmt::format("{:.1f}x", ratio), fmt::format("{:.1e}", row.gradient_error)});
    Json line = {
        {"implementation", row.implementation},  {"milliseconds", median(row.milliseconds)},
        {"milliseconds_runs", row.milliseconds}, {"extra_bytes", row.extra_bytes},
        {"gradient_error", row.gradient_error},  {"ratio_to_eager", ratio}};
    if (row.extra_resident) line["extra_resident_bytes"] = *row.extra_resident;
    result.push_back(std::move(line));
  }
  print_table(table);
  return {{"n", options.images},
          {"d", options.dimension},
          {"rows", std::move(result)},
          {"sent_bytes", world->is_alone() ? 0 : loss.bytes_sent()}};
}

Json step_part(const BenchProcessesOptions& options, const std::shared_ptr<World>& world,
               const c10::Device& device) {
  using Sum = SharedStep::Sum;
  const std::vector<std::pair<Sum, std::string>> forms = {
      {Sum::none, "gradients not summed"},
      {Sum::at_the_end, "summed after the backward pass"},
      {Sum::meanwhile, "summed during it (clr)"},
      {Sum::alone, "the sums alone"}};
  std::vector<Sum> kinds;
  for (const auto& [kind, name] : forms) kinds.push_back(kind);
  SharedStep step(options, world, device);
  const auto milliseconds = step.measure(kinds, options.repeats);
  log_info("a step of {} images by {}, {} MB of gradients: the slowest process", step.batch_size(),
           options.config, megabytes(step.gradient_bytes()));
  std::vector<std::vector<std::string>> table = {{"gradients", "ms", "ratio"}};
  Json rows = Json::array();
  const double naive = median(milliseconds[1]);
  for (std::size_t i = 0; i < forms.size(); ++i) {
    const double took = median(milliseconds[i]);
    const bool whole = forms[i].first != Sum::alone;
    table.push_back({forms[i].second, median_and_spread(milliseconds[i], 1),
                     whole ? fmt::format("{:.2f}x", naive / took) : "-"});
    Json row = {{"gradients", forms[i].second},
                {"milliseconds", took},
                {"milliseconds_runs", milliseconds[i]}};
    if (whole) row["ratio_to_after"] = naive / took;
    rows.push_back(std::move(row));
  }
  print_table(table);
  return {{"batch_size", step.batch_size()},
          {"gradient_bytes", step.gradient_bytes()},
          {"rows", std::move(rows)}};
}

void run(const BenchProcessesOptions& options) {
  const std::shared_ptr<World> world = join_processes(options.processes, "bench processes");
  const c10::Device device = resolve_device(options.compute.device, world->local_rank());
  world->use_device(device);
  count_tensor_bytes();
  apply_compute_settings(0, false);
  log_info("{}, {}; {} runs in turn, median [least, most]",
           world->is_alone() ? "1 process" : fmt::format("{} processes", world->size()),
           device_description(device), options.repeats);
  Json result = {{"processes", world->size()}, {"device", device_description(device)}};
  result["loss"] = loss_part(options, world, device);
  result["step"] = step_part(options, world, device);
  if (options.json && world->leads()) print_json(result);
}

}  // namespace

void add_bench_processes_command(CLI::App& bench, Action& action) {
  auto options = std::make_shared<BenchProcessesOptions>();
  CLI::App* command = bench.add_subcommand(
      "processes", "a loss and a step that several processes share, each by a launcher");
  command->add_option("--n,--images", options->images, "images N of the loss, of all processes")
      ->check(CLI::Range(4, 1'000'000))
      ->capture_default_str();
  command->add_option("--d,--dimension", options->dimension, "dimension D of an embedding")
      ->check(CLI::Range(1, 65'536))
      ->capture_default_str();
  command->add_option("--temperature", options->temperature, "temperature")
      ->check(CLI::Range(1e-3, 100.0))
      ->capture_default_str();
  command->add_option("--config", options->config, "configuration file or preset of the step")
      ->capture_default_str();
  command->add_option("--set", options->sets, "key.path=value over the configuration, repeatable")
      ->allow_extra_args(false);
  command->add_option("--repeats", options->repeats, "runs of each")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  options->compute.add_to(*command);
  options->processes.add_to(*command);
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
