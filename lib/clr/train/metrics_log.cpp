// SPDX-License-Identifier: Apache-2.0
#include "clr/train/metrics_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace clr {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path) {
  throw Error(ErrorKind::output, path.string() + ": cannot be written: " + std::strerror(errno));
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& run, std::int64_t bytes,
                       std::int64_t first_step)
    : run_(run), path_(run / "metrics.jsonl"), bytes_(bytes), first_step_(first_step) {
  file_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (file_ >= 0 && flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    close(file_);
    throw Error(ErrorKind::output,
                path_.string() + ": another process is writing this run; wait for it or stop it");
  }
  struct stat status {};
  if (file_ >= 0 && fstat(file_, &status) == 0 && status.st_size < bytes) {
    close(file_);
    throw Error(
        ErrorKind::checkpoint,
        fmt::format("{}: expected at least the {} bytes that it had at the checkpoint, got {}",
                    path_.string(), bytes, static_cast<std::int64_t>(status.st_size)));
  }
  if (file_ < 0 || (status.st_size > bytes && ftruncate(file_, bytes) != 0) ||
      lseek(file_, bytes, SEEK_SET) != bytes) {
    fail(path_);
  }
}

MetricsLog::~MetricsLog() { close(file_); }

TensorBoardWriter& MetricsLog::tensorboard() {
  if (!tensorboard_) tensorboard_ = std::make_unique<TensorBoardWriter>(run_, first_step_);
  return *tensorboard_;
}

void MetricsLog::write(const Json& row) {
  const std::string line = dump_text(row) + "\n";
  std::size_t written = 0;
  while (written < line.size()) {
    const ssize_t count = ::write(file_, line.data() + written, line.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail(path_);
    written += static_cast<std::size_t>(count);
  }
  bytes_ += static_cast<std::int64_t>(line.size());

  const std::string kind = row.at("kind").get<std::string>();
  const auto step = row.at("step").get<std::int64_t>();
  for (const auto& [key, value] : row.items()) {
    if (value.is_number() && key != "step" && key != "epoch" && key != "time") {
      tensorboard().scalar(kind + "/" + key, step, value.get<double>());
    }
  }
  if (kind == "epoch") tensorboard().flush();
}

void MetricsLog::picture(const std::string& tag, const std::string& png, int width, int height) {
  tensorboard().image(tag, 0, png, width, height);
  tensorboard().flush();
}

std::int64_t MetricsLog::sync() {
  if (fsync(file_) != 0 && errno != EINVAL) fail(path_);
  if (tensorboard_) tensorboard_->flush();
  return bytes_;
}

}  // namespace clr
