// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "clr/core/error.h"
#include "clr/core/text_lines.h"
#include "clr/data/file_bytes.h"
#include "clr/data/sources.h"
#include "clr/data/text_table.h"
#include "clr/io/csv.h"

namespace clr {
namespace {

struct Line {
  std::size_t number = 0;
  std::string path;
  std::optional<std::string> label;
};

[[noreturn]] void fail(const std::string& list, std::size_t line, const std::string& what) {
  throw Error(ErrorKind::data, fmt::format("{}:{}: {}", list, line, what));
}

std::vector<Line> read_separated(std::string_view text, char separator, const std::string& list) {
  CsvReader reader(text, separator, list);
  std::vector<Line> lines;
  std::size_t path_column = 0;
  std::size_t label_column = 1;
  std::size_t columns = 0;
  bool header = false;
  while (const auto record = reader.next()) {
    if (columns == 0) {
      columns = record->size();
      const auto path = std::find(record->begin(), record->end(), "path");
      if (path != record->end()) {
        header = true;
        path_column = static_cast<std::size_t>(path - record->begin());
        label_column = static_cast<std::size_t>(std::find(record->begin(), record->end(), "label") -
                                                record->begin());
        continue;
      }
    }
    if (record->size() != columns || (!header && columns > 2)) {
      fail(list, reader.line(),
           fmt::format("expected {}, got {} fields",
                       header ? fmt::format("{} fields as in the first line", columns)
                              : std::string("path or path and label, on every line alike"),
                       record->size()));
    }
    Line line{reader.line(), (*record)[path_column], std::nullopt};
    if (label_column < columns) line.label = (*record)[label_column];
    lines.push_back(std::move(line));
  }
  return lines;
}

std::optional<std::string> json_label(const Json& object, const std::string& list,
                                      std::size_t line) {
  const auto label = object.find("label");
  if (label == object.end()) return std::nullopt;
  if (label->is_string()) return label->get<std::string>();
  if (label->is_number_integer()) return label->dump();
  fail(list, line, "expected \"label\" to be a string or an integer, got " + show(*label));
}

std::vector<Line> read_json_lines(std::string_view text, const std::string& list) {
  std::vector<Line> lines;
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::string_view row = take_line(text);
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Json object = Json::parse(row, nullptr, false);
    if (object.is_discarded() || !object.is_object()) {
      fail(list, number, "expected a JSON object {\"path\": ..., \"label\": ...} on one line");
    }
    const auto path = object.find("path");
    if (path == object.end() || !path->is_string()) {
      fail(list, number,
           "expected a string \"path\", got " +
               (path == object.end() ? std::string("none") : show(*path)));
    }
    lines.push_back({number, path->get<std::string>(), json_label(object, list, number)});
  }
  return lines;
}

void check(const std::vector<Line>& lines, const std::string& list) {
  if (lines.empty()) throw Error(ErrorKind::data, list + ": expected image paths, got none");
  for (const Line& line : lines) {
    if (line.path.empty() || line.path.find('\0') != std::string::npos) {
      fail(list, line.number, "expected a path, got an empty or broken one");
    }
    if (line.label.has_value() != lines.front().label.has_value() ||
        (line.label && line.label->empty())) {
      fail(list, line.number, "expected a label on every line or on none");
    }
  }
}

}  // namespace

std::unique_ptr<Dataset> open_list_file(const std::string& path, const DataConfig& config) {
  const auto bytes = read_bytes(path);
  const std::string_view text =
      without_byte_order_mark({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (is_text_table(path, text)) return open_text_table(path, text, config);
  const bool json = path.ends_with(".jsonl");
  const auto lines = json ? read_json_lines(text, path)
                          : read_separated(text, path.ends_with(".tsv") ? '\t' : ',', path);
  check(lines, path);

  const bool has_labels = lines.front().label.has_value();
  if (!has_labels && config.labels == LabelMode::folder) {
    throw Error(ErrorKind::data,
                path + ": expected labels (data.labels = folder), got a list without any");
  }
  std::map<std::string, std::int64_t> numbers;
  if (has_labels && config.labels != LabelMode::none) {
    for (const Line& line : lines) numbers.emplace(*line.label, 0);
  }
  std::vector<std::string> classes;
  for (auto& [name, number] : numbers) {
    number = static_cast<std::int64_t>(classes.size());
    classes.push_back(name);
  }
  const std::string folder = std::filesystem::path(path).parent_path().string();
  auto dataset = std::make_unique<FileDataset>(folder.empty() ? "." : folder);
  for (const Line& line : lines)
    dataset->add(line.path, classes.empty() ? -1 : numbers.at(*line.label));
  dataset->set_classes(std::move(classes));
  return dataset;
}

}  // namespace clr
