// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>
#include <set>

#include "clr/core/log.h"
#include "clr/eval/knn.h"
#include "clr/eval/linear_probe.h"
#include "clr/eval/statistics.h"
#include "clr/io/file.h"
#include "clr/train/run_folder.h"
#include "csv.h"
#include "evaluation_data.h"
#include "feature_extraction.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

struct LinearEvalOptions {
  FeatureOptions features;
  EvaluationDataOptions data;
  std::string protocol = "lbfgs";
  std::int64_t seeds = 0;
  std::string out;
  bool json = false;
};

/// Features and labels of one split, row by row.
struct JudgedSplit {
  Features features;
  torch::Tensor labels;  ///< [n] in the training set's numbering
};

/// Row i of the features belongs to dataset index indices[i]: bad images may have been left out.
torch::Tensor labels_of(const Features& features, const std::vector<std::int64_t>& labels) {
  const torch::Tensor all = torch::tensor(labels, torch::kInt64);
  return all.index_select(0, features.indices);
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

Json knn_json(const std::vector<KnnResult>& results) {
  Json list = Json::array();
  for (const KnnResult& result : results) {
    list.push_back(
        {{"k", result.k}, {"weighting", to_string(result.weighting)}, {"top1", result.top1}});
  }
  return list;
}

/// What all draws have, averaged: accuracies and numbers of images.
Json mean_of(const Json& draws) {
  const auto count = static_cast<double>(draws.size());
  Json mean = {{"top1", 0.0},
               {"top5", 0.0},
               {"knn", draws[0]["knn"]},
               {"train_images", draws[0]["train_images"]}};
  for (Json& entry : mean["knn"]) entry["top1"] = 0.0;
  const auto add = [count](Json& sum, const Json& value) {
    sum = sum.get<double>() + value.get<double>() / count;
  };
  for (const Json& draw : draws) {
    for (const char* key : {"top1", "top5"}) add(mean[key], draw[key]);
    for (std::size_t i = 0; i < mean["knn"].size(); ++i)
      add(mean["knn"][i]["top1"], draw["knn"][i]["top1"]);
  }
  return mean;
}

void write_predictions(const fs::path& path, const EvaluationData& data, const Features& features,
                       const torch::Tensor& labels, const torch::Tensor& probabilities) {
  std::string text = "name,label,prediction";
  for (const auto& name : data.classes) text += "," + csv_field("p_" + name);
  text += "\n";
  const torch::Tensor predicted = probabilities.argmax(1);
  for (std::int64_t i = 0; i < probabilities.size(0); ++i) {
    const auto name_of = [&](const torch::Tensor& numbers) {
      return csv_field(data.classes[static_cast<std::size_t>(numbers[i].item<std::int64_t>())]);
    };
    text += csv_field(data.test->name(features.indices[i].item<std::int64_t>())) + "," +
            name_of(labels) + "," + name_of(predicted);
    const torch::Tensor row = probabilities[i];
    const float* values = row.const_data_ptr<float>();
    for (std::int64_t c = 0; c < probabilities.size(1); ++c)
      text += fmt::format(",{:.6g}", values[c]);
    text += "\n";
  }
  write_file_durably(path, text);
}

class LinearEvaluation {
 public:
  explicit LinearEvaluation(const LinearEvalOptions& options)
      : options_(options),
        extractor_(options.features),
        data_(open_evaluation_data(options.data, extractor_.config().data,
                                   static_cast<std::uint64_t>(options.features.seed))) {}

  Json run() {
    const auto start = std::chrono::steady_clock::now();
    const fs::path out = output_folder();
    if (holds_training(out)) {
      throw Error(
          ErrorKind::usage,
          out.string() + ": holds a training run; choose another --out (default: RUN/linear_eval)");
    }
    make_output_folder(out);
    add_log_file(out / "log.txt");
    Json config = dump_value(extractor_.config());
    write_file_durably(out / "config.json", dump_text(config, 2) + "\n");
    if (!data_.held_out_names.empty()) {
      std::string text;
      for (const auto& name : data_.held_out_names) text += name + "\n";
      write_file_durably(out / "holdout.txt", text);
    }
    extractor_.log_assumptions();
    const std::string sha_before = extractor_.encoder_sha256();
    train_.features = extractor_.extract(data_.train, "train features");
    train_.labels = labels_of(train_.features, data_.train_labels);
    test_.features = extractor_.extract(data_.test, "test features");
    test_.labels = labels_of(test_.features, data_.test_labels);

    Json result = {{"protocol", options_.protocol},    {"checkpoint", extractor_.source().name},
                   {"layer", options_.features.layer}, {"features", train_.features.values.size(1)},
                   {"classes", data_.classes.size()},  {"test_images", test_.labels.size(0)}};
    const auto first_seed = static_cast<std::uint64_t>(options_.features.seed);
    if (options_.seeds > 0) {
      std::vector<double> values;
      Json draws = Json::array();
      for (std::int64_t k = 0; k < options_.seeds; ++k) {
        const fs::path folder = out / fmt::format("seed_{}", k);
        make_output_folder(folder);
        Json draw = one_draw(folder, first_seed + static_cast<std::uint64_t>(k));
        values.push_back(draw["top1"].get<double>());
        write_file_durably(folder / "result.json", dump_text(draw, 2) + "\n");
        draws.push_back(std::move(draw));
      }
      Summary summary = summarize(values);
      // Student's t knows nothing of an accuracy's bounds.
      for (double& bound : summary.ci95) bound = std::clamp(bound, 0.0, 1.0);
      // One draw says nothing of the spread between draws: its own interval stands.
      if (values.size() == 1) summary.ci95 = draws[0]["ci95"].get<std::array<double, 2>>();
      result.update(mean_of(draws));
      result["ci95"] = summary.ci95;
      if (values.size() > 1) result["deviation"] = summary.deviation;
      result["draws"] = std::move(draws);
      log_info("top-1 over {} draws: {} deviation {:.1f}", options_.seeds,
               percent_interval(summary.mean, summary.ci95[0], summary.ci95[1]),
               100 * summary.deviation);
    } else {
      result.update(one_draw(out, first_seed));
    }
    result["encoder_sha256"] = extractor_.encoder_sha256();
    if (result["encoder_sha256"] != sha_before) {
      throw std::logic_error("the encoder changed while it was judged");
    }
    result["bad_images"] = train_.features.bad.size() + test_.features.bad.size();
    result["seconds"] =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    write_file_durably(out / "result.json", dump_text(result, 2) + "\n");
    log_info("{} in {}", out.string(), format_duration(result["seconds"].get<double>()));
    return result;
  }

 private:
  fs::path output_folder() const {
    if (!options_.out.empty()) return options_.out;
    if (extractor_.source().run) return *extractor_.source().run / "linear_eval";
    return "runs/linear-eval-" + time_stamp();
  }

  /// Fits and judges with the labels of one draw, and writes its head and predictions.
  Json one_draw(const fs::path& folder, std::uint64_t seed) const {
    const torch::Tensor rows = rows_of(train_.features, labelled_rows(options_.data, data_, seed));
    const torch::Tensor features = train_.features.values.index_select(0, rows);
    const torch::Tensor labels = train_.labels.index_select(0, rows);
    const auto classes = static_cast<std::int64_t>(data_.classes.size());
    const EvalConfig& config = extractor_.config();

    const ProbeFit fit = fit_linear_probe(features, labels, classes, config.probe, seed);
    if (!fit.converged) {
      log_warning(
          "the linear classifier had not converged after {} iterations; raise probe.max_iterations",
          fit.iterations);
    }
    const torch::Tensor probabilities = predict_probabilities(fit.head, test_.features.values);
    const double top1 = top_k_accuracy(probabilities, test_.labels, 1);
    const std::int64_t total = test_.labels.size(0);
    const auto interval = wilson_interval(std::llround(top1 * static_cast<double>(total)), total);
    const auto knn =
        knn_grid(features, labels, test_.features.values, test_.labels, classes, config.knn);

    write_predictions(folder / "predictions.csv", data_, test_.features, test_.labels,
                      probabilities);
    SafeTensors head;
    head.tensors = {{"weight", fit.head.weight}, {"bias", fit.head.bias}};
    head.metadata = {{"clr.classes", dump_text(data_.classes)},
                     {"clr.layer", options_.features.layer},
                     {"clr.encoder_sha256", extractor_.encoder_sha256()}};
    write_safetensors(folder / "head.safetensors", head);

    print_draw(top1, interval, fit, knn, rows.size(0));
    Json result = {
        {"top1", top1},
        {"top5", top_k_accuracy(probabilities, test_.labels, std::min<std::int64_t>(5, classes))},
        {"ci95", interval},
        {"knn", knn_json(knn)},
        {"train_images", rows.size(0)},
        {"l2", fit.l2},
        {"objective", fit.objective},
        {"iterations", fit.iterations},
        {"converged", fit.converged},
        {"seed", seed}};
    if (!fit.tried.empty()) {
      Json tried = Json::array();
      for (const auto& [l2, accuracy] : fit.tried) {
        tried.push_back({{"l2", l2}, {"validation_top1", accuracy}});
      }
      result["l2_tried"] = std::move(tried);
    }
    return result;
  }

  void print_draw(double top1, const std::array<double, 2>& interval, const ProbeFit& fit,
                  const std::vector<KnnResult>& knn, std::int64_t images) const {
    std::vector<std::vector<std::string>> rows = {{"judged by", "top-1 [95 % interval]"}};
    rows.push_back({fmt::format("linear, l2 {:.3g}", fit.l2),
                    percent_interval(top1, interval[0], interval[1])});
    const std::int64_t total = test_.labels.size(0);
    for (const KnnResult& result : knn) {
      const auto bounds =
          wilson_interval(std::llround(result.top1 * static_cast<double>(total)), total);
      rows.push_back({fmt::format("kNN, k {}, {}", result.k, to_string(result.weighting)),
                      percent_interval(result.top1, bounds[0], bounds[1])});
    }
    log_info("{} labelled training images, {} test images, {} classes", format_count(images),
             format_count(total), data_.classes.size());
    print_table(rows);
  }

  LinearEvalOptions options_;
  FeatureExtractor extractor_;
  EvaluationData data_;
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
      ->add_option("--protocol", options->protocol, "lbfgs: logistic regression on cached features")
      ->check(CLI::IsMember({"lbfgs"}))
      ->capture_default_str();
  command
      ->add_option("--seeds", options->seeds,
                   "repeat with this many draws of labels; mean and deviation")
      ->check(CLI::Range(1, 1000));
  command->add_option("--out", options->out, "folder for the result (default: RUN/linear_eval)");
  command->add_flag("--json", options->json, "print the result as JSON on standard output");
  add_log_options(*command);
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace clr
