// SPDX-License-Identifier: Apache-2.0
#include "clr/config/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace clr {
namespace {

constexpr int kMaxDepth = 64;

/// Builds the value while refusing what nlohmann accepts in silence: equal keys (it keeps the last)
/// and any depth (its copy and dump recurse).
class StrictBuilder : public nlohmann::json_sax<Json> {
 public:
  explicit StrictBuilder(std::string where) : where_(std::move(where)) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(value); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }

  bool key(string_t& value) override {
    if (!keys_.back().insert(value).second) {
      problem_ = fmt::format("{}: duplicate key \"{}\"; keep one", where_, value);
      return false;
    }
    key_ = value;
    return true;
  }

  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::detail::exception& error) override {
    problem_ = error.what();
    syntax_error_ = true;
    return false;
  }

  Json take() { return std::move(root_); }
  const std::string& problem() const { return problem_; }
  bool syntax_error() const { return syntax_error_; }

 private:
  Json* put(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    Json& place = parent[key_];
    place = std::move(value);
    return &place;
  }

  bool add(Json value) {
    put(std::move(value));
    return true;
  }

  bool open(Json container) {
    if (stack_.size() >= kMaxDepth) {
      problem_ = fmt::format("{}: expected at most {} nested levels, got more", where_, kMaxDepth);
      return false;
    }
    stack_.push_back(put(std::move(container)));
    keys_.emplace_back();
    return true;
  }

  bool close() {
    stack_.pop_back();
    keys_.pop_back();
    return true;
  }

  std::string where_;
  Json root_;
  std::vector<Json*> stack_;
  std::vector<std::set<std::string>> keys_;
  std::string key_;
  std::string problem_;
  bool syntax_error_ = false;
};

/// nlohmann's "[json.exception.parse_error.101] parse error at line 3, column 5: syntax error ..."
/// -> "3:5: syntax error ...".
std::string tidy_syntax_error(const std::string& message) {
  const auto line = message.find("line ");
  const auto column = message.find(", column ");
  const auto colon = column == std::string::npos ? column : message.find(": ", column);
  if (line == std::string::npos || colon == std::string::npos) return " " + message;
  std::string text = message.substr(colon + 2);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return fmt::format("{}:{}: {}", message.substr(line + 5, column - line - 5),
                     message.substr(column + 9, colon - column - 9), text);
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  StrictBuilder builder(where);
  const bool good = Json::sax_parse(text, &builder);
  if (!good) {
    throw Error(ErrorKind::config, builder.syntax_error()
                                       ? where + ":" + tidy_syntax_error(builder.problem())
                                       : builder.problem());
  }
  return builder.take();
}

Place Place::operator/(const std::string& key) const {
  std::string escaped;
  for (const char c : key) {
    if (c == '~') {
      escaped += "~0";
    } else if (c == '/') {
      escaped += "~1";
    } else {
      escaped += c;
    }
  }
  Place child = *this;
  child.pointer_ += "/" + escaped;
  return child;
}

std::string Place::str() const {
  std::string pointer = pointer_;
  while (true) {
    if (const auto found = sources_->find(pointer); found != sources_->end()) {
      return found->second + ": " + (pointer_.empty() ? "/" : pointer_);
    }
    if (pointer.empty()) return pointer_;
    pointer.resize(pointer.rfind('/'));
  }
}

void Place::fail(const std::string& message) const {
  throw Error(ErrorKind::config, str() + ": " + message);
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    std::vector<std::size_t> row(candidate.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i + 1;
      for (std::size_t j = 0; j < candidate.size(); ++j) {
        const std::size_t above = row[j + 1];
        row[j + 1] =
            std::min({above + 1, row[j] + 1, diagonal + (word[i] == candidate[j] ? 0 : 1)});
        diagonal = above;
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string near = nearest(word, candidates);
  return near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near);
}

std::string dump_text(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string show(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return fmt::format("a list of {}", value.size());
  std::string text = dump_text(value);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

}  // namespace clr
