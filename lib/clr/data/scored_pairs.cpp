// SPDX-License-Identifier: Apache-2.0
#include "clr/data/scored_pairs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "clr/core/error.h"
#include "clr/data/file_bytes.h"
#include "clr/data/sources.h"
#include "clr/data/stored_texts.h"
#include "clr/data/text_table.h"

namespace clr {
namespace {

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Where the three columns are, and whether the first row names them.
struct Columns {
  std::array<std::size_t, 3> at{};
  bool named = false;
  bool images = false;
};

std::optional<Columns> by_name(const TableRow& first, const std::array<std::string, 3>& names) {
  Columns columns;
  columns.named = true;
  columns.images = names[0] == "path_a" && names[1] == "path_b";
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto found = std::find(first.fields.begin(), first.fields.end(), names[i]);
    if (found == first.fields.end()) return std::nullopt;
    columns.at[i] = static_cast<std::size_t>(found - first.fields.begin());
  }
  return columns;
}

std::optional<Columns> by_number(const TableRow& first, const std::array<std::string, 3>& numbers) {
  Columns columns;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto number = number_of<std::size_t>(numbers[i]);
    if (!number || *number == 0 || *number > first.fields.size()) return std::nullopt;
    columns.at[i] = *number - 1;
  }
  return columns;
}

Columns find_columns(const std::string& path, const TableRow& first,
                     const std::array<std::string, 3>& wanted) {
  const bool said = !wanted[0].empty();
  if (said) {
    if (const auto columns = by_name(first, wanted)) return *columns;
    if (const auto columns = by_number(first, wanted)) return *columns;
  } else {
    for (const auto& names : {std::array<std::string, 3>{"text_a", "text_b", "score"},
                              std::array<std::string, 3>{"path_a", "path_b", "score"}}) {
      if (const auto columns = by_name(first, names)) return *columns;
    }
  }
  throw Error(
      ErrorKind::data,
      fmt::format("{}:{}: expected columns {} (--columns), by their names here or their numbers, "
                  "got {} fields: {}",
                  path, first.line,
                  said ? fmt::format("{}, {} and {}", wanted[0], wanted[1], wanted[2])
                       : "text_a, text_b and score (or path_a, path_b and score)",
                  first.fields.size(),
                  fmt::format("{}", fmt::join(first.fields, " | ")).substr(0, 200)));
}

std::unique_ptr<Dataset> open_items(const std::string& path, const Columns& columns,
                                    const std::vector<const TableRow*>& rows) {
  const auto each = [&](const auto& add) {
    for (const TableRow* row : rows) {
      for (const std::size_t side : {columns.at[0], columns.at[1]}) add(row->fields[side], *row);
    }
  };
  if (columns.images) {
    const std::string folder = std::filesystem::path(path).parent_path().string();
    auto images = std::make_unique<FileDataset>(folder.empty() ? "." : folder);
    each([&](const std::string& name, const TableRow&) { images->add(name, -1); });
    return images;
  }
  auto texts = std::make_unique<StoredTexts>(path, 1, /*lines=*/true);
  each([&](const std::string& text, const TableRow& row) {
    texts->add({text}, -1, {}, static_cast<std::int64_t>(row.line));
  });
  return texts;
}

}  // namespace

ScoredPairs read_scored_pairs(const std::string& path, const std::array<std::string, 3>& wanted) {
  const std::vector<std::uint8_t> bytes = read_bytes(path);
  const std::vector<TableRow> table =
      read_table(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (table.empty()) throw Error(ErrorKind::data, path + ": expected pairs, got an empty file");
  const Columns columns = find_columns(path, table.front(), wanted);
  ScoredPairs pairs;
  std::vector<const TableRow*> scored;
  for (std::size_t i = columns.named ? 1 : 0; i < table.size(); ++i) {
    const std::string& text = table[i].fields[columns.at[2]];
    if (text.empty()) {
      ++pairs.unscored;
      continue;
    }
    const auto score = number_of<double>(text);
    if (!score || !std::isfinite(*score)) {
      throw Error(ErrorKind::data, fmt::format("{}:{}: expected a number as score, got \"{}\"",
                                               path, table[i].line, text));
    }
    pairs.scores.push_back(*score);
    scored.push_back(&table[i]);
  }
  if (scored.size() < 2) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected at least two scored pairs, got {}", path, scored.size()));
  }
  pairs.items = open_items(path, columns, scored);
  return pairs;
}

}  // namespace clr
