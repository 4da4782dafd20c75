// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace clr {

/// What the names of a file of a ResNet, a vision transformer or BERT mean, whoever wrote it.
struct NameMap {
  /// Tensors of a file that share the start of their names, and why the encoder needs none of them.
  struct LeftOut {
    std::string prefix;  ///< as the file has it
    std::string reason;
    std::int64_t count = 0;
  };

  std::string origin;  ///< whose names they are
  std::string prefix;  ///< what stands before the encoder's own names
  std::vector<std::pair<std::string, std::string>> names;  ///< the file's -> clr's
  std::vector<LeftOut> left_out;
  /// Its 3x3 stem pads by 2 (which shapes do not tell).
  bool padded_stem = false;
};

/// Finds the encoder among a file's tensors: under torchvision's, timm's or Hugging Face's names, behind the
/// prefixes of MoCo, SimSiam, solo-learn, DINO and others, in lightly's numbered sequences; each
/// also behind what DataParallel, Lightning or torch.compile put before them.
///
/// Throws:  Error{checkpoint} naming `where`: no encoder is among them, or there are names that
///          belong neither to it nor to what is known to stand beside one; it lists them.
NameMap map_names(const std::vector<std::string>& names, const std::string& where);

}  // namespace clr
