// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "clr/core/error.h"
#include "clr/data/dataset.h"
#include "clr/data/decode.h"

namespace clr {

/// The pixels of a record, decoded as data.exif and data.max_pixels say. The memory of `reuse` is
/// used again.
///
/// Throws:  Error{data} without a file name, as decode().
Image decode_record(Record record, const DataConfig& config, Image reuse = {});

/// What data.exif and data.max_pixels ask of decode().
DecodeRequest decode_request(const DataConfig& config);

/// What an error about an image says, without the "LOCATION: " that it may begin with.
std::string reason_of(const Error& error, const Dataset& dataset, std::int64_t index);

}  // namespace clr
