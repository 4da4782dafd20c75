// SPDX-License-Identifier: Apache-2.0
#include "clr/dist/rendezvous.h"

#include <arpa/inet.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <array>
#include <fstream>
#include <functional>
#include <thread>

#include "clr/config/json.h"
#include "clr/core/error.h"

namespace clr {
namespace {

using Clock = std::chrono::steady_clock;
using Store = c10::intrusive_ptr<c10d::Store>;

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

/// Of this boot: containers and network namespaces of a machine share its processors.
std::string machine_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id.empty() ? host_name() : id;
}

/// The address that this machine has on the way to `host`; empty where there is none.
std::string address_towards(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return "";
  std::string result;
  for (const addrinfo* at = found; at != nullptr && result.empty(); at = at->ai_next) {
    const int handle = socket(at->ai_family, SOCK_DGRAM, 0);
    if (handle < 0) continue;
    // Of a datagram socket that only looks up the way; nothing is sent.
    sockaddr_storage own{};
    socklen_t length = sizeof own;
    std::array<char, NI_MAXHOST> text{};
    if (connect(handle, at->ai_addr, at->ai_addrlen) == 0 &&
        getsockname(handle, reinterpret_cast<sockaddr*>(&own), &length) == 0 &&
        getnameinfo(reinterpret_cast<sockaddr*>(&own), length, text.data(), text.size(), nullptr, 0,
                    NI_NUMERICHOST) == 0) {
      result = text.data();
    }
    close(handle);
  }
  freeaddrinfo(found);
  return result;
}

bool is_loopback(const std::string& address) {
  return address.empty() || address.starts_with("127.") || address == "::1";
}

constexpr const char* kPeers = "peers";
constexpr const char* kGaveUp = "gave_up";

std::string hello_key(int rank) { return fmt::format("hello/{}", rank); }

std::string to_text(const Peer& peer) {
  return Json{{"host", peer.host},       {"machine", peer.machine}, {"address", peer.address},
              {"process", peer.process}, {"size", peer.size},       {"program", peer.program}}
      .dump();
}

Peer peer_from(const std::string& text) {
  const Json json = Json::parse(text);
  return {json.at("host"),    json.at("machine"), json.at("address"),
          json.at("process"), json.at("size"),    json.at("program")};
}

std::string to_text(const Error& error) {
  return Json{{"code", static_cast<int>(error.kind())}, {"message", error.what()}}.dump();
}

Error error_from(const std::string& text) {
  const Json json = Json::parse(text);
  return {static_cast<ErrorKind>(json.at("code").get<int>()),
          json.at("message").get<std::string>()};
}

std::string first_line(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  return text.substr(0, text.find('\n'));
}

Store open_store(const Launch& launch, std::chrono::seconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = launch.port;
  options.isServer = !launch.agent_store && launch.rank == 0;
  options.waitWorkers = false;
  options.timeout = timeout;
  const std::string place = fmt::format("{}:{}", launch.address, launch.port);
  try {
    return c10::make_intrusive<c10d::TCPStore>(launch.address, options);
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    if (options.isServer && (text.find("EADDRINUSE") != std::string::npos ||
                             text.find("address already in use") != std::string::npos)) {
      throw Error(
          ErrorKind::usage,
          fmt::format("MASTER_PORT: expected a port that is free on this host, got {}, which "
                      "is in use; choose another for all processes",
                      launch.port));
    }
    if (options.isServer) {
      throw Error(ErrorKind::device, fmt::format("MASTER_ADDR, MASTER_PORT: {}: cannot be listened "
                                                 "on: {}",
                                                 place, first_line(error)));
    }
    throw Error(
        ErrorKind::device,
        fmt::format("{}: expected {} to answer within {} s, got nothing; is it running, and "
                    "are MASTER_ADDR and MASTER_PORT the same for all?",
                    place, launch.agent_store ? "torchrun's agent" : "rank 0", timeout.count()));
  }
}

void require_size(const Launch& launch, int rank, const Peer& peer) {
  if (peer.size == launch.size) return;
  throw Error(ErrorKind::usage,
              fmt::format("number of processes: expected the same for all, got {} here and {} "
                          "for rank {} (host {}); look at WORLD_SIZE",
                          launch.size, peer.size, rank, peer.host));
}

/// Waits until `arrived` returns true, or somebody has given up.
void wait_until(const Launch& launch, c10d::Store& store, std::chrono::seconds timeout,
                const std::function<bool()>& arrived) {
  const Clock::time_point end = Clock::now() + timeout;
  while (!arrived()) {
    if (store.check({kGaveUp})) throw error_from(store.get_to_str(kGaveUp));
    if (Clock::now() > end) {
      std::vector<int> missing;
      for (int rank = 0; rank < launch.size; ++rank) {
        if (!store.check({hello_key(rank)})) missing.push_back(rank);
      }
      // All have come, and rank 0 makes nothing of it.
      if (missing.empty()) missing.push_back(0);
      const Error error(
          ErrorKind::device,
          fmt::format(
              "expected {} processes within {} s, got none for rank {}; look at its output, "
              "at RANK and at WORLD_SIZE",
              launch.size, timeout.count(), fmt::join(missing, ", ")));
      // For those who came later and still wait.
      store.set(kGaveUp, to_text(error));
      throw error;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

/// Everyone's hello. Rank 0 alone looks for each, and the others for its list: thousands of
/// processes that asked for each other would keep the store busy for minutes. Sizes are compared as
/// they come, so that nobody waits for ranks that nobody was told of.
std::vector<Peer> wait_for_peers(const Launch& launch, c10d::Store& store,
                                 std::chrono::seconds timeout) {
  std::vector<Peer> peers;
  if (launch.rank == 0) {
    peers.resize(static_cast<std::size_t>(launch.size));
    std::vector<int> missing;
    for (int rank = 0; rank < launch.size; ++rank) missing.push_back(rank);
    try {
      wait_until(launch, store, timeout, [&] {
        std::erase_if(missing, [&](int rank) {
          if (!store.check({hello_key(rank)})) return false;
          Peer& peer = peers[static_cast<std::size_t>(rank)];
          peer = peer_from(store.get_to_str(hello_key(rank)));
          require_size(launch, rank, peer);
          return true;
        });
        return missing.empty();
      });
    } catch (const Error& error) {
      // The others wait for the list.
      if (error.kind() == ErrorKind::usage)
        store.set(kGaveUp, to_text({error.kind(), fmt::format("rank 0: {}", error.what())}));
      throw;
    }
    Json list = Json::array();
    for (const Peer& peer : peers) list.push_back(to_text(peer));
    store.set(kPeers, list.dump());
    return peers;
  }
  wait_until(launch, store, timeout, [&] { return store.check({hello_key(0)}); });
  require_size(launch, 0, peer_from(store.get_to_str(hello_key(0))));
  wait_until(launch, store, timeout, [&] { return store.check({kPeers}); });
  for (const Json& peer : Json::parse(store.get_to_str(kPeers)))
    peers.push_back(peer_from(peer.get<std::string>()));
  return peers;
}

/// A loopback address is of use on one machine alone: a process that has found the store by one is,
/// for the others, where it is on the way to one of them.
void settle_address(const Launch& launch, std::vector<Peer>& peers) {
  bool several = false;
  for (const Peer& peer : peers)
    several |= peer.machine != peers[0].machine || peer.host != peers[0].host;
  if (!several) return;
  Peer& own = peers[static_cast<std::size_t>(launch.rank)];
  if (is_loopback(own.address)) {
    for (const Peer& peer : peers) {
      if (is_loopback(peer.address)) continue;
      own.address = address_towards(peer.address, "1");
      break;
    }
  }
}

}  // namespace

Meeting meet(const Launch& launch, const std::string& program, std::chrono::seconds timeout) {
  Meeting meeting;
  const Store whole = open_store(launch, timeout);
  // An agent's store outlives a failed attempt.
  meeting.store =
      c10::make_intrusive<c10d::PrefixStore>(fmt::format("clr/{}", launch.attempt), whole);
  // Made before all are here: LibTorch asks for the name of each address that connects, and serves
  // nobody until a name service has answered or has not.
  meeting.watch_store = meeting.store->clone();
  Peer own;
  own.host = host_name();
  own.machine = machine_id();
  own.address = address_towards(launch.address, std::to_string(launch.port));
  own.process = getpid();
  own.size = launch.size;
  own.program = program;
  try {
    if (meeting.store->add(fmt::format("arrived/{}", launch.rank), 1) > 1) {
      throw Error(
          ErrorKind::usage,
          fmt::format("rank {}: expected one process, got another one already; look at RANK",
                      launch.rank));
    }
    meeting.store->set(hello_key(launch.rank), to_text(own));
    meeting.peers = wait_for_peers(launch, *meeting.store, timeout);
    for (std::size_t rank = 0; rank < meeting.peers.size(); ++rank) {
      const std::string& other = meeting.peers[rank].program;
      if (other == program) continue;
      throw Error(ErrorKind::usage,
                  fmt::format("program: expected the same for all, got {} here and {} for rank {}",
                              program, other, rank));
    }
    settle_address(launch, meeting.peers);
  } catch (const Error&) {
    // The store goes with rank 0, and others may be about to read there what is wrong.
    if (!launch.agent_store && launch.rank == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
    throw;
  } catch (const c10::Error& error) {
    throw Error(ErrorKind::device, fmt::format("{}:{}: the store of the processes was lost: {}",
                                               launch.address, launch.port, first_line(error)));
  }
  meeting.holder = launch.agent_store ? fmt::format("torchrun's agent ({})", launch.address)
                                      : fmt::format("rank 0 (host {})", meeting.peers[0].host);
  return meeting;
}

}  // namespace clr
