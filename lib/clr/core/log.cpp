// SPDX-License-Identifier: Apache-2.0
#include "clr/core/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "clr/core/error.h"

namespace clr {
namespace {

/// The process's log: one console, at most one file.
struct Log {
  LogLevel level = LogLevel::info;
  bool bar_shown = false;
  std::shared_ptr<spdlog::logger> file;
};

Log& the_log() {
  static Log log;
  return log;
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::warning:
      return spdlog::level::warn;
    default:
      return spdlog::level::info;
  }
}

}  // namespace

void set_log_level(LogLevel level) { the_log().level = level; }

void add_log_file(const std::filesystem::path& path) {
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string());
    auto logger = std::make_shared<spdlog::logger>("file", std::move(sink));
    logger->set_level(spdlog::level::debug);
    logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %L %v");
    logger->flush_on(spdlog::level::debug);
    // A full disk must not end a training run because of its log; the checkpoints report it.
    logger->set_error_handler([](const std::string&) {});
    the_log().file = std::move(logger);
  } catch (const spdlog::spdlog_ex& error) {
    throw Error(ErrorKind::output,
                path.string() + ": cannot be opened for the log: " + error.what());
  }
}

void log_line(LogLevel level, const std::string& text) {
  Log& log = the_log();
  if (log.file) log.file->log(spdlog_level(level), text);
  if (level < log.level) return;
  const bool color = level == LogLevel::warning && colors_wanted();
  std::fprintf(stderr, "%s%s%s%s%s\n", log.bar_shown ? "\r\x1b[K" : "", color ? "\x1b[33m" : "",
               level == LogLevel::warning ? "clr: warning: " : "", text.c_str(),
               color ? "\x1b[0m" : "");
}

bool on_terminal() { return isatty(STDERR_FILENO) == 1; }

bool colors_wanted() {
  const char* no_color = std::getenv("NO_COLOR");
  return on_terminal() && (no_color == nullptr || *no_color == '\0');
}

bool progress_wanted() { return the_log().level <= LogLevel::info; }

void set_bar_shown(bool shown) { the_log().bar_shown = shown; }

std::string format_duration(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<long long>(seconds + 0.5);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
}

std::string format_bytes(double bytes) {
  if (bytes >= 1e9) return fmt::format("{:.1f} GB", bytes / 1e9);
  if (bytes >= 1e6) return fmt::format("{:.0f} MB", bytes / 1e6);
  return fmt::format("{:.0f} kB", bytes / 1e3);
}

std::string format_count(long long count) {
  std::string text = std::to_string(count);
  for (auto i = static_cast<long>(text.size()) - 3; i > (count < 0 ? 1 : 0); i -= 3) {
    text.insert(static_cast<std::size_t>(i), 1, ',');
  }
  return text;
}

}  // namespace clr
