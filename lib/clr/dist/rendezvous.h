// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <string>
#include <vector>

#include "clr/dist/launch.h"

namespace c10d {
class Store;
}

namespace clr {

/// What a process says of itself to the others.
struct Peer {
  std::string host;     ///< its name, for people
  std::string machine;  ///< the same for all processes of one machine
  std::string address;  ///< where Gloo finds it
  std::int64_t process = 0;
  int size = 0;         ///< how many processes it was told of
  std::string program;  ///< version
};

/// Processes that have found each other.
struct Meeting {
  c10::intrusive_ptr<c10d::Store> store;        ///< of this attempt alone
  c10::intrusive_ptr<c10d::Store> watch_store;  ///< the same by a connection of its own
  std::vector<Peer> peers;                      ///< by rank
  std::string holder;  ///< of the store, for messages: "rank 0 (host a)" or torchrun's agent
};

/// Finds the others by a store: torchrun's agent has it, or rank 0 makes it.
///
/// `timeout`: how long the last process may be behind the first.
/// Throws:  Error{usage} for a port that is taken, a rank that is there twice, processes that were
///          told of different numbers of processes; Error{device} where ranks, which it names, or
///          the store did not come in time.
Meeting meet(const Launch& launch, const std::string& program, std::chrono::seconds timeout);

}  // namespace clr
