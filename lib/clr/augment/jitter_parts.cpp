// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/jitter_parts.h"

#include "clr/augment/color_rows.h"

namespace clr {

JitterParts jitter_parts(const OpParameters& parameters) {
  JitterParts parts;
  for (const std::uint8_t number : parameters.order) {
    const JitterPart part{static_cast<JitterKind>(number), parameters.values[number]};
    if (part.factor == (part.kind == JitterKind::hue ? 0.0F : 1.0F)) continue;
    if (part.kind == JitterKind::contrast) {
      parts.contrast = part.factor;
      continue;
    }
    parts.others[parts.count++] = part;
    if (!parts.contrast) parts.before_count = parts.count;
  }
  return parts;
}

void apply_part(const JitterPart& part, const PixelRun& run) {
  switch (part.kind) {
    case JitterKind::brightness:
      for (float* plane : {run.red, run.green, run.blue}) {
        scale_values(plane, run.count, part.factor);
      }
      break;
    case JitterKind::saturation:
      blend_with_gray(run.red, run.green, run.blue, run.count, part.factor);
      break;
    case JitterKind::hue:
      shift_hue(run.red, run.green, run.blue, run.count, 6.0F * part.factor);
      break;
    case JitterKind::contrast:
      break;  // apply_contrast()
  }
}

void apply_contrast(float factor, float mean, const PixelRun& run) {
  const float other = (1.0F - factor) * mean;
  for (float* plane : {run.red, run.green, run.blue}) blend_with(plane, run.count, factor, other);
}

}  // namespace clr
