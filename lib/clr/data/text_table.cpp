// SPDX-License-Identifier: Apache-2.0
#include "clr/data/text_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "clr/config/json.h"
#include "clr/core/error.h"
#include "clr/core/text_lines.h"
#include "clr/data/stored_texts.h"
#include "clr/io/csv.h"

namespace clr {
namespace {

[[noreturn]] void fail(const std::string& path, std::size_t line, const std::string& what) {
  throw Error(ErrorKind::data, fmt::format("{}:{}: {}", path, line, what));
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

void require_fields(const std::vector<TableRow>& rows, const TableRow& row,
                    const std::string& path) {
  if (rows.empty() || row.fields.size() == rows.front().fields.size()) return;
  fail(path, row.line,
       fmt::format("expected {} fields as in the first line, got {}", rows.front().fields.size(),
                   row.fields.size()));
}

std::vector<TableRow> read_csv(const std::string& path, std::string_view content,
                               std::size_t most) {
  CsvReader reader(content, ',', path);
  std::vector<TableRow> rows;
  while (rows.size() < most) {
    auto record = reader.next();
    if (!record) break;
    TableRow row{reader.line(), std::move(*record)};
    require_fields(rows, row, path);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<TableRow> read_tabs(const std::string& path, std::string_view content,
                                std::size_t most) {
  std::vector<TableRow> rows;
  for (std::size_t number = 1; !content.empty() && rows.size() < most; ++number) {
    const std::string_view line = take_line(content);
    if (is_blank(line)) continue;
    TableRow row{number, {}};
    for (std::size_t at = 0; at <= line.size();) {
      const std::size_t end = std::min(line.find('\t', at), line.size());
      row.fields.emplace_back(line.substr(at, end - at));
      at = end + 1;
    }
    require_fields(rows, row, path);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string field_of(const Json& value) {
  // Lists and objects are no text; writing them out would go as deep as they do.
  if (value.is_null() || value.is_structured()) return "";
  return value.is_string() ? value.get<std::string>() : dump_text(value);
}

std::vector<TableRow> read_json_lines(const std::string& path, std::string_view content,
                                      std::size_t most) {
  std::vector<TableRow> rows;
  for (std::size_t number = 1; !content.empty() && rows.size() < most; ++number) {
    const std::string_view line = take_line(content);
    if (is_blank(line)) continue;
    const Json object = Json::parse(line, nullptr, false);
    if (object.is_discarded() || !object.is_object())
      fail(path, number, "expected a JSON object on one line");
    if (rows.empty()) {
      TableRow names{number, {}};
      for (const auto& [key, value] : object.items()) names.fields.push_back(key);
      rows.push_back(std::move(names));
    }
    TableRow row{number, {}};
    for (const std::string& name : rows.front().fields) {
      const auto found = object.find(name);
      if (found == object.end())
        fail(path, number, fmt::format("expected a key \"{}\" as in the first object", name));
      row.fields.push_back(field_of(*found));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<TableRow> read_rows(const std::string& path, std::string_view content,
                                std::size_t most) {
  content = without_byte_order_mark(content);
  if (path.ends_with(".csv")) return read_csv(path, content, most);
  if (path.ends_with(".jsonl")) return read_json_lines(path, content, most);
  return read_tabs(path, content, most);
}

std::optional<std::size_t> find_column(const TableRow& names, std::string_view name) {
  const auto found = std::find(names.fields.begin(), names.fields.end(), name);
  if (found == names.fields.end()) return std::nullopt;
  return static_cast<std::size_t>(found - names.fields.begin());
}

/// The columns that hold texts.
std::vector<std::size_t> text_columns(const std::string& path, const TableRow& names) {
  if (const auto text = find_column(names, "text")) return {*text};
  std::vector<std::size_t> columns{*find_column(names, "text_a")};
  const auto second = find_column(names, "text_b");
  if (!second) fail(path, names.line, "expected a column text_b beside text_a, got none");
  columns.push_back(*second);
  if (const auto negative = find_column(names, "negative")) columns.push_back(*negative);
  return columns;
}

}  // namespace

std::vector<TableRow> read_table(const std::string& path, std::string_view content) {
  return read_rows(path, content, content.size());
}

bool is_text_table(const std::string& path, std::string_view content) {
  if (!path.ends_with(".jsonl")) {
    // Before it is read as a table: a list of images has its own rules.
    const std::string_view line = content.substr(0, content.find('\n'));
    if (line.find("text") == std::string_view::npos) return false;
  }
  const auto rows = read_rows(path, content, 1);
  return !rows.empty() && !find_column(rows.front(), "path") &&
         (find_column(rows.front(), "text") || find_column(rows.front(), "text_a"));
}

std::unique_ptr<Dataset> open_text_table(const std::string& path, std::string_view content,
                                         const DataConfig& config) {
  const std::vector<TableRow> rows = read_table(path, content);
  const std::vector<std::size_t> columns = text_columns(path, rows.front());
  if (rows.size() == 1)
    throw Error(ErrorKind::data, path + ": expected texts, got a first line only");
  const auto label =
      config.labels == LabelMode::none ? std::nullopt : find_column(rows.front(), "label");
  if (!label && config.labels == LabelMode::folder) {
    throw Error(ErrorKind::data,
                path +
                    ": expected labels (data.labels = folder), got a table without a column "
                    "label");
  }
  std::map<std::string, std::int64_t> numbers;
  for (std::size_t i = 1; label && i < rows.size(); ++i) {
    const std::string& name = rows[i].fields[*label];
    if (name.empty()) fail(path, rows[i].line, "expected a label, got none");
    numbers.emplace(name, 0);
  }
  std::vector<std::string> classes;
  for (auto& [name, number] : numbers) {
    number = static_cast<std::int64_t>(classes.size());
    classes.push_back(name);
  }
  auto dataset = std::make_unique<StoredTexts>(path, static_cast<std::int64_t>(columns.size()),
                                               /*lines=*/true);
  for (std::size_t i = 1; i < rows.size(); ++i) {
    std::vector<std::string_view> texts;
    for (const std::size_t column : columns) texts.push_back(rows[i].fields[column]);
    dataset->add(texts, label ? numbers.at(rows[i].fields[*label]) : -1, {},
                 static_cast<std::int64_t>(rows[i].line));
  }
  dataset->set_classes(std::move(classes));
  return dataset;
}

}  // namespace clr
