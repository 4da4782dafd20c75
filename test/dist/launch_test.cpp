// SPDX-License-Identifier: Apache-2.0
#include "clr/dist/launch.h"

#include <map>
#include <string>

#include "clr/core/error.h"
#include "support/catch.h"

namespace {

using Variables = std::map<std::string, std::string>;

clr::Launch read(const Variables& variables) {
  return clr::read_launch([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

std::string refusal(const Variables& variables) {
  try {
    read(variables);
  } catch (const clr::Error& error) {
    CATCH_CHECK(error.kind() == clr::ErrorKind::usage);
    return error.what();
  }
  return "";
}

const Variables kSlurm = {{"SLURM_PROCID", "5"},
                          {"SLURM_STEP_NUM_TASKS", "8"},
                          {"SLURM_STEP_ID", "3"},
                          {"SLURM_STEP_NODELIST", "gpu[03-05,7]"},
                          {"SLURM_JOB_ID", "4711"}};

}  // namespace

CATCH_TEST_CASE("a process alone is told of none", "[dist]") {
  CATCH_CHECK(read({}).size == 1);
  CATCH_CHECK(read({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).size == 1);
  // The batch script of a job with two tasks, without srun: no peer will ever come.
  CATCH_CHECK(read({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "2"}, {"SLURM_JOB_ID", "7"}}).size ==
              1);
}

CATCH_TEST_CASE("torchrun's variables", "[dist]") {
  const clr::Launch launch = read({{"RANK", "1"},
                                   {"WORLD_SIZE", "2"},
                                   {"MASTER_ADDR", "localhost"},
                                   {"MASTER_PORT", "29500"},
                                   {"TORCHELASTIC_RUN_ID", "x"},
                                   {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                                   {"TORCHELASTIC_RESTART_COUNT", "3"}});
  CATCH_CHECK(launch.launcher == "torchrun");
  CATCH_CHECK(launch.rank == 1);
  CATCH_CHECK(launch.size == 2);
  CATCH_CHECK(launch.address == "localhost");
  CATCH_CHECK(launch.port == 29500);
  CATCH_CHECK(launch.agent_store);
  CATCH_CHECK(launch.attempt == 3);
}

CATCH_TEST_CASE("the variables alone", "[dist]") {
  const clr::Launch launch = read(
      {{"RANK", "0"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "10.0.0.1"}, {"MASTER_PORT", "1234"}});
  CATCH_CHECK(launch.launcher == "environment");
  CATCH_CHECK_FALSE(launch.agent_store);
  CATCH_CHECK(launch.attempt == 0);
}

CATCH_TEST_CASE("mpirun's variables, on one host and on several", "[dist]") {
  Variables variables = {{"OMPI_COMM_WORLD_RANK", "2"},
                         {"OMPI_COMM_WORLD_SIZE", "4"},
                         {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}};
  const clr::Launch launch = read(variables);
  CATCH_CHECK(launch.launcher == "mpirun");
  CATCH_CHECK(launch.address == "127.0.0.1");
  CATCH_CHECK(launch.port >= 20000);
  CATCH_CHECK(launch.port < 30000);
  variables["OMPI_COMM_WORLD_LOCAL_SIZE"] = "2";
  CATCH_CHECK(refusal(variables).starts_with("environment: MASTER_ADDR: expected it beside"));
  variables["MASTER_ADDR"] = "a";
  CATCH_CHECK(refusal(variables).starts_with("environment: MASTER_PORT: expected it beside"));
}

CATCH_TEST_CASE("srun's variables", "[dist]") {
  const clr::Launch launch = read(kSlurm);
  CATCH_CHECK(launch.launcher == "srun");
  CATCH_CHECK(launch.rank == 5);
  CATCH_CHECK(launch.size == 8);
  CATCH_CHECK(launch.address == "gpu03");
  CATCH_CHECK(launch.port == 20000 + (4711 * 16 + 3) % 10000);
}

CATCH_TEST_CASE("the innermost launcher counts", "[dist]") {
  Variables nested = kSlurm;
  nested.insert({{"RANK", "1"},
                 {"WORLD_SIZE", "2"},
                 {"MASTER_ADDR", "localhost"},
                 {"MASTER_PORT", "29500"},
                 {"OMPI_COMM_WORLD_RANK", "0"},
                 {"OMPI_COMM_WORLD_SIZE", "3"}});
  CATCH_CHECK(read(nested).launcher == "environment");
  nested.erase("RANK");
  nested.erase("WORLD_SIZE");
  CATCH_CHECK(read(nested).launcher == "mpirun");
}

CATCH_TEST_CASE("variables that cannot be", "[dist]") {
  const Variables good = {
      {"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "1"}};
  const auto with = [&](const char* name, const char* value) {
    Variables variables = good;
    variables[name] = value;
    return refusal(variables);
  };
  CATCH_CHECK(refusal(good).empty());
  CATCH_CHECK(with("RANK", "2") == "environment: RANK: expected a whole number from 0 to 1, got 2");
  CATCH_CHECK(with("RANK", "one").starts_with("environment: RANK: expected a whole number"));
  CATCH_CHECK(with("RANK", "1.5").starts_with("environment: RANK: expected a whole number"));
  CATCH_CHECK(with("RANK", "").starts_with("environment: RANK: expected it beside WORLD_SIZE"));
  CATCH_CHECK(with("WORLD_SIZE", "0").starts_with("environment: WORLD_SIZE: expected"));
  CATCH_CHECK(with("WORLD_SIZE", "").starts_with("environment: WORLD_SIZE: expected it beside"));
  CATCH_CHECK(with("MASTER_PORT", "70000").starts_with("environment: MASTER_PORT: expected"));
}

CATCH_TEST_CASE("the first host of a list", "[dist]") {
  CATCH_CHECK(clr::first_host("a") == "a");
  CATCH_CHECK(clr::first_host("a,b") == "a");
  CATCH_CHECK(clr::first_host("a[03-05,7]") == "a03");
  CATCH_CHECK(clr::first_host("a[7,9],b1") == "a7");
  CATCH_CHECK(clr::first_host("a[1-2]-ib,b") == "a1-ib");
  CATCH_CHECK(clr::first_host("a,b[1-2]") == "a");
}
