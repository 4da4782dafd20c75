// SPDX-License-Identifier: Apache-2.0
// For scripts: CLR_RUN_A and CLR_RUN_B are the folders of two runs; their tensors and metrics are to
// agree within CLR_TOLERANCE.
#include <fmt/format.h>
#include <torch/torch.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "clr/config/json.h"
#include "clr/train/checkpoint.h"
#include "support/catch.h"

namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  CATCH_REQUIRE(value != nullptr);
  return value;
}

/// The largest difference, by the largest number where that is above 1.
double distance(const torch::Tensor& a, const torch::Tensor& b) {
  if (a.numel() == 0) return 0.0;
  const torch::Tensor x = a.to(torch::kFloat64);
  const torch::Tensor y = b.to(torch::kFloat64);
  return (x - y).abs().max().item<double>() / std::max(1.0, x.abs().max().item<double>());
}

std::vector<clr::Json> rows_of(const fs::path& run) {
  std::ifstream file(run / "metrics.jsonl");
  std::vector<clr::Json> rows;
  for (std::string line; std::getline(file, line);) rows.push_back(clr::Json::parse(line));
  return rows;
}

void compare(const clr::SafeTensors& a, const clr::SafeTensors& b, double tolerance) {
  CATCH_REQUIRE(a.tensors.size() == b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    CATCH_INFO(name);
    const torch::Tensor other = b.find(name);
    CATCH_REQUIRE(other.defined());
    CATCH_REQUIRE(other.sizes() == tensor.sizes());
    CATCH_REQUIRE(other.scalar_type() == tensor.scalar_type());
    const double apart = distance(tensor, other);
    CATCH_INFO(fmt::format("{:.3g} apart", apart));
    CATCH_CHECK(apart <= tolerance);
  }
}

}  // namespace

CATCH_TEST_CASE("two runs agree", "[.][runs_agree]") {
  const fs::path a = variable("CLR_RUN_A");
  const fs::path b = variable("CLR_RUN_B");
  const double tolerance = std::stod(variable("CLR_TOLERANCE"));
  const auto read = [](const fs::path& run) {
    const auto folder = clr::newest_good_checkpoint(run);
    CATCH_REQUIRE(folder.has_value());
    return clr::read_checkpoint(*folder);
  };
  const clr::Checkpoint first = read(a);
  const clr::Checkpoint second = read(b);
  compare(first.model, second.model, tolerance);
  compare(first.state, second.state, tolerance);

  const std::vector<clr::Json> left = rows_of(a);
  const std::vector<clr::Json> right = rows_of(b);
  CATCH_REQUIRE(left.size() == right.size());
  CATCH_REQUIRE(!left.empty());
  const std::set<std::string> clocks = {"time",    "images_per_s", "data_wait",
                                        "read_us", "decode_us",    "augment_us"};
  for (std::size_t i = 0; i < left.size(); ++i) {
    CATCH_INFO(left[i].dump() << " and " << right[i].dump());
    CATCH_REQUIRE(left[i].size() == right[i].size());
    for (const auto& [name, value] : left[i].items()) {
      if (clocks.contains(name)) continue;
      if (!value.is_number()) {
        CATCH_CHECK(value == right[i].at(name));
        continue;
      }
      // What is measured of features goes through float32 on its way.
      const bool measured = name.starts_with("h_") || name.starts_with("z_");
      const double expected = value.get<double>();
      const double got = right[i].at(name).get<double>();
      CATCH_INFO(fmt::format("{}: {:.3g} apart", name, std::abs(got - expected)));
      CATCH_CHECK(std::abs(got - expected) <=
                  std::max(tolerance, measured ? 1e-4 : 0.0) * std::max(1.0, std::abs(expected)));
    }
  }
}
