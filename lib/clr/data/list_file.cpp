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
#include "clr/data/file_bytes.h"
#include "clr/data/sources.h"

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

/// Reads separated values with quotes ("a ""quoted"" field") one record at a time.
class RecordReader {
 public:
  RecordReader(std::string_view text, char separator, const std::string& list)
      : text_(text), separator_(separator), list_(list) {}

  /// The next record that is not an empty line; its first line is line().
  std::optional<std::vector<std::string>> next() {
    while (at_ < text_.size()) {
      line_ = next_line_;
      auto record = read_record();
      if (record.size() > 1 || !record.front().empty()) return record;
    }
    return std::nullopt;
  }

  std::size_t line() const { return line_; }

 private:
  std::vector<std::string> read_record() {
    std::vector<std::string> fields;
    while (true) {
      fields.push_back(at_ < text_.size() && text_[at_] == '"' ? quoted() : plain());
      if (at_ < text_.size() && text_[at_] == '\r') ++at_;
      if (at_ >= text_.size()) return fields;
      const char c = text_[at_++];
      if (c == '\n') {
        ++next_line_;
        return fields;
      }
      if (c != separator_) fail(list_, line_, "expected a separator after a quoted field");
    }
  }

  std::string plain() {
    const std::size_t first = at_;
    while (at_ < text_.size() && text_[at_] != separator_ && text_[at_] != '\n') ++at_;
    std::size_t last = at_;
    if (last > first && text_[last - 1] == '\r' && (at_ == text_.size() || text_[at_] == '\n'))
      --last;
    return std::string(text_.substr(first, last - first));
  }

  std::string quoted() {
    std::string field;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\n') ++next_line_;
      if (text_[at_] == '"') {
        ++at_;
        if (at_ >= text_.size() || text_[at_] != '"') return field;
      }
      field += text_[at_];
    }
    fail(list_, line_, "expected a closing quote, got the end of the file");
  }

  std::string_view text_;
  char separator_;
  const std::string& list_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  std::size_t next_line_ = 1;
};

std::vector<Line> read_separated(std::string_view text, char separator, const std::string& list) {
  RecordReader reader(text, separator, list);
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
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view row = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
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
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
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
