// SPDX-License-Identifier: Apache-2.0
#include "clr/train/guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>

namespace clr {
namespace {

constexpr std::size_t kRows = 3;

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// A row's number; `other` where it has none (a file has null for what is not finite).
double number(const Json& row, const std::string& key, double other) {
  const auto found = row.find(key);
  return found != row.end() && found->is_number() ? found->get<double>() : other;
}

/// The first kRows values and the last kRows.
void remember(std::vector<double>& first, std::vector<double>& last, double value) {
  if (first.size() < kRows) first.push_back(value);
  last.push_back(value);
  if (last.size() > kRows) last.erase(last.begin());
}

/// "after step 40", "after epoch 3".
std::string place_of(const Json& row) {
  if (row.at("kind") == "epoch") return fmt::format("after epoch {}", row["epoch"].get<int>() + 1);
  return fmt::format("after step {}", row["step"].get<std::int64_t>());
}

}  // namespace

Guard::Guard(const RunConfig& config)
    : config_(config),
      judged_epoch_(static_cast<std::int64_t>(std::ceil(config.schedule.warmup_epochs))),
      steps_until_queue_full_(config.method.options.value("queue_size", std::int64_t{0}) /
                              std::max<std::int64_t>(1, config.train.batch_size)) {}

std::optional<Guard::Finding> Guard::see(const Json& row) {
  const std::string kind = row.at("kind").get<std::string>();
  std::optional<Finding> found;
  if (kind == "start") {
    start_ = row;
  } else if (kind == "guard") {
    said_.insert(row.at("found").get<std::string>());
  } else if (kind == "step") {
    found = see_step(row);
  } else {
    found = see_health(row);
    if (!found && kind == "epoch") found = see_epoch(row);
  }
  if (found && !said_.insert(found->kind).second) return std::nullopt;
  return found;
}

void Guard::replay(const std::filesystem::path& metrics) {
  std::ifstream lines(metrics);
  for (std::string line; std::getline(lines, line);) {
    const Json row = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    // The writer alone makes rows; a torn one is cut off before a run goes on.
    if (row.is_object()) see(row);
  }
}

std::optional<std::string> Guard::suspect_temperature() const {
  const double temperature = config_.method.options.value("temperature", 0.0);
  if (temperature <= 0.0 || temperature >= 0.02) return std::nullopt;
  return fmt::format(
      "method.temperature ({:g}) is likely too low: gradients are as large as it is small; set it "
      "between 0.1 and 0.5",
      temperature);
}

/// What most likely is wrong with a run that leaves what it had, and what to do.
std::string Guard::suspect_rate() const {
  if (const auto temperature = suspect_temperature()) return *temperature;
  return fmt::format(
      "optimizer.learning_rate ({:g}) is likely too high; lower it by ten, or lengthen "
      "schedule.warmup_epochs",
      shared_options(config_.optimizer).learning_rate);
}

std::optional<Guard::Finding> Guard::see_health(const Json& row) {
  const std::string layer = row.contains("z_rank") ? "z" : "h";
  const auto value = [&layer](const Json& from, const char* name) {
    return number(from, layer + "_" + name, -1.0);
  };
  const double rank = value(row, "rank");
  const double deviation = value(row, "deviation");
  const double rank_before = value(start_, "rank");
  const double deviation_before = value(start_, "deviation");
  if (rank < 0 || rank_before < 0) return std::nullopt;
  // Smaller losses of rank and spread come and go in the first epochs on small sets.
  const bool shrunk = rank < 0.5 * rank_before && deviation < 0.25 * deviation_before;
  const bool one_direction = rank < 1.2 && rank_before > 1.5;
  if (!shrunk && !one_direction) return std::nullopt;
  return Finding{
      "collapse",
      fmt::format("the embeddings have collapsed {}: rank {:.1f} ({:.1f} before training), "
                  "deviation {:.2g} ({:.2g}); {}",
                  place_of(row), rank, rank_before, deviation, deviation_before, suspect_rate())};
}

std::optional<Guard::Finding> Guard::see_step(const Json& row) {
  const double loss = number(row, "loss", 0.0);
  const double gradient = number(row, "gradient_norm", 0.0);
  const auto step = row.value("step", std::int64_t{0});
  if (step < steps_until_queue_full_) return std::nullopt;
  if (row.value("epoch", std::int64_t{-1}) == judged_epoch_ && epoch_losses_.size() < kRows) {
    epoch_losses_.push_back(loss);
    epoch_losses_end_ = step;
  }
  remember(first_losses_, last_losses_, loss);
  remember(first_gradients_, last_gradients_, gradient);
  if (last_losses_.size() < kRows) return std::nullopt;
  const double before = mean(first_losses_);
  const double now = mean(last_losses_);
  // In sizes, as there are losses below 0.
  if (now > before + std::abs(before) + 1.0) {
    return Finding{"divergence", fmt::format("the loss grows: {:.3g} {}, {:.3g} at the start; {}",
                                             now, place_of(row), before, suspect_rate())};
  }
  const double gradient_before = mean(first_gradients_);
  const double gradient_now = mean(last_gradients_);
  // A loss that has fallen far has little left to give, and no fault.
  if (gradient_now < 1e-4 * gradient_before && now > before - 0.5 * std::abs(before)) {
    return Finding{"dead",
                   fmt::format("training has stopped: the gradient's norm is {:.2g} {}, {:.2g} at "
                               "the start, and the loss stays at {:.4g}; {}",
                               gradient_now, place_of(row), gradient_before, now, suspect_rate())};
  }
  return std::nullopt;
}

std::optional<Guard::Finding> Guard::see_epoch(const Json& row) const {
  constexpr std::int64_t kLeastSteps = 100;
  if (row.value("epoch", std::int64_t{-1}) != judged_epoch_ || epoch_losses_.size() < kRows)
    return std::nullopt;
  const std::int64_t steps = row.value("step", std::int64_t{0}) / (judged_epoch_ + 1);
  // Rows from all over the epoch have its mean by chance.
  if (steps < kLeastSteps || epoch_losses_end_ > judged_epoch_ * steps + steps / 4)
    return std::nullopt;
  const double before = mean(epoch_losses_);
  const double now = number(row, "loss", 0.0);
  if (std::abs(now - before) > 2e-3 * std::abs(before)) return std::nullopt;
  const double rate = shared_options(config_.optimizer).learning_rate;
  return Finding{
      "dead",
      fmt::format("the loss has not moved in epoch {}: {:.4g}, {:.4g} when it began; {}",
                  judged_epoch_ + 1, now, before,
                  suspect_temperature().value_or(fmt::format(
                      "optimizer.learning_rate ({:g}) is likely far too low, or so high that the "
                      "network died at once; change it by ten",
                      rate)))};
}

}  // namespace clr
