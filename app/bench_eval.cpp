// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <optional>

#include "bench.h"
#include "clr/core/error.h"
#include "clr/core/log.h"
#include "clr/eval/knn.h"
#include "clr/eval/linear_probe.h"
#include "clr/eval/statistics.h"
#include "clr/eval/unit_features.h"
#include "clr/io/npy.h"
#include "clr/train/run_setup.h"
#include "peer_script.h"

namespace clr {
namespace {

struct BenchEvalOptions {
  std::int64_t train = 50000;
  std::int64_t test = 10000;
  std::int64_t dimension = 512;
  std::int64_t classes = 10;
  std::int64_t probe_rows = 10000;
  std::int64_t repeats = 3;
  std::int64_t compute_threads = 0;
  bool peers = false;
  bool json = false;
};

/// Clouds that overlap, so that no classifier is always right.
struct Sample {
  torch::Tensor train;
  torch::Tensor train_labels;
  torch::Tensor test;
  torch::Tensor test_labels;
};

Sample clouds(const BenchEvalOptions& options) {
  torch::manual_seed(0);
  const torch::Tensor centres = 0.25 * at::randn({options.classes, options.dimension});
  const auto draw = [&](std::int64_t n) {
    const torch::Tensor labels = at::randint(options.classes, {n}, torch::kInt64);
    // Features are not negative behind a network's last activation.
    const torch::Tensor rows =
        (centres.index_select(0, labels) + at::randn({n, options.dimension})).relu_();
    return std::make_pair(rows, labels);
  };
  auto [train, train_labels] = draw(options.train);
  auto [test, test_labels] = draw(options.test);
  return {train, train_labels, test, test_labels};
}

/// Weighted kNN as one writes it with LibTorch: Wu et al.'s, in blocks of 256 rows.
double plain_knn(const Sample& data, std::int64_t classes, std::int64_t k, double temperature) {
  const torch::Tensor train = unit_features(data.train, torch::kFloat32);
  const torch::Tensor test = unit_features(data.test, torch::kFloat32);
  std::int64_t correct = 0;
  for (std::int64_t begin = 0; begin < test.size(0); begin += 256) {
    const std::int64_t count = std::min<std::int64_t>(256, test.size(0) - begin);
    const auto [cosines, rows] = at::mm(test.narrow(0, begin, count), train.t()).topk(k, 1);
    torch::Tensor votes = at::zeros({count, classes});
    votes.scatter_add_(1, data.train_labels.index_select(0, rows.flatten()).view({count, k}),
                       (cosines / temperature).exp_());
    correct +=
        (votes.argmax(1) == data.test_labels.narrow(0, begin, count)).sum().item<std::int64_t>();
  }
  return static_cast<double>(correct) / static_cast<double>(test.size(0));
}

struct Row {
  std::string work;
  std::string implementation;
  double top1 = 0.0;
  std::vector<double> seconds;
};

template <class Work>
void repeat(Row& row, std::int64_t repeats, const Work& work) {
  for (std::int64_t i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    row.top1 = work();
    row.seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
}

Json json_of(const Row& row) {
  return {{"work", row.work},
          {"implementation", row.implementation},
          {"top1", row.top1},
          {"seconds", median(row.seconds)},
          {"all_seconds", row.seconds}};
}

/// No speed of a wrong result: rounding may turn a vote in a thousand.
void require_equal(const Row& own, const Row& other) {
  if (std::abs(own.top1 - other.top1) <= 2e-3) return;
  throw Error(ErrorKind::diverged,
              fmt::format("bench eval: {}: top-1 {:.4f} by clr, {:.4f} by {}; no speed of a wrong "
                          "result is reported",
                          own.work, own.top1, other.top1, other.implementation));
}

class EvalBench {
 public:
  explicit EvalBench(const BenchEvalOptions& options) : options_(options), data_(clouds(options)) {
    if (options.peers) peers_.emplace("bench_eval.py");
  }

  std::vector<Row> run() {
    const c10::InferenceMode inference;
    knn();
    probes();
    if (peers_) run_peers();
    return rows_;
  }

 private:
  void knn() {
    KnnConfig grid;
    Row own{fmt::format("kNN, {} cells", grid_cells(grid)), "clr", 0.0, {}};
    Row plain{"kNN, k 20, temperature 0.1", "LibTorch", 0.0, {}};
    KnnConfig one;
    one.k = {20};
    one.metric = {KnnMetric::cosine};
    one.weighting = {KnnWeighting::temperature};
    one.temperatures = {};
    Row single{"kNN, k 20, temperature 0.1", "clr", 0.0, {}};
    for (std::int64_t i = 0; i < options_.repeats; ++i) {
      repeat(own, 1, [&] { return judge(grid).front().top1; });
      repeat(single, 1, [&] { return judge(one).front().top1; });
      repeat(plain, 1, [&] { return plain_knn(data_, options_.classes, 20, one.temperature); });
    }
    require_equal(single, plain);
    rows_.insert(rows_.end(), {own, single, plain});
  }

  std::size_t grid_cells(const KnnConfig& grid) const {
    return knn_grid(data_.train.narrow(0, 0, 10), data_.train_labels.narrow(0, 0, 10),
                    data_.test.narrow(0, 0, 1), data_.test_labels.narrow(0, 0, 1), options_.classes,
                    grid)
        .size();
  }

  std::vector<KnnResult> judge(const KnnConfig& config) const {
    return knn_grid(data_.train, data_.train_labels, data_.test, data_.test_labels,
                    options_.classes, config);
  }

  void probes() {
    const torch::Tensor x = data_.train.narrow(0, 0, options_.probe_rows);
    const torch::Tensor y = data_.train_labels.narrow(0, 0, options_.probe_rows);
    const auto top1 = [&](const LinearHead& head) {
      return top_k_accuracy(predict_probabilities(head, data_.test), data_.test_labels, 1);
    };
    const ProbeConfig probe;
    const std::size_t count = probe.heads.learning_rates.size() * probe.heads.weight_decays.size();
    Row heads{fmt::format("probe, {} heads", count), "clr", 0.0, {}};
    Row lbfgs{"probe, L-BFGS, 15 strengths", "clr", 0.0, {}};
    Row alone{"probe, 1 head", "clr", 0.0, {}};
    ProbeHeadsConfig one = probe.heads;
    one.learning_rates = {0.01};
    one.weight_decays = {1e-3};
    for (std::int64_t i = 0; i < options_.repeats; ++i) {
      repeat(heads, 1, [&] {
        return top1(fit_probe_heads(x, y, options_.classes, probe.heads, probe.standardize,
                                    probe.validation, 0)
                        .last);
      });
      repeat(alone, 1, [&] {
        return top1(
            fit_probe_heads(x, y, options_.classes, one, probe.standardize, probe.validation, 0)
                .last);
      });
      repeat(lbfgs, 1,
             [&] { return top1(fit_linear_probe(x, y, options_.classes, probe, 0).head); });
    }
    rows_.insert(rows_.end(), {heads, alone, lbfgs});
  }

  void run_peers() {
    const ScratchFolder folder;
    write_npy(folder.path() / "train.npy", data_.train);
    write_npy(folder.path() / "train_labels.npy", data_.train_labels);
    write_npy(folder.path() / "test.npy", data_.test);
    write_npy(folder.path() / "test_labels.npy", data_.test_labels);
    for (const Json& row : peers_->run(fmt::format("{} {} {}", shell_quoted(folder.path().string()),
                                                   options_.probe_rows, options_.repeats))) {
      rows_.push_back({row.at("work").get<std::string>(),
                       row.at("implementation").get<std::string>(), row.at("top1").get<double>(),
                       row.at("all_seconds").get<std::vector<double>>()});
    }
  }

  BenchEvalOptions options_;
  Sample data_;
  std::optional<PeerScript> peers_;
  std::vector<Row> rows_;
};

void run(const BenchEvalOptions& options) {
  if (options.probe_rows > options.train) {
    throw Error(ErrorKind::usage,
                fmt::format("--probe-train: expected at most --train ({}), got {}", options.train,
                            options.probe_rows));
  }
  apply_compute_settings(options.compute_threads, /*deterministic=*/false);
  const std::vector<Row> rows = EvalBench(options).run();
  std::vector<std::vector<std::string>> table = {
      {"work", "by", "top-1", "seconds: median [least, most]"}};
  Json list = Json::array();
  for (const Row& row : rows) {
    table.push_back(
        {row.work, row.implementation, percent(row.top1), median_and_spread(row.seconds, 2)});
    list.push_back(json_of(row));
  }
  log_info("{} training, {} test features of {} dimensions, {} classes; probes on {}",
           format_count(options.train), format_count(options.test), options.dimension,
           options.classes, format_count(options.probe_rows));
  print_table(table);
  if (options.json) print_json({{"rows", std::move(list)}});
}

}  // namespace

void add_bench_eval_command(CLI::App& bench, Action& action) {
  auto options = std::make_shared<BenchEvalOptions>();
  CLI::App* command =
      bench.add_subcommand("eval", "nearest neighbours and linear probes on drawn features");
  const auto size = [command](const char* name, std::int64_t& value, std::int64_t least,
                              const char* help) {
    command->add_option(name, value, help)
        ->check(CLI::Range(least, std::int64_t{1} << 30))
        ->capture_default_str();
  };
  size("--train", options->train, 200, "training features");
  size("--test", options->test, 1, "test features");
  size("--d", options->dimension, 1, "dimensions");
  size("--classes", options->classes, 2, "classes");
  size("--probe-train", options->probe_rows, 200, "of the training features, for the probes");
  size("--repeats", options->repeats, 1, "of each measurement");
  command->add_option("--compute-threads", options->compute_threads, "0 = all cores")
      ->check(CLI::Range(0, 4096));
  command->add_flag("--peers", options->peers, "also scikit-learn (scripts/setup.sh --peers)");
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
