// SPDX-License-Identifier: Apache-2.0
#include "clr/train/run_records.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <sstream>

#include "clr/io/file.h"
#include "clr/io/safetensors.h"
#include "clr/train/run_folder.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

const Json::json_pointer kSeed("/train/seed");

bool there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

Json read_json(const fs::path& path) {
  return parse_json(read_file(path, ErrorKind::data), path.string());
}

/// Fine-tuning has a training's files, but judges an encoder.
bool is_finetuning(const fs::path& folder) {
  if (!there(folder / "config.json")) return false;
  const Json config = Json::parse(read_file(folder / "config.json", ErrorKind::data), nullptr,
                                  /*allow_exceptions=*/false);
  return config.is_object() && config.contains("finetune");
}

/// A sweep says in failed.txt why it has no more of a run.
bool is_training(const fs::path& folder) {
  return (holds_training(folder) && !is_finetuning(folder)) || there(folder / "failed.txt");
}

bool is_evaluation(const fs::path& folder) {
  return !is_training(folder) && (there(folder / "config.json") || there(folder / "result.json"));
}

std::vector<fs::path> subfolders(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  fs::directory_iterator listing(folder, error);
  if (error) {
    throw Error(ErrorKind::data, folder.string() + ": cannot be listed: " + error.message());
  }
  for (const auto& entry : listing) {
    const std::string name = entry.path().filename().string();
    std::error_code ignored;
    if (!name.starts_with('.') && fs::is_directory(entry.path(), ignored))
      found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

double number(const Json& object, const char* key, const fs::path& file) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) {
    throw Error(ErrorKind::data, fmt::format("{}: /{}: expected a number, got {}", file.string(),
                                             key, found == object.end() ? "none" : show(*found)));
  }
  return found->get<double>();
}

void add_problem(RunRecord& run, const std::string& text) {
  run.problem += (run.problem.empty() ? "" : "; ") + text;
}

/// A mean over several data sets is another measure than an accuracy on one: "transfer" of linear.
std::string transfer_name(const std::string& name) {
  if (name.find("transfer") != std::string::npos) return name;
  return name.starts_with("linear") ? "transfer" + name.substr(6) : name + "_transfer";
}

/// Adds what an evaluation found. `name`: linear, linear_projection, finetune, ...
void add_evaluation(RunRecord& run, const fs::path& file, const std::string& name,
                    const Json& result) {
  if (result.contains("transfer")) {
    // No interval: that of a mean over so few sets would say nothing of the next set.
    run.metrics[transfer_name(name) + "_top1"] = number(result, "top1", file);
    return;
  }
  const std::string metric = name + "_top1";
  run.metrics[metric] = number(result, "top1", file);
  if (const auto interval = result.find("ci95");
      interval != result.end() && interval->is_array() && interval->size() == 2) {
    run.intervals[metric] = interval->get<std::array<double, 2>>();
  }
  if (!name.starts_with("linear")) return;
  if (const auto knn = result.find("knn"); knn != result.end() && !knn->empty()) {
    run.metrics["knn" + name.substr(6) + "_top1"] = number(knn->front(), "top1", file);
  }
}

/// The name that an evaluation's folder gives its metrics.
std::string evaluation_name(const fs::path& folder) {
  const std::string name = folder.filename().string();
  return name.starts_with("linear_eval") ? "linear" + name.substr(11) : name;
}

/// metrics.jsonl as far as it can be read: the last row of a run that was killed may be torn.
std::vector<Json> epoch_rows(const fs::path& run, std::optional<Json>& last) {
  std::vector<Json> rows;
  if (!there(run / "metrics.jsonl")) return rows;
  std::istringstream lines(read_file(run / "metrics.jsonl", ErrorKind::data));
  for (std::string line; std::getline(lines, line);) {
    const Json row = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!row.is_object()) continue;
    last = row;
    if (row.value("kind", "") == "epoch") rows.push_back(row);
  }
  return rows;
}

/// Over all epochs, for result.json knows only the speed since a run was last resumed.
std::optional<double> mean_speed(const std::vector<Json>& epochs) {
  double seconds_an_image = 0.0;
  for (const Json& row : epochs) {
    const double speed = row.value("images_per_s", 0.0);
    if (speed <= 0.0) return std::nullopt;
    seconds_an_image += 1.0 / speed;
  }
  if (epochs.empty()) return std::nullopt;
  return static_cast<double>(epochs.size()) / seconds_an_image;
}

void add_fingerprint(RunRecord& run) {
  const fs::path folder = run.folder / "checkpoints";
  if (!there(folder / "latest")) return;
  std::string name = read_file(folder / "latest", ErrorKind::data);
  name.erase(name.find_last_not_of(" \n") + 1);
  const fs::path model = folder / name / "model.safetensors";
  if (!there(model)) return;
  const auto header = read_safetensors_header(model);
  if (const auto found = header.metadata.find("clr.data"); found != header.metadata.end())
    run.config["data"]["fingerprint"] = found->second;
}

void read_training(RunRecord& run) {
  std::optional<Json> last_row;
  const std::vector<Json> epochs = epoch_rows(run.folder, last_row);
  if (there(run.folder / "config.json")) {
    run.config = read_json(run.folder / "config.json");
    run.seed = run.config.value(kSeed, std::int64_t{0});
    if (const auto train = run.config.find("train"); train != run.config.end())
      train->erase("seed");
    add_fingerprint(run);
  }
  if (there(run.folder / "labels.json"))
    run.config["labels"] = read_json(run.folder / "labels.json");
  if (there(run.folder / "failed.txt")) {
    std::string why = read_file(run.folder / "failed.txt", ErrorKind::data);
    add_problem(run, why.substr(0, why.find('\n')));
  }
  const fs::path file = run.folder / "result.json";
  if (!there(file)) {
    if (run.problem.empty()) {
      add_problem(run, "not finished: no result.json");
      if (last_row) run.problem += fmt::format("; {} steps done", last_row->value("step", 0));
    }
    return;
  }
  const Json result = read_json(file);
  run.metrics["loss"] = number(result, "loss", file);
  if (result.contains("knn_top1"))
    run.metrics["training_knn_top1"] = number(result, "knn_top1", file);
  if (const auto speed = mean_speed(epochs)) {
    run.metrics["images_per_s"] = *speed;
  } else {
    run.metrics["images_per_s"] = number(result, "images_per_s", file);
  }
  run.finished = true;
}

void read_evaluations(RunRecord& run, const std::set<fs::path>& wanted) {
  for (const fs::path& folder : subfolders(run.folder)) {
    if (!is_evaluation(folder)) continue;
    if (!wanted.empty() && !wanted.contains(folder.filename())) continue;
    const fs::path file = folder / "result.json";
    if (there(file)) {
      add_evaluation(run, file, evaluation_name(folder), read_json(file));
    } else if (!there(run.folder / "failed.txt")) {
      add_problem(run, folder.filename().string() + ": not finished: no result.json");
    }
  }
}

void read_evaluation(RunRecord& run) {
  run.training = false;
  const fs::path file = run.folder / "result.json";
  if (there(run.folder / "config.json")) run.config = read_json(run.folder / "config.json");
  if (!there(file)) {
    add_problem(run, "not finished: no result.json");
    return;
  }
  const Json result = read_json(file);
  for (const char* key : {"checkpoint", "layer", "train_images"}) {
    if (result.contains(key)) run.config[key] = result[key];
  }
  run.seed = result.value("seed", std::int64_t{0});
  const std::string protocol = result.value("protocol", "lbfgs");
  const bool linear = protocol == "lbfgs" || protocol == "sgd" || protocol == "heads";
  const std::string layer = result.value("layer", "feature");
  add_evaluation(run, file,
                 (linear ? "linear" : protocol) + (layer == "feature" ? "" : "_" + layer), result);
  run.finished = true;
}

/// A folder to read, and by which of its evaluations it is judged (none: all).
struct Source {
  fs::path folder;
  bool training = true;
  std::set<fs::path> evaluations;
};

void add_source(std::vector<Source>& sources, Source source) {
  for (Source& known : sources) {
    std::error_code ignored;
    if (!fs::equivalent(known.folder, source.folder, ignored)) continue;
    if (known.evaluations.empty() || source.evaluations.empty()) {
      known.evaluations.clear();
    } else {
      known.evaluations.merge(source.evaluations);
    }
    return;
  }
  sources.push_back(std::move(source));
}

/// Whether a folder is a run or an evaluation; adds it if so.
bool add_folder(std::vector<Source>& sources, const fs::path& folder) {
  if (is_training(folder)) {
    add_source(sources, {folder, true, {}});
    return true;
  }
  if (!is_evaluation(folder)) return false;
  if (const fs::path parent = folder.parent_path(); !parent.empty() && is_training(parent)) {
    add_source(sources, {parent, true, {folder.filename()}});
  } else {
    add_source(sources, {folder, false, {}});
  }
  return true;
}

}  // namespace

std::vector<Json> read_epoch_rows(const fs::path& run) {
  std::optional<Json> last;
  return epoch_rows(run, last);
}

std::vector<RunRecord> read_run_records(const std::vector<std::string>& paths) {
  std::vector<Source> sources;
  for (const std::string& path : paths) {
    std::error_code error;
    const auto status = fs::status(path, error);
    if (!fs::exists(status)) throw Error(ErrorKind::data, path + ": no such run");
    if (!fs::is_directory(status))
      throw Error(ErrorKind::data, path + ": expected the folder of a run, got a file");
    fs::path folder = fs::path(path).lexically_normal();
    if (!folder.has_filename()) folder = folder.parent_path();
    if (add_folder(sources, folder)) continue;
    bool any = false;
    for (const fs::path& below : subfolders(folder)) any |= add_folder(sources, below);
    if (!any) {
      throw Error(ErrorKind::data,
                  path + ": expected a run, an evaluation or a folder of them, got none of these");
    }
  }
  std::vector<RunRecord> runs;
  for (const Source& source : sources) {
    RunRecord run;
    run.folder = source.folder;
    try {
      if (source.training) {
        read_training(run);
        read_evaluations(run, source.evaluations);
      } else {
        read_evaluation(run);
      }
    } catch (const Error& error) {
      // One broken file must not hide the other runs.
      run.finished = false;
      add_problem(run, error.what());
    } catch (const Json::exception& error) {
      run.finished = false;
      add_problem(run, fmt::format("expected the files of a run, got others ({})", error.what()));
    }
    runs.push_back(std::move(run));
  }
  return runs;
}

}  // namespace clr
