// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "clr/augment/augmenter.h"
#include "clr/core/batch.h"
#include "clr/data/dataset.h"
#include "clr/data/loader_times.h"

namespace clr {

class TextDataset;
class TextViews;

/// How a loader walks a data set.
struct LoaderOptions {
  std::uint64_t seed = 0;
  std::int64_t batch_size = 1;
  std::int64_t micro_batch = 0;  ///< next() gives parts of at most so many rows; 0: whole batches
  int passes = 1;                ///< times that the stream brings each batch before the next one
  /// Of several processes each has its share of the rows of every batch (or part), which are equal
  /// but for a row; other rows are neither read nor made.
  int rank = 0;
  int world_size = 1;
  bool drop_last = false;
  bool shuffle = false;     ///< false: dataset order, for evaluation
  std::int64_t epochs = 1;  ///< the stream ends after this many
  int threads = 1;          ///< >= 1; the bytes do not depend on it
  int prefetch = 3;         ///< batches in flight
  PixelType pixel_type = PixelType::float32;
  PixelLayout layout = PixelLayout::planar;
  bool pinned = false;  ///< page-locked memory, for copies to a GPU
  DataConfig data;
};

/// Turns a data set into batches of views.
///
/// Batches are addressable: the bytes of (epoch, step, first row, count) depend on seed, data set
/// and configuration alone, not on threads, prefetching, micro-batches, passes or where the stream
/// was started. One thread may use it. Without shuffling all epochs are alike: their views are
/// drawn as in epoch 0.
class Loader {
 public:
  virtual ~Loader() = default;

  /// Steps in one epoch: size / batch_size, rounded down with drop_last, up without.
  virtual std::int64_t steps_per_epoch() const = 0;

  /// Parts that a step's batch comes in: 1 without options.micro_batch, else as few as can be,
  /// equal but for a row.
  virtual std::int64_t parts(std::int64_t step) const = 0;

  /// Starts (or restarts) the stream at a step of an epoch; next() goes on across the ends of
  /// epochs, up to options.epochs counted from epoch 0. Before the first start() the stream is
  /// empty.
  virtual void start(std::int64_t epoch, std::int64_t step) = 0;

  /// The next batch, or the next part of one: all parts in the order of their rows, and with
  /// options.passes all of them again. One without groups after the last. Rethrows a worker's
  /// error, of the lowest row that has one: Error{data} "PATH: reason" with data.on_error = fail.
  /// The stream ends there.
  ///
  /// batch.bad lists the images that were asked for and could not be read, in the order of their
  /// rows, anew in each pass. skip: the batch is smaller by them; with all rows bad its groups are
  /// there with N = 0. replace: indices and labels are those of the image really shown; its views
  /// are drawn at the bad one's address.
  virtual Batch next() = 0;

  /// Rows [first, first + count) of a batch, made on the calling thread, equal to next()'s to the
  /// byte (with data.on_error = skip, rows are counted before bad ones are dropped). Throws:  as
  /// next(); std::out_of_range for rows that the batch does not have.
  virtual Batch produce(std::int64_t epoch, std::int64_t step, std::int64_t first,
                        std::int64_t count) = 0;

  /// What the threads did since the loader was made.
  virtual LoaderTimes times() const = 0;
};

/// A loader with a pool of CPU threads that write straight into the batch.
///
/// Memory:  options.prefetch batches (or parts) and those that the caller holds, and what
///          data.cache keeps.
/// Groups of
///          a batch that nobody holds any more are used again.
/// Throws:  Error{config} for a batch size, passes, threads or prefetch below 1, or a negative
///          micro_batch.
std::unique_ptr<Loader> make_thread_loader(std::shared_ptr<const Dataset> dataset,
                                           std::shared_ptr<const Augmenter> augmenter,
                                           const LoaderOptions& options);

/// The same for texts, whose tokens stay in memory. Throws:  Error{data} as TextRowMaker.
std::unique_ptr<Loader> make_thread_loader(std::shared_ptr<const TextDataset> texts,
                                           std::shared_ptr<const TextViews> views,
                                           const LoaderOptions& options);

}  // namespace clr
