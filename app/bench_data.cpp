// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <memory>

#include "bench.h"
#include "bench_data_tricks.h"
#include "clr/config/load.h"
#include "clr/core/error.h"
#include "clr/core/log.h"
#include "clr/data/decode_record.h"
#include "clr/data/loader.h"
#include "clr/train/run_config.h"
#include "data.h"
#include "peer_script.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

constexpr int kRuns = 3;
constexpr std::int64_t kPeerImages = 256;

struct BenchDataOptions {
  std::string config;
  std::string data;
  std::vector<std::string> sets;
  int threads = 0;
  double seconds = 3.0;
  bool peers = false;
  bool tricks = false;
  bool json = false;
};

class WallClock {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

struct Stage {
  const char* name;
  double seconds = 0.0;  ///< of the processor, summed over the images
};

/// One thread's work on the images of a set, stage by stage.
class StageBench {
 public:
  StageBench(const RunConfig& config, std::shared_ptr<const Dataset> dataset)
      : config_(config),
        dataset_(std::move(dataset)),
        fused_(config.augment),
        plain_(config.augment, Place("augment"), Rendering::op_by_op) {
    for (int view = 0; view < fused_.view_count(); ++view) {
      const Size size = fused_.view_size(view);
      const auto values =
          3 * static_cast<std::size_t>(size.width) * static_cast<std::size_t>(size.height);
      fast_.resize(std::max(fast_.size(), values));
      slow_.resize(fast_.size());
    }
  }

  /// Renders some images both ways. Throws:  Error{diverged} where they differ by more than 0.05
  /// of 255 in more than one value of 10,000 (solarize's threshold may fall either way).
  double check() {
    std::int64_t off = 0;
    std::int64_t all = 0;
    double most = 0.0;
    for (std::int64_t index = 0; index < std::min<std::int64_t>(16, dataset_->size()); ++index) {
      const Image image = decode_record(dataset_->get(index), config_.data);
      for (int view = 0; view < fused_.view_count(); ++view) {
        const ViewParameters parameters = draw(index, view, image.size());
        fused_.render(image, view, parameters, {fast_.data()});
        plain_.render(image, view, parameters, {slow_.data()});
        const Size size = fused_.view_size(view);
        const auto count =
            3 * static_cast<std::size_t>(size.width) * static_cast<std::size_t>(size.height);
        for (std::size_t i = 0; i < count; ++i) {
          const double difference =
              std::abs(static_cast<double>(fast_[i]) - static_cast<double>(slow_[i]));
          most = std::max(most, difference);
          off += difference > 0.05 / 255.0 * largest_scale_ ? 1 : 0;
          ++all;
        }
      }
    }
    if (static_cast<double>(off) > 1e-4 * static_cast<double>(all)) {
      throw Error(ErrorKind::diverged,
                  fmt::format("bench data: {} of {} values differ from the operations one by one; "
                              "no speed of a wrong result is reported",
                              off, all));
    }
    return most;
  }

  void set_largest_scale(double scale) { largest_scale_ = scale; }

  /// Takes the images in turn for `seconds`.
  void measure(double seconds) {
    const WallClock clock;
    while (clock.seconds() < seconds) {
      const std::int64_t index = images_ % dataset_->size();
      double last = thread_seconds();
      const auto lap = [&](Stage& stage) {
        const double now = thread_seconds();
        stage.seconds += now - last;
        last = now;
      };
      Record record = dataset_->get(index);
      lap(read);
      image_ = decode_record(std::move(record), config_.data, std::move(image_));
      const Image& image = image_;
      lap(decode);
      std::vector<ViewParameters> parameters;
      for (int view = 0; view < fused_.view_count(); ++view) {
        parameters.push_back(draw(images_, view, image.size()));
      }
      lap(sample);
      for (int view = 0; view < fused_.view_count(); ++view) {
        fused_.render(image, view, parameters[static_cast<std::size_t>(view)], {fast_.data()});
      }
      lap(render);
      for (int view = 0; view < fused_.view_count(); ++view) {
        plain_.render(image, view, parameters[static_cast<std::size_t>(view)], {slow_.data()});
      }
      lap(op_by_op);
      ++images_;
    }
  }

  bool all_fused() const {
    for (int view = 0; view < fused_.view_count(); ++view) {
      if (!fused_.fused(view)) return false;
    }
    return true;
  }
  int views() const { return fused_.view_count(); }
  std::int64_t images() const { return images_; }

  Stage read{"read"};
  Stage decode{"decode"};
  Stage sample{"draw parameters"};
  Stage render{"render views"};
  Stage op_by_op{"(op by op)"};

 private:
  ViewParameters draw(std::int64_t number, int view, Size size) const {
    return fused_.sample(1, {static_cast<std::uint64_t>(number), 0, 0}, view, size);
  }

  const RunConfig& config_;
  std::shared_ptr<const Dataset> dataset_;
  Augmenter fused_;
  Augmenter plain_;
  Image image_;  ///< its memory is used again
  std::vector<float> fast_;
  std::vector<float> slow_;
  double largest_scale_ = 1.0;
  std::int64_t images_ = 0;
};

/// Largest 1 / std of the chains' normalize: what it makes of a difference.
double largest_scale(const AugmentConfig& config) {
  double scale = 1.0;
  for (const ViewConfig& view : config.views) {
    for (const Component<Augmentation>& op : view.chain) {
      if (op.type != "normalize") continue;
      for (const double std : op.options.at("std").get<std::array<double, 3>>()) {
        scale = std::max(scale, 1.0 / std);
      }
    }
  }
  return scale;
}

/// Images a second of the loader, over whole batches, for about `seconds`.
double loader_speed(const RunConfig& config, const std::shared_ptr<const Dataset>& dataset,
                    const std::shared_ptr<const Augmenter>& augmenter, int threads,
                    double seconds) {
  LoaderOptions options;
  options.seed = 1;
  options.batch_size = std::min<std::int64_t>(config.train.batch_size, 64);
  options.shuffle = true;
  options.epochs = 1'000'000;
  options.threads = threads;
  options.data = config.data;
  options.data.cache = CacheMode::none;
  const auto loader = make_thread_loader(dataset, augmenter, options);
  loader->start(0, 0);
  loader->next();  // Threads and memory are there now.
  const WallClock clock;
  std::int64_t images = 0;
  while (clock.seconds() < seconds) images += loader->next().size();
  return static_cast<double>(images) / clock.seconds();
}

/// The same images and chains in the peers' Python. Encoded images are handed over as files, others
/// as arrays.
Json peer_rows(const RunConfig& config, const Dataset& dataset, double seconds) {
  const PeerScript script("bench_data.py");
  const ScratchFolder folder;
  Json images = Json::array();
  for (std::int64_t i = 0; i < std::min(kPeerImages, dataset.size()); ++i) {
    const Record record = dataset.get(i);
    const fs::path path = folder.path() / fmt::format("{:05}", i);
    const auto* encoded = std::get_if<std::vector<std::uint8_t>>(&record);
    Json image = {{"path", path.string()}};
    const auto& bytes = encoded != nullptr ? *encoded : std::get<Image>(record).pixels;
    if (encoded == nullptr) {
      const Size size = std::get<Image>(record).size();
      image["size"] = {size.width, size.height};
    }
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    if (!file.flush()) throw Error(ErrorKind::output, path.string() + ": cannot be written");
    images.push_back(std::move(image));
  }
  Json views = Json::array();
  for (const ViewConfig& view : config.augment.views) {
    Json chain = Json::array();
    for (const Component<Augmentation>& op : view.chain) {
      Json one = op.options;
      one["type"] = op.type;
      chain.push_back(std::move(one));
    }
    views.push_back({{"count", view.count}, {"chain", std::move(chain)}});
  }
  const fs::path work = folder.path() / "work.json";
  std::ofstream(work) << Json{{"images", images}, {"views", views}, {"seconds", seconds}}.dump();
  return script.run(shell_quoted(work.string()));
}

std::vector<std::vector<std::string>> tricks_table(const std::vector<Trick>& tricks) {
  std::vector<std::vector<std::string>> table = {
      {"what it saves", "without, us", "with, us", "ratio", "of"}};
  for (const Trick& trick : tricks) {
    table.push_back({trick.name, fmt::format("{:.1f}", trick.without_us),
                     fmt::format("{:.1f}", trick.with_us),
                     fmt::format("{:.2f}x", trick.without_us / trick.with_us), trick.unit});
  }
  return table;
}

Json tricks_json(const std::vector<Trick>& tricks) {
  Json list = Json::array();
  for (const Trick& trick : tricks) {
    list.push_back({{"name", trick.name},
                    {"of", trick.unit},
                    {"without_us", trick.without_us},
                    {"with_us", trick.with_us}});
  }
  return list;
}

void run(const BenchDataOptions& options) {
  ConfigDocument document = load_config(options.config, "pretrain");
  for (const std::string& set : options.sets) document.set(set);
  const RunConfig config = read_run_config(document);
  const std::shared_ptr<const Dataset> dataset =
      open_images(options.data, config.data, "clr bench data");
  const int threads = all_cores_unless(options.threads);

  StageBench bench(config, dataset);
  bench.set_largest_scale(largest_scale(config.augment));
  const double difference = bench.check();
  log_info("{} images, {} views of each; as the operations one by one: largest difference {:.1e}",
           dataset->size(), bench.views(), difference);
  if (!bench.all_fused()) {
    log_warning("not every chain is in the order that can be fused; the others run op by op");
  }

  const auto augmenter = std::make_shared<const Augmenter>(config.augment);
  std::vector<double> one;
  std::vector<double> many;
  Json peers = Json::array();
  for (int repeat = 0; repeat < kRuns; ++repeat) {
    bench.measure(options.seconds);
    one.push_back(loader_speed(config, dataset, augmenter, 1, options.seconds));
    many.push_back(loader_speed(config, dataset, augmenter, threads, options.seconds));
    if (options.peers) {
      for (const Json& row : peer_rows(config, *dataset, options.seconds)) {
        auto found = std::find_if(peers.begin(), peers.end(), [&](const Json& other) {
          return other.at("name") == row.at("name");
        });
        if (found == peers.end()) {
          peers.push_back({{"name", row.at("name")}, {"images_per_s_runs", Json::array()}});
          found = std::prev(peers.end());
        }
        (*found)["images_per_s_runs"].push_back(row.at("images_per_s"));
      }
    }
  }

  const std::array<const Stage*, 4> stages = {&bench.read, &bench.decode, &bench.sample,
                                              &bench.render};
  const auto images = static_cast<double>(bench.images());
  double total = 0.0;
  for (const Stage* stage : stages) total += stage->seconds / images;
  std::vector<std::vector<std::string>> table = {{"stage, one thread", "us an image", "share"}};
  const Stage* bound = stages[0];
  for (const Stage* stage : stages) {
    table.push_back({stage->name, fmt::format("{:.1f}", 1e6 * stage->seconds / images),
                     percent(stage->seconds / images / total)});
    if (stage->seconds > bound->seconds) bound = stage;
  }
  table.push_back({"all", fmt::format("{:.1f}", 1e6 * total), percent(1.0)});
  print_table(table);
  log_info(
      "{:.0f} images/s a core ({:.0f} views/s), bound by: {}; rendering is {:.1f}x as fast as "
      "op by op ({:.1f} us)",
      1.0 / total, bench.views() / total, bound->name,
      bench.op_by_op.seconds / bench.render.seconds, 1e6 * bench.op_by_op.seconds / images);
  std::vector<std::vector<std::string>> speeds = {{"loader", "images/s", "ratio"}};
  speeds.push_back({"1 thread", median_and_spread(one, 0), "1.00x"});
  if (threads > 1) {
    speeds.push_back({fmt::format("{} threads", threads), median_and_spread(many, 0),
                      fmt::format("{:.2f}x", median(many) / median(one))});
  }
  for (Json& peer : peers) {
    const auto runs = peer.at("images_per_s_runs").get<std::vector<double>>();
    peer["images_per_s"] = median(runs);
    speeds.push_back({peer.at("name").get<std::string>() + ", 1 thread", median_and_spread(runs, 0),
                      fmt::format("{:.3f}x", median(runs) / median(one))});
  }
  print_table(speeds);
  log_info("{} runs of {:.1f} s each, interleaved; median [least, most]", kRuns, options.seconds);
  const std::vector<Trick> tricks =
      options.tricks ? measure_tricks(config, dataset, options.seconds) : std::vector<Trick>{};
  if (options.tricks) print_table(tricks_table(tricks));
  if (options.json) {
    Json seconds = Json::object();
    for (const Stage* stage : stages) seconds[stage->name] = stage->seconds / images;
    print_json({{"images_per_s", median(many)},
                {"views_per_s", median(many) * bench.views()},
                {"threads", threads},
                {"stages", seconds},
                {"bound", bound->name},
                {"op_by_op_seconds", bench.op_by_op.seconds / images},
                {"images_per_s_one_thread", median(one)},
                {"images_per_s_one_thread_runs", one},
                {"images_per_s_runs", many},
                {"largest_difference", difference},
                {"peers", peers},
                {"tricks", tricks_json(tricks)}});
  }
}

}  // namespace

void add_bench_data_command(CLI::App& bench, Action& action) {
  auto options = std::make_shared<BenchDataOptions>();
  CLI::App* command = bench.add_subcommand(
      "data", "reading, decoding and augmenting, stage by stage, and the loader");
  command->add_option("--data", options->data, "images")->required();
  command->add_option("--config", options->config, "configuration file or preset")->required();
  command->add_option("--threads", options->threads, "loader threads (0: a core each)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_option("--seconds", options->seconds, "time of each of the runs")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  command->add_option("--set", options->sets, "key.path=value over the configuration, repeatable")
      ->allow_extra_args(false);
  command->add_flag("--peers", options->peers,
                    "also torchvision and lightly in the peers' Python, on one thread");
  command->add_flag("--tricks", options->tricks,
                    "also what each of the pipeline's tricks saves, one row a trick");
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
