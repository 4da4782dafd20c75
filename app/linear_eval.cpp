// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>

#include "classifier_training.h"
#include "clr/core/log.h"
#include "clr/eval/knn.h"
#include "clr/eval/linear_probe.h"
#include "clr/io/file.h"
#include "clr/train/run_folder.h"
#include "clr/train/run_setup.h"
#include "clr/train/trained_eval_config.h"
#include "evaluation_data.h"
#include "evaluation_result.h"
#include "feature_extraction.h"
#include "head_file.h"
#include "neighbor_sheet.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

struct LinearEvalOptions {
  FeatureOptions features;
  EvaluationDataOptions data;
  std::string protocol;  ///< empty: the configuration's
  std::int64_t seeds = 0;
  std::string out;
  std::string neighbors;
  bool json = false;
};

/// Rows of the features that hold the given dataset indices.
torch::Tensor rows_of(const Features& features, const std::vector<std::int64_t>& wanted) {
  const std::set<std::int64_t> set(wanted.begin(), wanted.end());
  std::vector<std::int64_t> rows;
  const auto* indices = features.indices.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < features.indices.size(0); ++i) {
    if (set.contains(indices[i])) rows.push_back(i);
  }
  return torch::tensor(rows, torch::kInt64);
}

Json knn_json(const std::vector<KnnResult>& results) {
  Json list = Json::array();
  for (const KnnResult& result : results) {
    list.push_back(
        {{"k", result.k}, {"weighting", to_string(result.weighting)}, {"top1", result.top1}});
  }
  return list;
}

ClassifierInput input_of(FeatureLayer layer) {
  switch (layer) {
    case FeatureLayer::projection:
      return ClassifierInput::projector;
    case FeatureLayer::projector_1:
      return ClassifierInput::projector_1;
    case FeatureLayer::feature:
      break;
  }
  return ClassifierInput::encoder;
}

/// The configuration of whichever protocol is wanted, read as strictly as that one reads.
struct ProtocolConfig {
  EvalConfig judging;
  std::optional<LinearSgdConfig> sgd;

  ProtocolConfig(const LinearEvalOptions& options, const ModelSource& source) {
    ConfigDocument document = evaluation_document(options.features, source);
    if (!options.protocol.empty()) document.set("probe.protocol=" + options.protocol);
    if (eval_kind(document) != EvalKind::linear_sgd) {
      judging = read_eval_config(document);
      return;
    }
    sgd = read_linear_sgd_config(over_recipe(kLinearSgdRecipe, document));
    sgd->train.seed = options.features.seed;
    judging = judging_config(*sgd);
  }
};

class LinearEvaluation {
 public:
  explicit LinearEvaluation(const LinearEvalOptions& options)
      : options_(options),
        source_(open_source(options.features)),
        config_(options, source_),
        extractor_(source_, config_.judging, options.features),
        data_(open_evaluation_data(options.data, config_.judging.data,
                                   static_cast<std::uint64_t>(options.features.seed))) {
    if (config_.sgd) prepare_training();
    // The extractor has its own copy.
    source_.weights = {};
  }

  Json run() {
    const auto start = std::chrono::steady_clock::now();
    const fs::path out = evaluation_folder(options_.out, source_, "linear_eval");
    if (holds_training(out)) {
      throw Error(
          ErrorKind::usage,
          out.string() + ": holds a training run; choose another --out (default: RUN/linear_eval)");
    }
    make_output_folder(out);
    if (!options_.neighbors.empty()) prepare_neighbor_sheet(options_.neighbors);
    add_log_file(out / "log.txt");
    const Json config = config_.sgd ? dump_value(*config_.sgd) : dump_value(extractor_.config());
    write_file_durably(out / "config.json", dump_text(config, 2) + "\n");
    write_names(out / "holdout.txt", data_.held_out_names);
    if (!source_.note.empty()) log_info("{}", source_.note);
    sha256_ = extractor_.encoder_sha256();
    train_ = extract_split(extractor_, data_.train, data_.train_labels, "train features");
    test_ = extract_split(extractor_, data_.test, data_.test_labels, "test features");

    Json result = {{"protocol", to_string(config_.judging.probe.protocol)},
                   {"checkpoint", source_.name},
                   {"layer", to_string(extractor_.layer())},
                   {"features", train_.features.values.size(1)},
                   {"classes", data_.classes.size()},
                   {"test_images", test_.labels.size(0)}};
    result.update(run_draws(
        out, options_.seeds, static_cast<std::uint64_t>(options_.features.seed),
        [this](const fs::path& folder, std::uint64_t seed) { return one_draw(folder, seed); }));
    if (!options_.neighbors.empty()) {
      write_neighbor_sheet(options_.neighbors, {*data_.test, test_.features},
                           {*data_.train, train_.features}, extractor_.config().data);
    }
    check_unchanged(extractor_.encoder_sha256());
    result["encoder_sha256"] = sha256_;
    result["bad_images"] = train_.features.bad.size() + test_.features.bad.size();
    result["seconds"] =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    write_result(out, result);
    log_info("{} in {}", out.string(), format_duration(result["seconds"].get<double>()));
    return result;
  }

 private:
  /// What a fit gives, and what there is to say about it.
  struct Fit {
    LinearHead head;
    std::string title;
    Json found;
  };

  void prepare_training() {
    ClassifierOptions classifier;
    classifier.from = input_of(extractor_.layer());
    training_.run = resolve_automatic(
        classifier_run(*config_.sgd, classifier, /*frozen=*/true, source_.projector),
        extractor_.device());
    training_.init = weights_of(extractor_.model());
    training_.init_name = source_.name;
    training_.device = extractor_.device();
    training_.loader_threads = extractor_.loader_threads();
    config_.sgd->train = training_.run.train;
    apply_compute_settings(training_.run.train.compute_threads, training_.run.train.deterministic);
  }

  void check_unchanged(const std::string& sha256) const {
    if (sha256 != sha256_) throw std::logic_error("the encoder changed while it was judged");
  }

  Fit fit_by_lbfgs(const torch::Tensor& features, const torch::Tensor& labels,
                   std::uint64_t seed) const {
    const ProbeFit fit =
        fit_linear_probe(features, labels, static_cast<std::int64_t>(data_.classes.size()),
                         extractor_.config().probe, seed);
    if (!fit.converged) {
      log_warning(
          "the linear classifier had not converged after {} iterations; raise probe.max_iterations",
          fit.iterations);
    }
    Json found = {{"l2", fit.l2},
                  {"objective", fit.objective},
                  {"iterations", fit.iterations},
                  {"converged", fit.converged}};
    if (!fit.tried.empty()) {
      Json tried = Json::array();
      for (const auto& [l2, accuracy] : fit.tried) {
        tried.push_back({{"l2", l2}, {"validation_top1", accuracy}});
      }
      found["l2_tried"] = std::move(tried);
    }
    return {fit.head, fmt::format("linear, l2 {:.3g}", fit.l2), std::move(found)};
  }

  /// Trains in FOLDER/training, which holds nothing to keep but the course of the training.
  Fit fit_by_sgd(const fs::path& folder, const std::vector<std::int64_t>& wanted,
                 std::uint64_t seed) const {
    const fs::path training_folder = folder / "training";
    std::error_code ignored;
    fs::remove_all(training_folder, ignored);
    make_output_folder(training_folder);
    const std::shared_ptr<const Dataset> labelled = make_subset(data_.train, wanted);
    const TrainedClassifier trained =
        train_classifier(training_, labelled, training_folder, seed, /*resume=*/false);
    check_unchanged(tensors_sha256(*trained.model.encoder));
    fs::remove_all(training_folder / "checkpoints", ignored);
    const RunConfig run = training_.of_draw(labelled->size(), seed);
    return {trained.head,
            fmt::format("linear, {} epochs", run.train.epochs),
            {{"epochs", trained.training.epochs},
             {"steps", trained.training.steps},
             {"loss", trained.training.loss},
             {"batch_size", run.train.batch_size},
             {"effective_learning_rate",
              effective_learning_rate(shared_options(run.optimizer), run.train.batch_size)}}};
  }

  /// Fits and judges with the labels of one draw, and writes its head and predictions.
  Json one_draw(const fs::path& folder, std::uint64_t seed) const {
    const std::vector<std::int64_t> wanted = labelled_rows(options_.data, data_, seed);
    const torch::Tensor rows = rows_of(train_.features, wanted);
    const torch::Tensor features = train_.features.values.index_select(0, rows);
    const torch::Tensor labels = train_.labels.index_select(0, rows);
    const Fit fit =
        config_.sgd ? fit_by_sgd(folder, wanted, seed) : fit_by_lbfgs(features, labels, seed);
    const torch::Tensor probabilities = predict_probabilities(fit.head, test_.features.values);
    const auto knn =
        knn_grid(features, labels, test_.features.values, test_.labels,
                 static_cast<std::int64_t>(data_.classes.size()), extractor_.config().knn);

    write_predictions(folder / "predictions.csv", data_.classes, *data_.test, test_.features,
                      test_.labels, probabilities);
    write_head(folder, {fit.head, data_.classes, extractor_.layer(), sha256_,
                        source_.random ? "random" : source_.name, extractor_.config()});
    Json result = accuracies(probabilities, test_.labels);
    result["knn"] = knn_json(knn);
    result["train_images"] = rows.size(0);
    result.update(fit.found);
    result["seed"] = seed;
    print_draw(result, fit.title, knn, rows.size(0));
    return result;
  }

  void print_draw(const Json& result, const std::string& title, const std::vector<KnnResult>& knn,
                  std::int64_t images) const {
    const std::int64_t total = test_.labels.size(0);
    if (options_.seeds > 0) {  // run_draws sums them up
      log_info("{} labels drawn with seed {}: {}: {:.1f} %", format_count(images),
               result["seed"].get<std::uint64_t>(), title, 100 * result["top1"].get<double>());
      return;
    }
    std::vector<std::vector<std::string>> rows = {{"judged by", "top-1 [95 % interval]"}};
    const auto add = [&rows, total](const std::string& name, double top1) {
      const auto bounds = accuracy_interval(top1, total);
      rows.push_back({name, percent_interval(top1, bounds[0], bounds[1])});
    };
    add(title, result["top1"].get<double>());
    for (const KnnResult& found : knn) {
      add(fmt::format("kNN, k {}, {}", found.k, to_string(found.weighting)), found.top1);
    }
    log_info("{} labelled training images, {} test images, {} classes", format_count(images),
             format_count(total), data_.classes.size());
    print_table(rows);
  }

  LinearEvalOptions options_;
  ModelSource source_;
  ProtocolConfig config_;
  FeatureExtractor extractor_;
  EvaluationData data_;
  ClassifierTraining training_;  ///< of the sgd protocol
  std::string sha256_;
  JudgedSplit train_;
  JudgedSplit test_;
};

void run(const LinearEvalOptions& options) {
  const Json result = LinearEvaluation(options).run();
  if (options.json) print_json(result);
}

}  // namespace

void add_linear_eval_command(CLI::App& program, Action& action) {
  auto options = std::make_shared<LinearEvalOptions>();
  CLI::App* command = program.add_subcommand(
      "linear-eval", "judge frozen features: linear classifier and nearest neighbours");
  options->features.add_to(*command);
  options->data.add_to(*command);
  command
      ->add_option("--protocol", options->protocol,
                   "lbfgs: logistic regression on cached features; sgd: SimCLR's, gradient descent "
                   "on augmented images (default: lbfgs)")
      ->check(CLI::IsMember(enum_strings<ProbeProtocol>()));
  command
      ->add_option("--seeds", options->seeds,
                   "repeat with this many draws of labels; mean and deviation")
      ->check(CLI::Range(1, 1000));
  command->add_option("--out", options->out, "folder for the result (default: RUN/linear_eval)");
  command->add_option("--neighbors", options->neighbors,
                      "FILE.png: some test images, each beside the training images most like it");
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
