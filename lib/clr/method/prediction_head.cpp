// SPDX-License-Identifier: Apache-2.0
#include "clr/method/prediction_head.h"

namespace clr {

std::shared_ptr<MlpHead> make_predictor(const PredictorOptions& options, std::int64_t width) {
  return std::make_shared<MlpHead>(width, MlpHeadConfig{options.layers, options.hidden, width,
                                                        options.batch_norm, options.bias});
}

}  // namespace clr
