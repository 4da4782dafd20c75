// SPDX-License-Identifier: Apache-2.0
#include "clr/model/encoder.h"

namespace clr {

// Every encoder, in the order in which they are listed to people.
#define CLR_ENCODERS(X) \
  X(resnet18)           \
  X(resnet34)           \
  X(resnet50)           \
  X(resnet101)          \
  X(resnet152)          \
  X(resnext50_32x4d) X(wide_resnet50_2) X(vit_tiny) X(vit_small) X(vit_base) X(bert) X(static)

#define CLR_DECLARE(name) EncoderEntry name##_encoder();
CLR_ENCODERS(CLR_DECLARE)
#undef CLR_DECLARE

const EncoderRegistry& encoders() {
#define CLR_LIST(name) name##_encoder(),
  static const EncoderRegistry registry({CLR_ENCODERS(CLR_LIST)});
#undef CLR_LIST
  return registry;
}

}  // namespace clr
