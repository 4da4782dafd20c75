// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <string>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace clr {

/// Processes that exchange tensors on the CPU, by the Gloo that is inside LibTorch.
///
/// `address`: this process's own, which the others can reach. With GLOO_SOCKET_IFNAME in the
/// environment the group uses that interface instead.
/// Throws:  std::exception of LibTorch's where the others do not come within `timeout`, which is
///          also how long a collective may take, until it is set to something else.
c10::intrusive_ptr<c10d::Backend> make_gloo_group(const c10::intrusive_ptr<c10d::Store>& store,
                                                  int rank, int size, const std::string& address,
                                                  std::chrono::milliseconds timeout);

}  // namespace clr
