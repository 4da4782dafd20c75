// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "clr/config/json.h"
#include "clr/train/run_config.h"

namespace clr {

/// Watches a run's rows of metrics.jsonl for what no more training mends, and says in one sentence
/// what it saw, the likely cause and what to change. All that it knows it has from rows, so a
/// resumed run, which reads them again, says what it would have said.
///
/// - collapse: embeddings (z, or h without a projection head) lie four times as near together
///   as before training and point in half as many directions; or they have one direction.
/// - dead: gradients have shrunk to a ten-thousandth of the first ones though the loss has not
///   fallen by half; or in the first epoch after the warm-up, of 100 steps and more, the mean loss
///   is within 0.2 % of where the epoch began (three rows of its first quarter).
/// - divergence: the loss of the last three rows is above that of the first three by more than
///   this one's size and 1.
///
/// Of steps whose negatives are not all embeddings yet (a queue of noise is still being filled)
/// losses say nothing: real negatives are harder, and the loss rises to theirs.
class Guard {
 public:
  /// What was seen, once a kind.
  struct Finding {
    std::string kind;     ///< "collapse", "dead", "divergence"
    std::string message;  ///< one sentence
  };

  explicit Guard(const RunConfig& config);

  /// Looks at the next row.
  std::optional<Finding> see(const Json& row);

  /// Sees the rows of a file again, without a word; rows of kind "guard" say what was said.
  void replay(const std::filesystem::path& metrics);

 private:
  std::optional<Finding> see_health(const Json& row);
  std::optional<Finding> see_step(const Json& row);
  std::optional<Finding> see_epoch(const Json& row) const;
  std::string suspect_rate() const;
  std::optional<std::string> suspect_temperature() const;

  const RunConfig config_;
  std::set<std::string> said_;
  Json start_ = Json::object();    ///< the row of before the first step
  std::int64_t judged_epoch_ = 0;  ///< the first after the warm-up
  std::int64_t steps_until_queue_full_ = 0;
  std::vector<double> epoch_losses_;   ///< the first of the judged epoch
  std::int64_t epoch_losses_end_ = 0;  ///< the last one's step
  std::vector<double> first_losses_;
  std::vector<double> last_losses_;
  std::vector<double> first_gradients_;
  std::vector<double> last_gradients_;
};

}  // namespace clr
