// SPDX-License-Identifier: Apache-2.0
#include "clr/core/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "clr/core/log.h"

namespace clr {
namespace {

int terminal_width() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace

Progress::Progress(std::string title, std::int64_t total, std::int64_t done)
    : title_(std::move(title)),
      total_(total),
      first_(done),
      done_(done),
      terminal_(on_terminal()) {}

Progress::~Progress() { finish(); }

double Progress::eta() const {
  const double elapsed = std::chrono::duration<double>(Clock::now() - start_).count();
  const auto worked = static_cast<double>(done_ - first_);
  return worked > 0 ? elapsed / worked * static_cast<double>(total_ - done_) : 0.0;
}

void Progress::update(std::int64_t done, const std::string& note) {
  done_ = done;
  note_ = note;
  const auto interval = std::chrono::milliseconds(terminal_ ? 100 : 5000);
  const auto now = Clock::now();
  // Work of less than a plain line's interval stays silent where nobody watches a bar.
  if (now - (shown_ == Clock::time_point{} && !terminal_ ? start_ : shown_) < interval) return;
  shown_ = now;
  show();
}

void Progress::show() {
  if (!progress_wanted() || finished_) return;
  const double share = total_ > 0 ? static_cast<double>(done_) / static_cast<double>(total_) : 1.0;
  std::string tail = fmt::format("{:3.0f} %  ETA {}", 100 * share, format_duration(eta()));
  if (!note_.empty()) tail += "  " + note_;
  if (!terminal_) {
    std::fprintf(stderr, "%s  %s/%s  %s\n", title_.c_str(), format_count(done_).c_str(),
                 format_count(total_).c_str(), tail.c_str());
    return;
  }
  // One column stays free, so that no terminal wraps the line.
  const int room = terminal_width() - 1 - static_cast<int>(title_.size() + tail.size()) - 6;
  std::string bar;
  if (room >= 5) {
    const int width = std::min(room, 30);
    const int full = std::clamp(static_cast<int>(share * width), 0, width);
    for (int i = 0; i < width; ++i) bar += i < full ? "━" : "─";
    bar = " " + bar + " ";
  }
  std::string line = fmt::format("{} {} {}", title_, bar, tail);
  if (room < 0) line = line.substr(0, static_cast<std::size_t>(std::max(0, terminal_width() - 1)));
  std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
  std::fflush(stderr);
  set_bar_shown(true);
}

void Progress::finish() {
  if (finished_) return;
  if (terminal_ && progress_wanted()) {
    std::fprintf(stderr, "\r\x1b[K");
    std::fflush(stderr);
  }
  set_bar_shown(false);
  finished_ = true;
}

}  // namespace clr
