// SPDX-License-Identifier: Apache-2.0
#include "clr/dist/world.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Logging.h>
#include <fmt/format.h>
#include <unistd.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "clr/core/error.h"
#include "clr/dist/gloo_group.h"
#include "clr/dist/nccl_group.h"

namespace clr {
namespace {

/// How long rank 0 waits for those who are still at work, and for those who only have to read why it
/// ended.
constexpr std::chrono::seconds kLeave{60};
constexpr std::chrono::seconds kFarewell{4};

/// Bytes that collect() sends at once.
constexpr std::int64_t kPiece = std::int64_t{64} << 20;

/// As many rows as the longest part has, so that all send equally many.
torch::Tensor padded(const torch::Tensor& x, std::int64_t rows) {
  if (x.size(0) == rows) return x.contiguous();
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes[0] = rows;
  torch::Tensor result = at::zeros(sizes, x.options());
  result.narrow(0, 0, x.size(0)).copy_(x);
  return result;
}

std::int64_t largest(const std::vector<std::int64_t>& counts) {
  return *std::max_element(counts.begin(), counts.end());
}

bool equal(const std::vector<std::int64_t>& counts) {
  return std::all_of(counts.begin(), counts.end(),
                     [&](std::int64_t count) { return count == counts.front(); });
}

/// Ends the process if it does not come out of the beginning: LibTorch's store waits for its server
/// without a time-out.
class BeginningGuard {
 public:
  BeginningGuard(const Launch& launch, std::chrono::seconds limit)
      : thread_([this, launch, limit] {
          std::unique_lock lock(mutex_);
          if (begun_.wait_for(lock, limit, [this] { return done_; })) return;
          std::fprintf(
              stderr,
              "clr: rank %d: error: %s:%d: expected the processes to meet there within %d s, "
              "but it does not answer; is another program on this port, or did rank 0 stop?\n",
              launch.rank, launch.address.c_str(), launch.port, static_cast<int>(limit.count()));
          _exit(static_cast<int>(ErrorKind::device));
        }) {}
  ~BeginningGuard() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    begun_.notify_all();
    thread_.join();
  }
  BeginningGuard(const BeginningGuard&) = delete;
  BeginningGuard& operator=(const BeginningGuard&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable begun_;
  bool done_ = false;
  std::thread thread_;  ///< last: it uses the others
};

}  // namespace

std::shared_ptr<World> World::alone() { return std::shared_ptr<World>(new World); }

std::shared_ptr<World> World::join(const Launch& launch, const std::string& program,
                                   const WorldOptions& options) {
  std::shared_ptr<World> world = alone();
  if (launch.size == 1) return world;
  // What LibTorch has to say of lost connections, with its own stack: here it becomes one line.
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = c10::GLOG_FATAL;
  // Each of its three parts has its own time and words: the store, the others, the groups.
  const BeginningGuard guard(launch, 4 * options.join_timeout);
  const Meeting meeting = meet(launch, program, options.join_timeout);
  world->rank_ = launch.rank;
  world->size_ = launch.size;
  std::set<std::string> machines;
  const auto own = static_cast<std::size_t>(launch.rank);
  world->local_size_ = 0;
  for (std::size_t rank = 0; rank < meeting.peers.size(); ++rank) {
    machines.insert(meeting.peers[rank].machine);
    if (meeting.peers[rank].machine != meeting.peers[own].machine) continue;
    if (rank < own) ++world->local_rank_;
    ++world->local_size_;
  }
  world->hosts_ = static_cast<int>(machines.size());
  world->store_ = meeting.store;
  // The watch ends what hangs. Groups know nothing of work that one process does for all.
  world->timeout_ = std::chrono::hours(24 * 365);
  world->watch_ = std::make_unique<PeerWatch>(meeting, launch.rank, options.limits);
  world->guarded([&] {
    world->group_ =
        make_gloo_group(c10::make_intrusive<c10d::PrefixStore>("gloo", meeting.store), launch.rank,
                        launch.size, meeting.peers[own].address, options.join_timeout);
    world->group_->setTimeout(world->timeout_);
  });
  return world;
}

World::~World() = default;

void World::throw_ending(const Ending& ending) const {
  const bool own = ending.rank == rank_;
  throw Error(static_cast<ErrorKind>(ending.code),
              own ? ending.text : fmt::format("ended, as another process did: {}", ending.text));
}

void World::use_device(const c10::Device& device) {
  if (is_alone()) return;
  const std::vector<std::string> kinds =
      gather_text(c10::DeviceTypeName(device.type(), /*lower_case=*/true));
  for (std::size_t rank = 0; rank < kinds.size(); ++rank) {
    if (kinds[rank] == kinds[0]) continue;
    throw Error(ErrorKind::device,
                fmt::format("rank {}: --device: expected {} as rank 0 has, got {}; name it for all",
                            rank, kinds[0], kinds[rank]));
  }
  if (!device.is_cuda()) return;
  guarded([&] {
    device_group_ = make_nccl_group(c10::make_intrusive<c10d::PrefixStore>("nccl", store_), rank_,
                                    size_, device, timeout_);
  });
}

c10d::Backend& World::group(const torch::Tensor& x) const {
  if (x.is_cpu()) return *group_;
  TORCH_CHECK(device_group_ != nullptr, "expected use_device() before tensors on ", x.device());
  return *device_group_;
}

void World::guarded(const std::function<void()>& step) {
  if (const auto ending = watch_->ending()) throw_ending(*ending);
  watch_->progress();
  const bool waited = watch_->set_waiting(true);
  try {
    step();
    watch_->set_waiting(waited);
  } catch (const Error&) {
    watch_->set_waiting(waited);
    throw;
  } catch (const std::exception& error) {
    const std::string text = error.what();
    const Ending ending = watch_->find_lost(text.substr(0, text.find('\n')));
    watch_->set_waiting(waited);
    throw_ending(ending);
  }
}

torch::Tensor World::gather(const torch::Tensor& x) {
  if (is_alone()) return x;
  const torch::NoGradGuard no_grad;
  torch::Tensor input = x.detach().contiguous();
  std::vector<std::int64_t> sizes = input.sizes().vec();
  sizes.at(0) *= size_;
  torch::Tensor output = at::empty(sizes, input.options());
  if (output.numel() == 0) return output;
  guarded([&] { group(input)._allgather_base(output, input)->wait(); });
  return output;
}

torch::Tensor World::gather(const torch::Tensor& x, const std::vector<std::int64_t>& counts) {
  if (is_alone()) return x;
  if (equal(counts)) return gather(x);
  const torch::NoGradGuard no_grad;
  const std::int64_t rows = largest(counts);
  const torch::Tensor all = gather(padded(x.detach(), rows));
  std::vector<torch::Tensor> parts;
  for (std::size_t rank = 0; rank < counts.size(); ++rank) {
    parts.push_back(all.narrow(0, static_cast<std::int64_t>(rank) * rows, counts[rank]));
  }
  return at::cat(parts);
}

void World::collect(const torch::Tensor& rows, const std::vector<std::int64_t>& counts) {
  if (is_alone() || rows.numel() == 0) return;
  TORCH_CHECK(rows.is_cpu() && rows.is_contiguous(),
              "collect: expected contiguous rows on the CPU");
  // Piece by piece, each of which is progress.
  const auto row_bytes = static_cast<std::int64_t>(rows.nbytes()) / rows.size(0);
  const std::int64_t most =
      std::max<std::int64_t>(1, kPiece / std::max<std::int64_t>(1, row_bytes));
  const auto transfer = [&](std::int64_t first, std::int64_t count, const auto& step) {
    for (std::int64_t done = 0; done < count; done += most) {
      std::vector<torch::Tensor> piece = {
          rows.detach().narrow(0, first + done, std::min(most, count - done))};
      guarded([&] { step(piece)->wait(); });
    }
  };
  if (!leads()) {
    transfer(0, counts.at(static_cast<std::size_t>(rank_)),
             [&](std::vector<torch::Tensor>& piece) { return group_->send(piece, 0, 0); });
    return;
  }
  std::int64_t first = counts.at(0);
  for (int rank = 1; rank < size_; ++rank) {
    const std::int64_t count = counts.at(static_cast<std::size_t>(rank));
    transfer(first, count,
             [&](std::vector<torch::Tensor>& piece) { return group_->recv(piece, rank, 0); });
    first += count;
  }
}

torch::Tensor World::sum_scatter(const torch::Tensor& x, const std::vector<std::int64_t>& counts) {
  if (is_alone()) return x;
  const torch::NoGradGuard no_grad;
  torch::Tensor input = x.detach();
  const std::int64_t rows = largest(counts);
  if (!equal(counts)) {
    std::vector<torch::Tensor> parts = input.split_with_sizes(counts);
    for (torch::Tensor& part : parts) part = padded(part, rows);
    input = at::cat(parts);
  }
  input = input.contiguous();
  std::vector<std::int64_t> sizes = input.sizes().vec();
  sizes.at(0) = rows;
  torch::Tensor output = at::empty(sizes, input.options());
  if (output.numel() != 0)
    guarded([&] { group(input)._reduce_scatter_base(output, input)->wait(); });
  return output.narrow(0, 0, counts.at(static_cast<std::size_t>(rank_)));
}

void World::sum(const torch::Tensor& x) { sum_later(x).wait(); }

World::Pending World::sum_later(const torch::Tensor& x) {
  Pending pending;
  if (is_alone() || x.numel() == 0) return pending;
  TORCH_CHECK(x.is_contiguous(), "sum: expected a contiguous tensor");
  std::vector<torch::Tensor> tensors = {x.detach()};
  c10::intrusive_ptr<c10d::Work> work;
  guarded([&] { work = group(x).allreduce(tensors); });
  pending.finish_ = [this, work] { guarded([&] { work->wait(); }); };
  return pending;
}

void World::Pending::wait() {
  if (const auto finish = std::exchange(finish_, nullptr)) finish();
}

std::vector<std::string> World::gather_text(const std::string& text) {
  if (is_alone()) return {text};
  const torch::Tensor own = at::full({1}, static_cast<std::int64_t>(text.size()), torch::kInt64);
  const torch::Tensor sizes = gather(own);
  std::vector<std::int64_t> counts;
  for (int rank = 0; rank < size_; ++rank) counts.push_back(sizes[rank].item<std::int64_t>());
  torch::Tensor bytes = at::empty({own.item<std::int64_t>()}, torch::dtype(torch::kUInt8));
  std::memcpy(bytes.data_ptr(), text.data(), text.size());
  const torch::Tensor all = gather(bytes, counts);
  std::vector<std::string> texts;
  const auto* data = static_cast<const char*>(all.const_data_ptr());
  for (const std::int64_t count : counts) {
    texts.emplace_back(data, static_cast<std::size_t>(count));
    data += count;
  }
  return texts;
}

std::string World::broadcast(const std::string& bytes) {
  if (is_alone()) return bytes;
  torch::Tensor size = at::full({1}, static_cast<std::int64_t>(bytes.size()), torch::kInt64);
  broadcast(size);
  const auto count = size.item<std::int64_t>();
  std::string result = leads() ? bytes : std::string(static_cast<std::size_t>(count), '\0');
  broadcast(at::from_blob(result.data(), {count}, torch::dtype(torch::kUInt8)));
  return result;
}

void World::broadcast(const torch::Tensor& x) {
  if (is_alone() || x.numel() == 0) return;
  TORCH_CHECK(x.is_contiguous(), "broadcast: expected a contiguous tensor");
  std::vector<torch::Tensor> tensors = {x.detach()};
  guarded([&] { group(x).broadcast(tensors)->wait(); });
}

void World::barrier() {
  if (!is_alone()) gather(at::zeros({1}, torch::dtype(torch::kUInt8)));
}

void World::progress() {
  if (is_alone()) return;
  watch_->progress();
  if (const auto ending = watch_->ending()) throw_ending(*ending);
}

World::OwnWork::OwnWork(World& world) : world_(world) {
  if (world_.watch_) world_.watch_->set_waiting(true);
}

World::OwnWork::~OwnWork() {
  if (world_.watch_) world_.watch_->set_waiting(false);
}

bool World::end(int code, const std::string& message) {
  if (is_alone()) return true;
  const Ending ending = watch_->end({rank_, code, fmt::format("rank {}: {}", rank_, message)});
  watch_->leave(kFarewell);
  return ending.rank == rank_;
}

void World::leave() {
  if (!is_alone()) watch_->leave(kLeave);
}

}  // namespace clr
