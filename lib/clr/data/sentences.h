// SPDX-License-Identifier: Apache-2.0
// The built-in labelled texts: invented words, some of a topic's own, most of all topics'. The topic is the
// class. So many words are a topic's that few labelled texts show few of them; which words go together
// shows in the texts without labels.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace clr {

constexpr int kMostTopics = 64;

struct SentencesOptions {
  std::int64_t train = 6000;  ///< texts
  std::int64_t test = 2000;
  int topics = 8;
  std::uint64_t seed = 0;
};

/// Names of the first `topics` topics: a word of each that is in no text.
std::vector<std::string> topic_names(int topics);

/// A text of 30 to 50 words, drawn from (seed, index) alone; its topic is index modulo the topics. Each word is one
/// of its topic's with a chance of 0.3 (all alike), else one that all topics share (as 1 / rank).
std::string draw_text(const SentencesOptions& options, std::int64_t index);

/// Writes OUT/train.csv and OUT/test.csv (text,label) and OUT/vocab.txt, in which every word is a piece.
///
/// Throws:  Error{output}: not empty, cannot be written.
void write_sentences(const std::filesystem::path& out, const SentencesOptions& options);

}  // namespace clr
