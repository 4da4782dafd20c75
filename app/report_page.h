// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "clr/train/paired_results.h"
#include "clr/train/run_report.h"

namespace clr {

/// Runs as one page of HTML that holds all it needs: the report's table (`summary`, as JSON), the
/// curves of each run, its evaluations, pictures and configuration. Of a run with more than 500 rows
/// of steps the curve is a mean over equal parts. Pictures of at most eight runs.
/// Throws:  Error{data} when a file is there and cannot be read.
std::string report_page(const RunReport& report, const Json& summary,
                        const std::optional<PairedResults>& paired);

}  // namespace clr
