// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace clr {

/// Bytes of memory that this process may use: the machine's, or its control group's limit.
std::int64_t physical_memory();

/// Resident set of this process, in bytes: now, and at its largest so far.
std::int64_t resident_memory();
std::int64_t peak_resident_memory();

}  // namespace clr
