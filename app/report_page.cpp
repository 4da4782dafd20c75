// SPDX-License-Identifier: Apache-2.0
#include "report_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <vector>

#include "clr/core/log.h"
#include "clr/data/decode.h"
#include "clr/data/jpeg_codec.h"
#include "clr/io/base64.h"
#include "clr/io/drawing.h"
#include "clr/io/file.h"
#include "command.h"

namespace fs = std::filesystem;

namespace clr {

// Made of report_page/ by CMake.
extern const std::string_view report_page_page_html;
extern const std::string_view report_page_page_css;
extern const std::string_view report_page_page_js;
extern const std::string_view report_page_chart_min_js;

namespace {

constexpr std::size_t kMostPoints = 500;
constexpr std::size_t kMostPictured = 8;

bool there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// The JSON in a file; null where there is none, or none that can be read.
Json json_file(const fs::path& path) {
  if (!there(path)) return nullptr;
  Json content = Json::parse(read_file(path, ErrorKind::data), nullptr, /*allow_exceptions=*/false);
  return content.is_discarded() ? Json() : content;
}

Json picture(const fs::path& path) {
  if (!there(path)) return nullptr;
  std::string content = read_file(path, ErrorKind::data);
  std::string type = path.extension() == ".jpg" ? "jpeg" : "png";
  // A sheet of photographs is three times as large as PNG.
  constexpr std::size_t kLarge = 100'000;
  constexpr int kQuality = 90;
  if (type == "png" && content.size() > kLarge && drawing_available()) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(content.data());
    const auto jpeg = encode_jpeg(decode({bytes, content.size()}, {}), kQuality);
    if (jpeg.size() < content.size()) {
      content.assign(jpeg.begin(), jpeg.end());
      type = "jpeg";
    }
  }
  return "data:image/" + type + ";base64," + base64(content);
}

/// Columns of numbers, from rows that need not all have the same.
class Columns {
 public:
  void add(const Json& row) {
    for (const auto& [key, value] : row.items()) {
      if (!value.is_number() || key == "time") continue;
      auto& column = columns_[key];
      column.resize(rows_, nullptr);
      column.push_back(value);
    }
    ++rows_;
  }

  /// {key: [numbers or null]}; with more than `most` rows means over equal parts.
  Json json(std::size_t most) const {
    Json result = Json::object();
    const std::size_t part = std::max<std::size_t>(1, (rows_ + most - 1) / most);
    for (const auto& [key, column] : columns_) {
      Json list = Json::array();
      for (std::size_t begin = 0; begin < rows_; begin += part)
        list.push_back(mean(column, begin, part));
      result[key] = std::move(list);
    }
    return result;
  }

 private:
  static Json mean(const std::vector<Json>& column, std::size_t begin, std::size_t part) {
    double sum = 0.0;
    int count = 0;
    for (std::size_t i = begin; i < std::min(begin + part, column.size()); ++i) {
      if (column[i].is_null()) continue;
      sum += column[i].get<double>();
      ++count;
    }
    if (count == 0) return nullptr;
    // As many digits as a screen can show.
    return Json::parse(fmt::format("{:.6g}", sum / count), nullptr, false);
  }

  std::map<std::string, std::vector<Json>> columns_;
  std::size_t rows_ = 0;
};

/// {"steps", "epochs", "notes"} of metrics.jsonl.
Json curves(const fs::path& run) {
  Columns steps;
  Columns epochs;
  Json notes = Json::array();
  if (there(run / "metrics.jsonl")) {
    const std::string text = read_file(run / "metrics.jsonl", ErrorKind::data);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      const Json row = Json::parse(text.begin() + static_cast<std::ptrdiff_t>(at),
                                   text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
      at = end + 1;
      if (!row.is_object()) continue;
      const std::string kind = row.value("kind", "");
      if (kind == "step") {
        steps.add(row);
      } else if (kind == "guard") {
        notes.push_back(row);
      } else if (kind == "start" || kind == "epoch" || kind == "health") {
        epochs.add(row);
      }
    }
  }
  return {{"steps", steps.json(kMostPoints)},
          {"epochs", epochs.json(kMostPoints)},
          {"notes", std::move(notes)}};
}

Json evaluation(const fs::path& folder, bool pictured) {
  Json found = {{"name", folder.filename().string()},
                {"result", json_file(folder / "result.json")}};
  if (pictured) {
    found["neighbors"] = picture(folder / "neighbors.png");
    if (there(folder / "neighbors.txt"))
      found["neighbor_texts"] = read_file(folder / "neighbors.txt", ErrorKind::data);
    found["map"] = json_file(folder / "map.json");
    found["thumbnails"] = picture(folder / "map_thumbnails.jpg");
  }
  return found;
}

std::vector<fs::path> evaluation_folders(const fs::path& run) {
  std::vector<fs::path> folders;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(run, ignored)) {
    if (there(entry.path() / "result.json")) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

std::string repeat_line(const RunRecord& run, const Json& result) {
  const auto text = [&result](const char* key) {
    const Json value = result.is_object() ? result.value(key, Json()) : Json();
    return value.is_string() ? shell_quoted(value.get<std::string>()) : std::string();
  };
  const std::string data = text("data");
  const std::string init = text("init");
  return fmt::format("clr pretrain --config {} --data {} --seed {}{} --out NEW_FOLDER",
                     shell_quoted((run.folder / "config.json").string()),
                     data.empty() ? "PATH" : data, run.seed, init.empty() ? "" : " --init " + init);
}

/// What the page needs to know of every run.
Json run_head(const RunRecord& run) {
  return {{"name", run.folder.string()},
          {"seed", run.seed},
          {"training", run.training},
          {"problem", run.problem}};
}

/// One broken file must not hide the other runs.
Json unreadable(const RunRecord& run, const std::string& what) {
  Json json = run_head(run);
  json["problem"] = run.problem.empty() ? what : run.problem + "; " + what;
  json["config"] = nullptr;
  json["evaluations"] = Json::array();
  return json;
}

Json run_json(const RunRecord& run, bool pictured) {
  Json json = run_head(run);
  json["config"] = json_file(run.folder / "config.json");
  Json evaluations = Json::array();
  if (run.training) {
    json["result"] = json_file(run.folder / "result.json");
    json["curves"] = curves(run.folder);
    json["repeat"] = repeat_line(run, json["result"]);
    if (pictured) json["views"] = picture(run.folder / "views.png");
    for (const fs::path& folder : evaluation_folders(run.folder)) {
      Json found = evaluation(folder, pictured);
      // Several evaluations of the same features have the same pictures.
      for (const char* key : {"neighbors", "neighbor_texts", "map", "thumbnails"}) {
        for (const Json& before : evaluations) {
          if (before.value(key, Json()) == found.value(key, Json())) found.erase(key);
        }
      }
      evaluations.push_back(std::move(found));
    }
  } else {
    evaluations.push_back(evaluation(run.folder, pictured));
    if (there(run.folder / "metrics.jsonl")) json["curves"] = curves(run.folder);
  }
  json["evaluations"] = std::move(evaluations);
  return json;
}

void replace(std::string& text, std::string_view mark, std::string_view content) {
  const std::size_t at = text.find(mark);
  text.replace(at, mark.size(), content);
}

}  // namespace

std::string report_page(const RunReport& report, const Json& summary,
                        const std::optional<PairedResults>& paired) {
  Json runs = Json::array();
  for (std::size_t i = 0; i < report.runs.size(); ++i) {
    const RunRecord& run = report.runs[i];
    try {
      runs.push_back(run_json(run, i < kMostPictured));
    } catch (const Error& error) {
      runs.push_back(unreadable(run, error.what()));
    } catch (const Json::exception& error) {
      runs.push_back(unreadable(run, fmt::format("other files than a run's ({})", error.what())));
    }
  }
  Json data = {{"version", CLR_VERSION},
               {"made", time_stamp()},
               {"summary", summary},
               {"metrics", report.metrics},
               {"pictured", std::min(kMostPictured, report.runs.size())},
               {"runs", std::move(runs)}};
  if (paired && paired->problem.empty()) {
    data["paired"] = paired->str(report.runs[0].folder.string(), report.runs[1].folder.string());
  }
  std::string json = dump_text(data);
  // Nothing in it may end the script element that holds it, nor begin another.
  for (std::size_t at = 0; (at = json.find('<', at)) != std::string::npos;)
    json.replace(at, 1, "\\u003c");
  std::string page(report_page_page_html);
  replace(page, "/*page.css*/", report_page_page_css);
  replace(page, "/*chart.min.js*/", report_page_chart_min_js);
  replace(page, "/*page.js*/", report_page_page_js);
  replace(page, "{\"data\":0}", json);
  return page;
}

}  // namespace clr
