// SPDX-License-Identifier: Apache-2.0
#include "command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <map>
#include <thread>

#include "clr/core/log.h"

namespace clr {

void ComputeOptions::add_to(CLI::App& command) {
  command.add_option("--device", device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  command.add_option("--threads", threads, "threads that load images (default: by the machine)")
      ->check(CLI::Range(1, 1024));
}

int ComputeOptions::loader_threads(bool with_gpu, int processes) const {
  if (threads > 0) return threads;
  const int cores = static_cast<int>(std::thread::hardware_concurrency()) / processes;
  return std::max(1, with_gpu ? cores - 1 : cores / 4);
}

void add_log_options(CLI::App& command) {
  command.add_flag_callback(
      "-q,--quiet", [] { set_log_level(LogLevel::quiet); }, "only errors");
  command.add_flag_callback(
      "-v,--verbose", [] { set_log_level(LogLevel::debug); }, "more detail");
  command.add_option_function<std::string>(
      "--log-level",
      [](const std::string& name) {
        static const std::map<std::string, LogLevel> levels = {{"debug", LogLevel::debug},
                                                               {"info", LogLevel::info},
                                                               {"warning", LogLevel::warning},
                                                               {"quiet", LogLevel::quiet}};
        const auto found = levels.find(name);
        if (found == levels.end()) {
          throw CLI::ValidationError("--log-level",
                                     "expected debug, info, warning or quiet, got " + name);
        }
        set_log_level(found->second);
      },
      "debug, info, warning or quiet");
}

void print_json(const Json& result) { std::cout << dump_text(result, 2) << std::endl; }

namespace {

/// Columns that a text takes on a terminal: bytes that continue a UTF-8 character take none.
std::size_t columns(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

void print_facts(const std::vector<std::pair<std::string, std::string>>& facts) {
  std::size_t width = 0;
  for (const auto& [name, value] : facts) width = std::max(width, columns(name));
  for (const auto& [name, value] : facts) {
    log_info("  {}{}  {}", name, std::string(width - columns(name), ' '), value);
  }
}

std::vector<std::string> align_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
  }
  std::vector<std::string> lines;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - columns(row[i]), ' ');
      line += "  " + (i == 0 ? row[i] + padding : padding + row[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(std::move(line));
  }
  return lines;
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  for (const std::string& line : align_table(rows)) log_info("{}", line);
}

std::string percent(double fraction) { return fmt::format("{:.1f} %", 100 * fraction); }

std::string percent_interval(double fraction, double low, double high) {
  return fmt::format("{:.1f} % [{:.1f}, {:.1f}]", 100 * fraction, 100 * low, 100 * high);
}

std::string plural(std::int64_t count, const std::string& thing) {
  return fmt::format("{} {}{}", format_count(count), thing, count == 1 ? "" : "s");
}

std::string shell_quoted(const std::string& argument) {
  constexpr const char* kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%";
  if (!argument.empty() && argument.find_first_not_of(kPlain) == std::string::npos) return argument;
  std::string text = "'";
  for (const char c : argument) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

std::string time_stamp() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d_%H-%M-%S", &local);
  return text;
}

}  // namespace clr
