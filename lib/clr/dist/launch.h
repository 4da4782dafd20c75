// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace clr {

/// What a launcher tells a process of its place among several, by environment variables.
struct Launch {
  std::string launcher = "none";  ///< torchrun, environment, mpirun, srun
  int rank = 0;                   ///< of this process, in [0, size)
  int size = 1;                   ///< processes
  std::string address;            ///< where the store is: of rank 0, or of torchrun's agent
  std::uint16_t port = 0;
  bool agent_store = false;  ///< the store is the agent's, and outlives the processes
  int attempt = 0;           ///< times that the agent has started them anew
};

/// A variable of the environment; null where it is not set.
using Environment = std::function<const char*(const char* name)>;

/// Reads the variables of, in this order: torchrun, or whoever sets RANK, WORLD_SIZE, MASTER_ADDR and
/// MASTER_PORT; Open MPI's mpirun; SLURM's srun. A batch script of SLURM's, which is no task of a
/// step, is one process.
///
/// Without MASTER_ADDR: srun's is the first host of the step; mpirun's the local one, if all
/// processes are there. Without MASTER_PORT theirs is made of the job's number.
/// Throws:  Error{usage} naming the variable.
Launch read_launch(const Environment& environment);

/// The first host of SLURM's short form of a list: "node[03-05,7],other" -> "node03".
std::string first_host(const std::string& node_list);

}  // namespace clr
