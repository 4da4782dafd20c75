// SPDX-License-Identifier: Apache-2.0
#include "loss_peers.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "bench.h"
#include "clr/core/error.h"
#include "clr/core/log.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

using torch::Tensor;

void write_tensor(const fs::path& path, const Tensor& values) {
  const Tensor whole = values.contiguous();
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(whole.const_data_ptr()),
             static_cast<std::streamsize>(whole.nbytes()));
  if (!file.flush()) throw Error(ErrorKind::output, path.string() + ": cannot be written");
}

}  // namespace

std::vector<LossRow> LossPeers::measure(const Tensor& x, const Tensor& exact, double temperature,
                                        std::int64_t repeats) const {
  const ScratchFolder folder;
  write_tensor(folder.path() / "z.bin", x.to(torch::kCPU, torch::kFloat32));
  write_tensor(folder.path() / "gradient.bin", exact);
  std::string type = c10::toString(x.scalar_type());
  const auto names = std::array{std::pair("Float", "float32"), std::pair("Half", "float16"),
                                std::pair("BFloat16", "bfloat16")};
  for (const auto& [here, there] : names) {
    if (type == here) type = there;
  }
  const Json measured = script_.run(fmt::format(
      "{} --n {} --d {} --temperature {} --dtype {} --device {} --threads {} --repeats {}",
      shell_quoted(folder.path().string()), x.size(0) / 2, x.size(1), temperature, type,
      x.device().str(), at::get_num_threads(), repeats));
  std::vector<LossRow> rows;
  for (const Json& peer : measured) {
    LossRow row{peer.at("implementation").get<std::string>()};
    if (peer.contains("error")) {
      log_warning("{}: {}", row.implementation, peer.at("error").get<std::string>());
      continue;
    }
    row.loss = peer.at("loss").get<double>();
    row.gradient_error = peer.at("gradient_error").get<double>();
    row.milliseconds = peer.at("milliseconds_runs").get<std::vector<double>>();
    row.extra_bytes = peer.at("extra_bytes").get<std::int64_t>();
    if (const Json& resident = peer.at("extra_resident_bytes"); !resident.is_null()) {
      row.extra_resident = resident.get<std::int64_t>();
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace clr
