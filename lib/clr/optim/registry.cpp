// SPDX-License-Identifier: Apache-2.0
#include "clr/optim/optimizer.h"

namespace clr {

// Every optimiser, in the order in which they are listed to people.
#define CLR_OPTIMIZERS(X) X(sgd) X(lars) X(adam) X(adamw)

#define CLR_DECLARE(name) OptimizerEntry name##_optimizer();
CLR_OPTIMIZERS(CLR_DECLARE)
#undef CLR_DECLARE

const OptimizerRegistry& optimizers() {
#define CLR_LIST(name) name##_optimizer(),
  static const OptimizerRegistry registry({CLR_OPTIMIZERS(CLR_LIST)});
#undef CLR_LIST
  return registry;
}

}  // namespace clr
