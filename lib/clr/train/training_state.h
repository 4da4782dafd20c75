// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "clr/core/batch.h"
#include "clr/method/method.h"
#include "clr/optim/optimizer.h"
#include "clr/train/checkpoint.h"

namespace clr {

/// Keys of a model file's metadata: the run's configuration as JSON; the fingerprint of what it was
/// trained on; of texts the pieces, one a line.
inline constexpr const char* kConfigKey = "clr.config";
inline constexpr const char* kDataKey = "clr.data";
inline constexpr const char* kVocabularyKey = "clr.vocabulary";

/// Where a run stands between two steps, beside what its method and optimiser hold.
struct TrainingState {
  std::int64_t step = 0;           ///< steps done in the whole run
  std::int64_t epoch = 0;          ///< epoch of the next step
  std::int64_t step_in_epoch = 0;  ///< of the next step
  std::int64_t metrics_bytes = 0;  ///< length of metrics.jsonl
  double last_epoch_loss = 0.0;
  std::map<std::string, torch::Tensor>
      epoch_sums;                        ///< metric -> float64 sum over this epoch's steps
  std::map<std::int64_t, BadImage> bad;  ///< dataset index -> what was wrong
};

/// Everything that resuming needs: networks, optimiser, LibTorch's generator, `state`.
///
/// model: tensors under `encoder.` and `projector.`; state: `method.` the others, `optimizer.`,
/// `sums.`, `rng.cpu`.
/// metadata: the model file's, entries that are empty left out.
Checkpoint make_checkpoint(const Method& method, const Optimizer& optimizer,
                           const TrainingState& state,
                           const std::map<std::string, std::string>& metadata);

/// Puts a checkpoint's content back.
/// Throws:  Error{checkpoint} naming `where` and the tensor that is missing, left over or of
///          another shape.
TrainingState restore_checkpoint(const Checkpoint& content, const std::string& where,
                                 Method& method, Optimizer& optimizer);

/// Copies tensors of a file into a module's parameters and buffers of the same names.
///
/// `prefix` is stripped from the file's names; names without it are left out. Strict: every tensor
/// of the module must be there with its shape, and nothing may be left over under the prefix.
/// Throws:  Error{checkpoint} naming `where`.
void load_tensors(torch::nn::Module& module, const SafeTensors& content, const std::string& prefix,
                  const std::string& where);

/// Whether a file has tensors under a prefix.
bool has_prefix(const SafeTensors& content, const std::string& prefix);

}  // namespace clr
