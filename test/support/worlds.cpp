// SPDX-License-Identifier: Apache-2.0
#include "support/worlds.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <thread>

std::uint16_t free_port() {
  const int handle = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  bind(handle, reinterpret_cast<sockaddr*>(&address), length);
  getsockname(handle, reinterpret_cast<sockaddr*>(&address), &length);
  close(handle);
  return ntohs(address.sin_port);
}

std::vector<std::string> in_worlds(int size,
                                   const std::function<void(std::shared_ptr<clr::World>)>& part,
                                   const clr::WorldOptions& options) {
  // LibTorch's record of collectives is one for a process, and takes no lock for what several groups
  // in several threads leave there.
  setenv("TORCH_FR_BUFFER_SIZE", "0", 1);
  // LibTorch asks for the name of each address that connects, which may take long where nobody knows.
  setenv("RES_OPTIONS", "timeout:1 attempts:1", 1);
  clr::Launch launch;
  launch.launcher = "environment";
  launch.size = size;
  launch.address = "127.0.0.1";
  launch.port = free_port();
  std::vector<std::string> thrown(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank, own = launch]() mutable {
      own.rank = rank;
      std::shared_ptr<clr::World> world;
      try {
        world = clr::World::join(own, "test", options);
        part(world);
        world->leave();
      } catch (const std::exception& error) {
        thrown[static_cast<std::size_t>(rank)] = error.what();
        // As the program does: the store goes with rank 0, and others may be about to read there.
        if (world) world->end(1, error.what());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return thrown;
}
