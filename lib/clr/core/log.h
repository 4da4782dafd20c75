// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <utility>

namespace clr {

enum class LogLevel { debug, info, warning, quiet };

/// People's text goes to standard error; lines below `level` are left out there.
void set_log_level(LogLevel level);

/// Also writes every line (from debug up) with its time to a file, appending.
/// Throws:  Error{output} naming the file.
void add_log_file(const std::filesystem::path& path);

void log_line(LogLevel level, const std::string& text);

template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::warning, fmt::format(format, std::forward<Args>(args)...));
}

/// Whether standard error is a terminal.
bool on_terminal();
/// Whether colours may be used there (a terminal, and no NO_COLOR).
bool colors_wanted();
/// Whether progress is wanted (not with --quiet).
bool progress_wanted();
/// Tells the log that a progress bar stands on the terminal's last line (log lines then clear it
/// first).
void set_bar_shown(bool shown);

/// "1h02m", "3m05s", "12.3 s": a duration for people.
std::string format_duration(double seconds);
/// "1.2 GB", "340 MB": bytes for people (powers of 1000).
std::string format_bytes(double bytes);
/// "12,345".
std::string format_count(long long count);

}  // namespace clr
