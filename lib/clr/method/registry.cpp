// SPDX-License-Identifier: Apache-2.0
#include "clr/method/method.h"

namespace clr {

// Every method, in the order in which they are listed to people.
#define CLR_METHODS(X) \
  X(simclr)            \
  X(memory_bank)       \
  X(moco)              \
  X(moco_v3)           \
  X(nnclr)             \
  X(swav)              \
  X(byol)              \
  X(simsiam)           \
  X(barlow_twins) X(vicreg) X(dino) X(supcon) X(supervised) X(token_prediction) X(skip_gram) X(atcl)

#define CLR_DECLARE(name) MethodEntry name##_method();
CLR_METHODS(CLR_DECLARE)
#undef CLR_DECLARE

const MethodRegistry& methods() {
#define CLR_LIST(name) name##_method(),
  static const MethodRegistry registry({CLR_METHODS(CLR_LIST)});
#undef CLR_LIST
  return registry;
}

}  // namespace clr
