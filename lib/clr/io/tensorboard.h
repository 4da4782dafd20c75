// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace clr {

/// Whether a file is one of TensorBoard's, by its name.
bool is_event_file(const std::filesystem::path& path);

/// Writes TensorBoard event files: scalars and pictures.
///
/// A view of metrics.jsonl, which is the record. A resumed run opens a new file, which begins by
/// telling TensorBoard to forget what earlier files said of steps after its first_step. One writer a
/// folder at a time: TensorBoard follows the newest file alone.
/// Source:  TFRecord framing and the Event message, tensorflow/core/util/event.proto.
class TensorBoardWriter {
 public:
  /// Creates FOLDER/events.out.tfevents.<time>.<host>; the time is moved on when that name is
  /// taken. first_step: those done before, whose rows are kept; 0: nothing is.
  /// Throws:  Error{output} naming the file.
  TensorBoardWriter(const std::filesystem::path& folder, std::int64_t first_step);

  /// Buffered. step >= 0.
  void scalar(const std::string& tag, std::int64_t step, double value);

  /// An RGB picture, encoded as PNG or JPEG. Buffered.
  void image(const std::string& tag, std::int64_t step, std::string_view encoded, int width,
             int height);

  /// Throws:  Error{output} naming the file when this or an earlier write failed.
  void flush();

  const std::filesystem::path& path() const { return path_; }

 private:
  void write_event(const std::string& event);
  void write_value(const std::string& value, std::int64_t step);

  std::ofstream file_;
  std::filesystem::path path_;
};

}  // namespace clr
