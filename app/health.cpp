// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>

#include "clr/core/log.h"
#include "clr/core/progress.h"
#include "clr/data/bad_images.h"
#include "clr/eval/embedding_health.h"
#include "clr/eval/features.h"
#include "clr/eval/statistics.h"
#include "clr/train/health_monitor.h"
#include "clr/train/run_setup.h"
#include "feature_extraction.h"

namespace clr {
namespace {

struct HealthOptions {
  FeatureOptions features;
  std::string data;
  std::string views;
  std::int64_t images = 2000;
  bool json = false;
};

/// h or z of one network.
struct Measured {
  std::int64_t dimension = 0;
  EmbeddingHealth health;
  ViewSimilarity similarity;
};

struct Layers {
  std::string name;
  Measured h;
  std::optional<Measured> z;
  std::int64_t images = 0;
  bool labelled = false;
};

Measured measure(const torch::Tensor& views, const torch::Tensor& labels) {
  return {views.size(2), embedding_health(views), view_similarity(views, labels)};
}

/// What makes the two views.
ViewPlan views_of(const HealthOptions& options, const ModelSource& source) {
  ViewPlan plan;
  if (!options.views.empty()) {
    plan = training_views(read_run_config(load_config(options.views, "pretrain")));
  } else if (!source.views.is_null() && !source.text.is_null()) {
    read_value(source.views, Place(source.name + ": text"), plan.text.emplace());
  } else if (!source.views.is_null()) {
    read_value(source.views, Place(source.name + ": augment"), plan.augment);
  } else {
    throw Error(ErrorKind::usage,
                fmt::format("{}: expected the views that it was trained on, which a file without a "
                            "configuration does not say; name a training configuration with "
                            "--views, simclr_imagenet say",
                            source.name));
  }
  if (plan.text && !source.text.is_null()) {
    // Other views, the model's own tokens.
    TextConfig own;
    read_value(source.text, Place(source.name + ": text"), own);
    own.views = plan.text->views;
    plan.text = std::move(own);
    take_vocabulary(source, *plan.text);
  }
  return two_views(std::move(plan));
}

class HealthCheck {
 public:
  explicit HealthCheck(const HealthOptions& options)
      : options_(options),
        source_(open_source(options.features)),
        views_(views_of(options, source_)),
        config_(read_eval_config(evaluation_document(options.features, source_))) {
    // Bad images are no reason to measure nothing.
    if (config_.data.on_error == OnError::replace) config_.data.on_error = OnError::skip;
    const std::shared_ptr<const Dataset> all = open_dataset(options.data, config_.data);
    const std::int64_t count = std::min(options.images, all->size());
    std::vector<std::int64_t> rows;
    // Evenly chosen: folders come class by class.
    for (std::int64_t i = 0; i < count; ++i) rows.push_back(i * all->size() / count);
    images_ = make_subset(all, rows);
  }

  Json run() {
    const auto start = std::chrono::steady_clock::now();
    if (!source_.note.empty()) log_info("{}", source_.note);
    const FeatureExtractor own(source_, config_, options_.features);
    const Layers measured = layers(own, source_.random ? "random weights" : "this checkpoint");
    std::optional<Layers> random;
    if (!source_.random) {
      ModelSource other = source_;
      other.random = true;
      other.weights = {};
      const FeatureExtractor untrained(other, config_, options_.features);
      random = layers(untrained, "random weights");
    }
    print(measured, random);
    Json result = {{"checkpoint", source_.name},
                   {"images", measured.images},
                   {"layers", json_of(measured)},
                   {"verdict", verdict(measured, random)}};
    if (random) result["random_weights"] = json_of(*random);
    result["encoder_sha256"] = own.encoder_sha256();
    result["seconds"] =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return result;
  }

 private:
  Layers layers(const FeatureExtractor& extractor, const std::string& name) const {
    LoaderOptions loader;
    loader.batch_size =
        std::min(std::max<std::int64_t>(1, config_.train.batch_size / 2), images_->size());
    loader.threads = extractor.loader_threads();
    loader.layout = extractor.config().train.memory_format == MemoryFormat::channels_last
                        ? PixelLayout::interleaved
                        : PixelLayout::planar;
    loader.data = config_.data;
    loader.data.cache = CacheMode::none;
    const auto batches = make_loader(images_, views_, loader);
    const FeatureModel& model = extractor.model();
    Progress progress(name, images_->size());
    const Features features = extract_features(
        *batches, *images_, extractor.device(),
        [&model](const torch::Tensor& input) {
          return two_view_rows(*model.encoder, model.projector.get(), input);
        },
        [&progress](std::int64_t done) { progress.update(done); });
    progress.finish();
    BadImages(images_->size(), config_.data.max_bad).add(features.bad);
    if (features.values.size(0) < 2) {
      throw Error(ErrorKind::data, fmt::format("{}: expected at least two readable images, got {}",
                                               options_.data, features.values.size(0)));
    }
    Layers result;
    result.name = name;
    result.images = features.values.size(0);
    result.labelled = images_->labelled();
    const torch::Tensor labels = result.labelled ? features.labels : torch::Tensor();
    const TwoViews views = split_views(features.values, model.encoder->feature_dim());
    result.h = measure(views.h, labels);
    if (views.z.defined()) result.z = measure(views.z, labels);
    return result;
  }

  static Json json_of(const Measured& measured, bool labelled) {
    Json similarity = {{"bins", {{"from", -1}, {"to", 1}, {"count", ViewSimilarity::kBins}}},
                       {"positives", measured.similarity.positives},
                       {"negatives", measured.similarity.negatives},
                       {"positive_mean", measured.similarity.positive_mean},
                       {"negative_mean", measured.similarity.negative_mean},
                       {"nearer_negatives", measured.similarity.nearer_negatives}};
    if (labelled) similarity["nearer_same_class"] = measured.similarity.nearer_same_class;
    return {{"dimension", measured.dimension},          {"alignment", measured.health.alignment},
            {"uniformity", measured.health.uniformity}, {"deviation", measured.health.deviation},
            {"rank", measured.health.effective_rank},   {"alpha", measured.health.alpha},
            {"similarity", std::move(similarity)}};
  }

  static Json json_of(const Layers& layers) {
    Json result = {{"h", json_of(layers.h, layers.labelled)}};
    if (layers.z) result["z"] = json_of(*layers.z, layers.labelled);
    return result;
  }

  void print(const Layers& measured, const std::optional<Layers>& random) const {
    log_info("{} images of {}, two views each", format_count(measured.images), options_.data);
    const auto table = [&](const std::string& layer, const Measured& own, const Measured* other) {
      std::vector<std::vector<std::string>> rows = {
          {fmt::format("{}, {} dimensions", layer, own.dimension), measured.name}};
      if (other != nullptr) rows.front().push_back(random->name);
      const auto row = [&](const char* name, const char* format, auto value) {
        std::vector<std::string> cells = {name, fmt::format(fmt::runtime(format), value(own))};
        if (other != nullptr) cells.push_back(fmt::format(fmt::runtime(format), value(*other)));
        rows.push_back(std::move(cells));
      };
      row("alignment, of views (0: one point)", "{:.3f}",
          [](const Measured& m) { return m.health.alignment; });
      row("uniformity (0: one point, -4: even)", "{:.3f}",
          [](const Measured& m) { return m.health.uniformity; });
      row("deviation, of 1 / sqrt(D) (0: one point, 1: even)", "{:.3f}", [](const Measured& m) {
        return m.health.deviation * std::sqrt(static_cast<double>(m.dimension));
      });
      row("RankMe, directions in use", "{:.1f}",
          [](const Measured& m) { return m.health.effective_rank; });
      row("alpha-ReQ, decay of the spectrum (best near 1)", "{:.2f}",
          [](const Measured& m) { return m.health.alpha; });
      row("cosine of positives, mean", "{:.3f}",
          [](const Measured& m) { return m.similarity.positive_mean; });
      row("cosine of negatives, mean", "{:.3f}",
          [](const Measured& m) { return m.similarity.negative_mean; });
      row("negatives nearer than the positive, %", "{:.3f}",
          [](const Measured& m) { return 100 * m.similarity.nearer_negatives; });
      if (measured.labelled) {
        row("of these of the same class, %", "{:.1f}",
            [](const Measured& m) { return 100 * m.similarity.nearer_same_class; });
      }
      print_table(rows);
    };
    table("h", measured.h, random ? &random->h : nullptr);
    if (measured.z) table("z", *measured.z, random && random->z ? &*random->z : nullptr);
    print_histogram(measured.z ? *measured.z : measured.h, measured.z ? "z" : "h");
    log_info("{}", verdict(measured, random));
  }

  /// Cosines in twenty steps; bars of both on one scale each.
  static void print_histogram(const Measured& measured, const char* layer) {
    constexpr int kStep = 2;
    const ViewSimilarity& similarity = measured.similarity;
    const auto bar = [](const std::vector<double>& shares, int bin) {
      const auto part = [&shares](int i) {
        return shares[static_cast<std::size_t>(i)] + shares[static_cast<std::size_t>(i + 1)];
      };
      double most = 1e-12;
      for (int i = 0; i < ViewSimilarity::kBins; i += kStep) most = std::max(most, part(i));
      return std::string(static_cast<std::size_t>(std::lround(24 * part(bin) / most)), '#');
    };
    std::vector<std::vector<std::string>> rows;
    for (int i = 0; i < ViewSimilarity::kBins; i += kStep) {
      rows.push_back({fmt::format("{:5.1f}", -1.0 + 2.0 * i / ViewSimilarity::kBins),
                      fmt::format("{:<24}", bar(similarity.positives, i)),
                      bar(similarity.negatives, i)});
    }
    log_info("cosines of {}:", layer);
    log_info("   from  {:<24}  {}", "positives", "negatives");
    for (const auto& row : rows) log_info("  {}  {}  {}", row[0], row[1], row[2]);
  }

  static std::string verdict(const Layers& measured, const std::optional<Layers>& random) {
    const Measured& own = measured.z ? *measured.z : measured.h;
    const char* layer = measured.z ? "z" : "h";
    const double even = own.health.deviation * std::sqrt(static_cast<double>(own.dimension));
    if (own.health.effective_rank < 1.5 || even < 0.02) {
      return fmt::format("collapsed: {} has rank {:.1f} and {:.1f} % of an even spread", layer,
                         own.health.effective_rank, 100 * even);
    }
    if (!random) return "random weights: what training starts from";
    const double rank = measured.h.health.effective_rank;
    const double before = random->h.health.effective_rank;
    if (rank < before && measured.h.health.uniformity > random->h.health.uniformity) {
      return fmt::format(
          "no better than random weights: h has rank {:.1f} ({:.1f}) and is no more even", rank,
          before);
    }
    return fmt::format(
        "no collapse: h uses {:.1f} directions ({:.1f} with random weights), of {} possible", rank,
        before, std::min(measured.h.dimension, measured.images));
  }

  HealthOptions options_;
  ModelSource source_;
  ViewPlan views_;
  EvalConfig config_;
  std::shared_ptr<const Dataset> images_;
};

void run(const HealthOptions& options) {
  const Json result = HealthCheck(options).run();
  if (options.json) print_json(result);
}

}  // namespace

void add_health_command(CLI::App& program, Action& action) {
  auto options = std::make_shared<HealthOptions>();
  CLI::App* command = program.add_subcommand(
      "health", "how a model's embeddings lie, without labels, beside random weights");
  options->features.add_to(*command);
  command->add_option("--data", options->data, "images; labels are used where there are any")
      ->required();
  command->add_option("--views", options->views,
                      "training configuration whose views are taken (default: the checkpoint's)");
  command->add_option("--images", options->images, "most images that are looked at")
      ->check(CLI::Range(2, 100000))
      ->capture_default_str();
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
