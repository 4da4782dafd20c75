// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/intrusive_ptr.h>
#include <torch/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "clr/core/row_share.h"
#include "clr/dist/launch.h"
#include "clr/dist/peer_watch.h"

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace clr {

struct WorldOptions {
  std::chrono::seconds join_timeout{60};  ///< the last process may be so far behind the first
  WatchLimits limits;
};

/// The processes that train or judge one model together, and what they exchange.
///
/// All call the same collectives in the same order. On the CPU these are Gloo's, so that a sum has
/// the same bytes in all processes, and each time that as many of them add the same. Of one process
/// everything is what it was, at no cost.
///
/// Throws:  where a process is lost or ends with an error, every collective of the others throws
///          Error with that one's exit code (stopped, 75, for one that was killed) and a line that
///          names it.
class World {
 public:
  /// One process.
  static std::shared_ptr<World> alone();

  /// Throws:  as meet().
  static std::shared_ptr<World> join(const Launch& launch, const std::string& program,
                                     const WorldOptions& options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool is_alone() const { return size_ == 1; }
  /// The one that writes and speaks.
  bool leads() const { return rank_ == 0; }
  /// Its number among the processes of its machine, and how many these are.
  int local_rank() const { return local_rank_; }
  int local_size() const { return local_size_; }
  /// Machines.
  int hosts() const { return hosts_; }

  /// From now on tensors on `device` may be exchanged too: between GPUs by NCCL. All processes, once,
  /// before the first.
  /// Throws:  Error{device} where not all have a device of one kind; as make_nccl_group().
  void use_device(const c10::Device& device);

  /// This process's part of `count` things: [first, last), the parts equal but for one thing.
  std::pair<std::int64_t, std::int64_t> share(std::int64_t count) const {
    const RowShare own = row_share(count, rank_, size_);
    return {own.begin, own.end};
  }

  /// Everyone's x, [n, ...] -> [size * n, ...], in the order of ranks. n and type the same for all;
  /// no gradient (gather.h has one).
  torch::Tensor gather(const torch::Tensor& x);

  /// The same of different numbers of rows, counts[rank] each, which all know.
  torch::Tensor gather(const torch::Tensor& x, const std::vector<std::int64_t>& counts);

  /// Everyone's rows to rank 0 alone, whose `rows` begins with its own and has room for the others' behind
  /// them, in the order of ranks: counts[rank] rows each, which all know. On the CPU, contiguous.
  /// Memory:  nothing; what is received lies where it belongs.
  void collect(const torch::Tensor& rows, const std::vector<std::int64_t>& counts);

  /// The sum of everyone's x, rows [counts[rank]] of it to each: gather()'s transpose.
  torch::Tensor sum_scatter(const torch::Tensor& x, const std::vector<std::int64_t>& counts);

  /// x becomes the sum of everyone's x. Contiguous.
  void sum(const torch::Tensor& x);

  /// A sum that is under way.
  class Pending {
   public:
    void wait();

   private:
    friend class World;
    std::function<void()> finish_;
  };
  /// As sum(), while the caller goes on.
  Pending sum_later(const torch::Tensor& x);

  /// Everyone's text, by rank.
  std::vector<std::string> gather_text(const std::string& text);

  /// Rank 0's bytes, to all.
  std::string broadcast(const std::string& bytes);

  /// x becomes rank 0's x. Contiguous, of one shape and type.
  void broadcast(const torch::Tensor& x);

  /// Waits until all have come here.
  void barrier();

  /// To be called in long work: this process gets on.
  void progress();

  /// Long work of one process that cannot say how it gets on, and for which the others wait: as
  /// long as it lives, nobody takes it for hung.
  class OwnWork {
   public:
    explicit OwnWork(World& world);
    ~OwnWork();
    OwnWork(const OwnWork&) = delete;
    OwnWork& operator=(const OwnWork&) = delete;

   private:
    World& world_;
  };

  /// This process ends with an error: the others shall know which. Returns whether it is the first
  /// to do so.
  bool end(int code, const std::string& message);

  /// This process has done its part. No collective after it.
  void leave();

 private:
  World() = default;
  void guarded(const std::function<void()>& step);
  [[noreturn]] void throw_ending(const Ending& ending) const;

  int rank_ = 0;
  int size_ = 1;
  int local_rank_ = 0;
  int local_size_ = 1;
  int hosts_ = 1;
  c10d::Backend& group(const torch::Tensor& x) const;

  c10::intrusive_ptr<c10d::Backend> group_;         ///< of the CPU
  c10::intrusive_ptr<c10d::Backend> device_group_;  ///< of GPUs, if they are used
  c10::intrusive_ptr<c10d::Store> store_;
  std::chrono::milliseconds timeout_{};
  std::unique_ptr<PeerWatch> watch_;
};

}  // namespace clr
