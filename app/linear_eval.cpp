// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>

#include "classifier_training.h"
#include "clr/core/log.h"
#include "clr/data/text_dataset.h"
#include "clr/eval/knn.h"
#include "clr/eval/linear_probe.h"
#include "clr/eval/probe_data.h"
#include "clr/eval/statistics.h"
#include "clr/eval/tfidf.h"
#include "clr/io/drawing.h"
#include "clr/io/file.h"
#include "clr/train/run_folder.h"
#include "clr/train/run_setup.h"
#include "clr/train/trained_eval_config.h"
#include "embedding_map.h"
#include "evaluation_data.h"
#include "evaluation_result.h"
#include "feature_extraction.h"
#include "feature_geometry.h"
#include "head_file.h"
#include "knn_table.h"
#include "label_draws.h"
#include "neighbor_sheet.h"
#include "processes.h"
#include "sheet_pictures.h"

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
  ProcessOptions processes;
};

std::vector<std::int64_t> to_vector(const torch::Tensor& numbers) {
  const auto* data = numbers.const_data_ptr<std::int64_t>();
  return {data, data + numbers.numel()};
}

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

/// Texts without an encoder: their words counted, row by row as the features are.
struct CountedWords {
  SparseRows train;
  SparseRows test;

  CountedWords(const TextDataset& train_texts, const Features& train_features,
               const TextDataset& test_texts, const Features& test_features) {
    const TfIdf counts(train_texts, to_vector(train_features.indices));
    train = counts.rows(train_texts, to_vector(train_features.indices));
    test = counts.rows(test_texts, to_vector(test_features.indices));
  }
};

/// A data set that the model is judged on.
struct JudgedSet {
  std::string name;
  EvaluationData data;
  JudgedSplit train;
  JudgedSplit test;
  std::optional<CountedWords> words{};  ///< of texts

  std::int64_t classes() const { return static_cast<std::int64_t>(data.classes.size()); }
};

/// "cifar10" of /data/cifar10/train: the last part of a path that names the set and not its split.
std::string set_name(const std::string& path, const std::vector<JudgedSet>& others) {
  fs::path folder = fs::absolute(path).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  const std::set<std::string> splits = {"train", "test", "val", "training"};
  if (splits.contains(folder.filename().string()) && folder.parent_path().has_filename())
    folder = folder.parent_path();
  const std::string name = folder.has_filename() ? folder.filename().string() : "data";
  std::string unique = name;
  const auto taken = [&others, &unique](const JudgedSet& other) { return other.name == unique; };
  for (int i = 2; std::any_of(others.begin(), others.end(), taken); ++i)
    unique = fmt::format("{}_{}", name, i);
  return unique;
}

class LinearEvaluation {
 public:
  explicit LinearEvaluation(const LinearEvalOptions& options)
      : options_(options),
        source_(open_source(options.features)),
        config_(options, source_),
        extractor_(source_, config_.judging, options.features) {
    for (std::size_t i = 0; i < options.data.sets(); ++i) {
      JudgedSet set;
      set.name = set_name(options.data.train[i], sets_);
      set.data = open_evaluation_data(options.data, i, config_.judging.data, first_seed());
      sets_.push_back(std::move(set));
    }
    if (options.data.folds > 0) require_plain_folds();
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
    if (!options_.neighbors.empty() && sets_.size() > 1) {
      throw Error(ErrorKind::usage,
                  fmt::format("--neighbors: expected one data set, got {}; each has a "
                              "neighbors.png in its folder",
                              sets_.size()));
    }
    if (!options_.neighbors.empty())
      require_images(*sets_.front().data.test, options_.data.train.front(), "--neighbors");
    make_output_folder(out);
    if (sets_.size() > 1) prepare_folders(out);
    clear_evaluation(out);
    if (!options_.neighbors.empty()) prepare_sheet("--neighbors", options_.neighbors);
    add_log_file(out / "log.txt");
    const Json config = config_.sgd ? dump_value(*config_.sgd) : dump_value(extractor_.config());
    write_file_durably(out / "config.json", dump_text(config, 2) + "\n");
    if (!source_.note.empty()) log_info("{}", source_.note);
    sha256_ = extractor_.encoder_sha256();

    Json result = {{"protocol", to_string(config_.judging.probe.protocol)},
                   {"checkpoint", source_.name},
                   {"layer", to_string(extractor_.layer())}};
    if (sets_.size() == 1) {
      result.update(judge(sets_.front(), out));
    } else {
      result.update(judge_all(out));
    }
    check_unchanged(extractor_.encoder_sha256());
    result["encoder_sha256"] = sha256_;
    result["seconds"] =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    write_result(out, result);
    log_info("{} in {}", out.string(), format_duration(result["seconds"].get<double>()));
    return result;
  }

  /// Another process than the one that judges: its share of the features, and of training.
  void help() const {
    for (const JudgedSet& set : sets_) {
      extractor_.extract(set.data.train, "train features");
      if (options_.data.folds > 0) continue;
      extractor_.extract(set.data.test, "test features");
      if (!config_.sgd) continue;
      for_each_draw(draws(), [&](std::uint64_t seed, const LabelChoice& choice) {
        train_classifier(
            training_, make_subset(set.data.train, labelled_rows(choice, set.data, seed)),
            evaluation_folder(options_.out, source_, "linear_eval"), seed, /*resume=*/false);
      });
    }
  }

 private:
  /// What a fit gives, and what there is to say about it.
  struct Fit {
    LinearHead head;
    std::string title;
    Json found;
  };

  /// What one fit comes to.
  struct Judged {
    Json result;
    torch::Tensor probabilities;  ///< [test rows, classes]
    std::string title;
    std::vector<KnnResult> knn;
  };

  std::uint64_t first_seed() const { return static_cast<std::uint64_t>(options_.features.seed); }

  LabelDraws draws() const {
    return {options_.data.labels, options_.seeds, options_.data.curve, first_seed()};
  }

  /// Folds repeat a fit by themselves, with all labels but a part's.
  void require_plain_folds() const {
    const char* other = options_.seeds > 0             ? "--seeds"
                        : !options_.data.curve.empty() ? "--label-curve"
                        : options_.data.labels.str() != "all"
                            ? "--fraction, --per-class or --label-list"
                        : !options_.neighbors.empty() ? "--neighbors"
                        : config_.sgd                 ? "--protocol sgd"
                                                      : nullptr;
    if (other == nullptr) return;
    throw Error(ErrorKind::usage,
                fmt::format("--folds: expected no {} beside it; --holdout goes with that", other));
  }

  void prepare_training() {
    ClassifierOptions classifier;
    classifier.from = input_of(extractor_.layer());
    training_.run = resolve_automatic(
        classifier_run(*config_.sgd, classifier, /*frozen=*/true, source_.projector),
        extractor_.device(), options_.features.world->local_size());
    training_.init = weights_of(extractor_.model());
    training_.init_name = source_.name;
    training_.device = extractor_.device();
    training_.loader_threads = extractor_.loader_threads();
    training_.world = options_.features.world;
    config_.sgd->train = training_.run.train;
    apply_compute_settings(training_.run.train.compute_threads, training_.run.train.deterministic);
  }

  void check_unchanged(const std::string& sha256) const {
    if (sha256 != sha256_) throw std::logic_error("the encoder changed while it was judged");
  }

  /// A folder of each set, with nothing of an earlier evaluation in it.
  void prepare_folders(const fs::path& out) const {
    for (const JudgedSet& set : sets_) {
      const fs::path folder = out / set.name;
      if (holds_training(folder)) {
        throw Error(ErrorKind::usage,
                    folder.string() + ": holds a training run; choose another --out");
      }
      make_output_folder(folder);
      clear_evaluation(folder);
    }
  }

  /// Each set in a folder of its own, and a table of them.
  Json judge_all(const fs::path& out) {
    Json transfer = Json::array();
    std::vector<std::vector<std::string>> rows = {
        {"data", "classes", "train", "test", "linear top-1 [95 % interval]", "kNN"}};
    const bool texts = std::any_of(sets_.begin(), sets_.end(), [](const JudgedSet& set) {
      return as_texts(*set.data.train) != nullptr;
    });
    if (texts) rows.front().push_back("TF-IDF");
    double top1 = 0.0;
    for (JudgedSet& set : sets_) {
      log_info("{}:", set.name);
      const fs::path folder = out / set.name;
      Json result = judge(set, folder);
      write_result(folder, result);
      const auto bounds = result["ci95"].get<std::array<double, 2>>();
      top1 += result["top1"].get<double>() / static_cast<double>(sets_.size());
      rows.push_back({set.name, std::to_string(set.classes()),
                      format_count(result["train_images"].get<std::int64_t>()),
                      format_count(result["test_images"].get<std::int64_t>()),
                      percent_interval(result["top1"].get<double>(), bounds[0], bounds[1]),
                      percent(result["knn"][0]["top1"].get<double>())});
      if (texts) {
        rows.back().push_back(
            result.contains("tfidf") ? percent(result["tfidf"]["top1"].get<double>()) : "-");
      }
      for (const char* key : {"per_class", "confusion", "class_names", "most_confused", "draws"})
        result.erase(key);
      result["data"] = set.name;
      transfer.push_back(std::move(result));
      // Features of the next set need the memory.
      set.train = {};
      set.test = {};
      set.words.reset();
    }
    print_table(rows);
    return {{"top1", top1}, {"transfer", std::move(transfer)}};
  }

  /// Computes features, judges them into a folder, and says what was found.
  Json judge(JudgedSet& set, const fs::path& out) const {
    write_names(out / "holdout.txt", set.data.held_out_names);
    set.train = extract_split(extractor_, set.data.train, set.data.train_labels, "train features");
    if (options_.data.folds > 0) return cross_validate(set, out);
    set.test = extract_split(extractor_, set.data.test, set.data.test_labels, "test features");
    count_words(set);
    Json result = {{"features", set.train.features.values.size(1)},
                   {"classes", set.classes()},
                   {"test_images", set.test.labels.size(0)},
                   {"bad_images", set.train.features.bad.size() + set.test.features.bad.size()}};
    result.update(run_label_draws(
        out, draws(), [&](const fs::path& folder, std::uint64_t seed, const LabelChoice& labels) {
          return one_draw(set, folder, seed, labels);
        }));
    const World::OwnWork judging(*options_.features.world);
    result.update(judge_geometry(set.train, set.test, set.classes(), first_seed()));
    const EmbeddedImages test{*set.data.test, set.test.features};
    const EmbeddedImages train{*set.data.train, set.train.features};
    const DataConfig& config = extractor_.config().data;
    if (as_texts(*set.data.test) != nullptr) {
      write_neighbor_texts(out / "neighbors.txt", test, train);
      return result;
    }
    if (drawing_available()) write_neighbor_sheet(out / "neighbors.png", test, train, config);
    if (!options_.neighbors.empty()) write_neighbor_sheet(options_.neighbors, test, train, config);
    write_embedding_map(out, test, config);
    return result;
  }

  void count_words(JudgedSet& set) const {
    const TextDataset* train = as_texts(*set.data.train);
    if (train == nullptr) return;
    const World::OwnWork counting(*options_.features.world);
    set.words.emplace(*train, set.train.features, *as_texts(*set.data.test), set.test.features);
  }

  /// Judges each fold by a fit with the others, in FOLDER/fold_K; together these are all items.
  Json cross_validate(const JudgedSet& set, const fs::path& out) const {
    const std::int64_t folds = options_.data.folds;
    const torch::Tensor& labels = set.train.labels;
    if (folds > labels.size(0)) {
      throw Error(ErrorKind::usage,
                  fmt::format("--folds: expected at most the {} {} of {}, got {}", labels.size(0),
                              items_of(*set.data.train), set.name, folds));
    }
    const torch::Tensor fold_of =
        torch::tensor(stratified_folds(to_vector(labels), folds, first_seed()), torch::kInt64);
    const auto part = [&set](const torch::Tensor& rows) {
      const Features& all = set.train.features;
      return JudgedSplit{{all.values.index_select(0, rows),
                          all.labels.index_select(0, rows),
                          all.indices.index_select(0, rows),
                          {}},
                         set.train.labels.index_select(0, rows)};
    };
    torch::Tensor probabilities = torch::zeros({labels.size(0), set.classes()});
    Json each = Json::array();
    Json knn;  // Of all folds, each by its size.
    double counted = 0.0;
    std::vector<double> shares;
    for (std::int64_t fold = 0; fold < folds; ++fold) {
      const torch::Tensor rows = fold_of.eq(fold).nonzero().flatten();
      JudgedSet judged{set.name, set.data, part(fold_of.ne(fold).nonzero().flatten()), part(rows)};
      count_words(judged);
      const fs::path folder = out / fmt::format("fold_{}", fold + 1);
      make_output_folder(folder);
      Judged one = judge_draw(judged, folder, first_seed(), {});
      write_result(folder, one.result);
      probabilities.index_copy_(0, rows, one.probabilities);
      shares.push_back(one.result["top1"].get<double>());
      log_info("fold {} of {}: {} judged by {}: {:.1f} %", fold + 1, folds,
               format_count(rows.size(0)), format_count(labels.size(0) - rows.size(0)),
               100 * shares.back());
      each.push_back({{"fold", fold + 1},
                      {"test_images", rows.size(0)},
                      {"train_images", labels.size(0) - rows.size(0)},
                      {"top1", shares.back()}});
      const double weight = static_cast<double>(rows.size(0)) / static_cast<double>(labels.size(0));
      if (judged.words) counted += weight * one.result["tfidf"]["top1"].get<double>();
      if (fold == 0) knn = one.result["knn"];
      for (std::size_t i = 0; i < knn.size(); ++i) {
        const double before = fold == 0 ? 0.0 : knn[i]["top1"].get<double>();
        knn[i]["top1"] = before + weight * one.result["knn"][i]["top1"].get<double>();
      }
    }
    write_predictions(out / "predictions.csv", set.data.classes, *set.data.test, set.train.features,
                      labels, probabilities);
    Json result = {{"features", set.train.features.values.size(1)},
                   {"classes", set.classes()},
                   {"train_images", labels.size(0)},
                   {"test_images", labels.size(0)},
                   {"bad_images", set.train.features.bad.size()},
                   {"knn", std::move(knn)}};
    result.update(accuracies(probabilities, labels, set.data.classes));
    result["folds"] = std::move(each);
    result["deviation"] = summarize(shares).deviation;
    const auto bounds = result["ci95"].get<std::array<double, 2>>();
    std::vector<std::vector<std::string>> table = {
        {"judged by", "top-1 [95 % interval]", "deviation of folds"},
        {fmt::format("linear, {} folds", folds),
         percent_interval(result["top1"].get<double>(), bounds[0], bounds[1]),
         percent(result["deviation"].get<double>())}};
    if (as_texts(*set.data.train) != nullptr) {
      const auto own = accuracy_interval(counted, labels.size(0));
      result["tfidf"] = {{"top1", counted}, {"ci95", own}};
      table.push_back({kWordsTitle, percent_interval(counted, own[0], own[1]), ""});
    }
    print_table(table);
    return result;
  }

  Fit fit_by_lbfgs(const JudgedSet& set, const torch::Tensor& features, const torch::Tensor& labels,
                   std::uint64_t seed) const {
    ProbeConfig probe = extractor_.config().probe;
    const bool by_default = probe.l2.automatic && !can_hold_out(labels);
    // scikit-learn's C = 1.
    if (by_default) probe.l2 = {false, 0.5 / static_cast<double>(labels.size(0))};
    const ProbeFit fit = fit_linear_probe(features, labels, set.classes(), probe, seed);
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
      found["chosen_by"] = "validation_top1";
    } else if (by_default) {
      found["chosen_by"] = "default";
    }
    return {fit.head, fmt::format("linear, l2 {:.3g}", fit.l2), std::move(found)};
  }

  Fit fit_by_heads(const JudgedSet& set, const torch::Tensor& features, const torch::Tensor& labels,
                   std::uint64_t seed) const {
    const ProbeConfig& probe = extractor_.config().probe;
    const ProbeHeadsFit fit = can_hold_out(labels)
                                  ? fit_probe_heads(features, labels, set.classes(), probe.heads,
                                                    probe.standardize, probe.validation, seed)
                                  : fit_middle_head(features, labels, set.classes(), probe.heads,
                                                    probe.standardize, seed);
    if (!fit.last.weight.isfinite().all().item<bool>()) {
      throw Error(
          ErrorKind::diverged,
          fmt::format("probe.heads: expected a classifier of finite weights, got others with "
                      "a learning rate of {:g}; lower probe.heads.learning_rates",
                      fit.tried[fit.selected].learning_rate));
    }
    Json heads = Json::array();
    if (fit.held_out > 0) {
      for (const ProbeHeadTrial& trial : fit.tried) {
        heads.push_back({{"learning_rate", trial.learning_rate},
                         {"weight_decay", trial.weight_decay},
                         {"validation_top1", trial.last_top1},
                         {"best_validation_top1", trial.best_top1},
                         {"best_epoch", trial.best_epoch}});
      }
    }
    const ProbeHeadTrial& selected = fit.tried[fit.selected];
    const double best = top_k_accuracy(predict_probabilities(fit.best, set.test.features.values),
                                       set.test.labels, 1);
    const auto bounds = accuracy_interval(best, set.test.labels.size(0));
    if (fit.held_out > 0) {
      log_info("best epoch {} of {} by {} held-out images: {} on the test images",
               selected.best_epoch, probe.heads.epochs, format_count(fit.held_out),
               percent_interval(best, bounds[0], bounds[1]));
    }
    return {fit.last,
            fmt::format("linear, rate {:g}, decay {:g}, last epoch", selected.learning_rate,
                        selected.weight_decay),
            {{"heads", std::move(heads)},
             {"selected_head", fit.selected},
             {"chosen_by", fit.held_out > 0 ? "validation_top1" : "default"},
             {"validation_images", fit.held_out},
             {"learning_rate", selected.learning_rate},
             {"weight_decay", selected.weight_decay},
             {"epochs", probe.heads.epochs},
             {"best_epoch", {{"epoch", selected.best_epoch}, {"top1", best}, {"ci95", bounds}}}}};
  }

  /// Trains in FOLDER/training, which holds nothing to keep but the course of the training.
  Fit fit_by_sgd(const JudgedSet& set, const fs::path& folder,
                 const std::vector<std::int64_t>& wanted, std::uint64_t seed) const {
    const fs::path training_folder = folder / "training";
    std::error_code ignored;
    fs::remove_all(training_folder, ignored);
    make_output_folder(training_folder);
    const std::shared_ptr<const Dataset> labelled = make_subset(set.data.train, wanted);
    const TrainedClassifier trained =
        train_classifier(training_, labelled, training_folder, seed, /*resume=*/false);
    check_unchanged(tensors_sha256(*trained.model.encoder));
    fs::remove_all(training_folder / "checkpoints", ignored);
    const RunConfig run = training_.of_draw(labelled->size(), seed);
    return {trained.head,
            fmt::format("linear, {}", plural(run.train.epochs, "epoch")),
            {{"epochs", trained.training.epochs},
             {"steps", trained.training.steps},
             {"loss", trained.training.loss},
             {"batch_size", run.train.batch_size},
             {"effective_learning_rate",
              effective_learning_rate(shared_options(run.optimizer), run.train.batch_size)}}};
  }

  Fit fit(const JudgedSet& set, const fs::path& folder, const std::vector<std::int64_t>& wanted,
          const torch::Tensor& features, const torch::Tensor& labels, std::uint64_t seed) const {
    const ProbeProtocol protocol = config_.judging.probe.protocol;
    if (protocol == ProbeProtocol::sgd) return fit_by_sgd(set, folder, wanted, seed);
    const World::OwnWork fitting(*options_.features.world);
    return protocol == ProbeProtocol::heads ? fit_by_heads(set, features, labels, seed)
                                            : fit_by_lbfgs(set, features, labels, seed);
  }

  /// Fits and judges with the labels of one draw, says so, and writes its head and predictions.
  Json one_draw(const JudgedSet& set, const fs::path& folder, std::uint64_t seed,
                const LabelChoice& choice) const {
    Judged judged = judge_draw(set, folder, seed, choice);
    print_draw(set, judged, folder);
    return std::move(judged.result);
  }

  /// The same, but for the word.
  Judged judge_draw(const JudgedSet& set, const fs::path& folder, std::uint64_t seed,
                    const LabelChoice& choice) const {
    const std::vector<std::int64_t> wanted = labelled_rows(choice, set.data, seed);
    const torch::Tensor rows = rows_of(set.train.features, wanted);
    const torch::Tensor features = set.train.features.values.index_select(0, rows);
    const torch::Tensor labels = set.train.labels.index_select(0, rows);
    const Fit found = fit(set, folder, wanted, features, labels, seed);
    const World::OwnWork judging(*options_.features.world);
    const torch::Tensor probabilities = predict_probabilities(found.head, set.test.features.values);
    auto knn = knn_grid(features, labels, set.test.features.values, set.test.labels, set.classes(),
                        extractor_.config().knn);

    write_predictions(folder / "predictions.csv", set.data.classes, *set.data.test,
                      set.test.features, set.test.labels, probabilities);
    write_head(folder, {found.head, set.data.classes, extractor_.layer(), sha256_,
                        source_.random ? "random" : source_.name, extractor_.config()});
    Json result = accuracies(probabilities, set.test.labels, set.data.classes);
    result["knn"] = knn_json(knn);
    if (set.words) {
      // C as in test/peers/text_tfidf.py, for rows of length 1.
      const torch::Tensor counted = sparse_logistic_regression(
          set.words->train.select(to_vector(rows)), labels, set.classes(), 10.0, set.words->test);
      const double top1 = top_k_accuracy(counted, set.test.labels, 1);
      result["tfidf"] = {{"top1", top1}, {"ci95", accuracy_interval(top1, counted.size(0))}};
    }
    result["train_images"] = rows.size(0);
    result.update(found.found);
    result["seed"] = seed;
    return {std::move(result), probabilities, found.title, std::move(knn)};
  }

  void print_draw(const JudgedSet& set, const Judged& judged, const fs::path& folder) const {
    const Json& result = judged.result;
    const auto images = result["train_images"].get<std::int64_t>();
    if (folder.filename().string().starts_with("seed_")) {  // run_label_draws sums them up
      log_info("{} labels drawn with seed {}: {}: {:.1f} %", format_count(images),
               result["seed"].get<std::uint64_t>(), judged.title,
               100 * result["top1"].get<double>());
      return;
    }
    const auto bounds = result["ci95"].get<std::array<double, 2>>();
    log_info("{0} labelled training {3}, {1} test {3}, {2} classes", format_count(images),
             format_count(set.test.labels.size(0)), set.classes(), items_of(*set.data.train));
    std::vector<std::vector<std::string>> table = {
        {"judged by", "top-1 [95 % interval]"},
        {judged.title, percent_interval(result["top1"].get<double>(), bounds[0], bounds[1])}};
    if (result.contains("tfidf")) {
      const auto own = result["tfidf"]["ci95"].get<std::array<double, 2>>();
      table.push_back(
          {kWordsTitle, percent_interval(result["tfidf"]["top1"].get<double>(), own[0], own[1])});
    }
    print_table(table);
    print_knn_table(judged.knn);
  }

  LinearEvalOptions options_;
  ModelSource source_;
  ProtocolConfig config_;
  FeatureExtractor extractor_;
  std::vector<JudgedSet> sets_;
  ClassifierTraining training_;  ///< of the sgd protocol
  std::string sha256_;
};

void run(LinearEvalOptions options) {
  Json alike = described_draws(options.data, options.seeds);
  alike["--layer"] = to_string(options.features.layer);
  alike["--train"] = options.data.sets();
  alike["--protocol"] = options.protocol;
  alike["--folds"] = options.data.folds;
  options.features.world = join_processes(options.processes, "linear-eval", std::move(alike));
  LinearEvaluation evaluation(options);
  if (!options.features.world->leads()) return evaluation.help();
  const Json result = evaluation.run();
  if (options.json) print_json(result);
}

}  // namespace

void add_linear_eval_command(CLI::App& program, Action& action) {
  auto options = std::make_shared<LinearEvalOptions>();
  CLI::App* command = program.add_subcommand(
      "linear-eval", "judge frozen features: linear classifier and nearest neighbours");
  options->features.add_to(*command);
  options->data.add_to(*command, /*several=*/true);
  command
      ->add_option(
          "--protocol", options->protocol,
          "lbfgs: logistic regression on cached features; heads: gradient descent on them, a "
          "grid of rates and decays at once; sgd: SimCLR's, gradient descent on augmented "
          "images (default: lbfgs)")
      ->check(CLI::IsMember(enum_strings<ProbeProtocol>()));
  command
      ->add_option("--seeds", options->seeds,
                   "repeat with this many draws of labels; mean and deviation")
      ->check(CLI::Range(1, 1000));
  command->add_option("--out", options->out, "folder for the result (default: RUN/linear_eval)");
  command->add_option("--neighbors", options->neighbors,
                      "FILE.png: some test images, each beside the training images most like it");
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  options->processes.add_to(*command);
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
