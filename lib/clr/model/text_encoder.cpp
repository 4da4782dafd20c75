// SPDX-License-Identifier: Apache-2.0
#include "clr/model/text_encoder.h"

#include <fmt/format.h>

#include "clr/core/error.h"

namespace clr {

TextEncoder& require_text_encoder(Encoder& encoder, const std::string& method) {
  if (auto* text = dynamic_cast<TextEncoder*>(&encoder)) return *text;
  throw Error(ErrorKind::config,
              fmt::format("/encoder/type: expected an encoder of texts (bert, static) for {}, got "
                          "one of images",
                          method));
}

}  // namespace clr
