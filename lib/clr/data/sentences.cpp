// SPDX-License-Identifier: Apache-2.0
#include "clr/data/sentences.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>

#include "clr/core/error.h"
#include "clr/io/file.h"
#include "clr/text/token_operation.h"

namespace fs = std::filesystem;

namespace clr {
namespace {

constexpr std::size_t kShared = 1000;
constexpr std::size_t kOwn = 800;
constexpr float kOwnShare = 0.3F;
constexpr std::size_t kLeastWords = 30;
constexpr std::size_t kMostWords = 50;

constexpr std::array<std::string_view, 60> kSyllables{
    "ba", "be", "bi", "bo", "bu", "da", "de", "di", "do", "du", "fa", "fe", "fi", "fo", "fu",
    "ga", "ge", "gi", "go", "gu", "ka", "ke", "ki", "ko", "ku", "la", "le", "li", "lo", "lu",
    "ma", "me", "mi", "mo", "mu", "na", "ne", "ni", "no", "nu", "pa", "pe", "pi", "po", "pu",
    "ra", "re", "ri", "ro", "ru", "sa", "se", "si", "so", "su", "ta", "te", "ti", "to", "tu"};
constexpr std::size_t kWords = kSyllables.size() * kSyllables.size() * kSyllables.size();

/// A word of three syllables for each number below kWords, neighbouring numbers far apart, so that a
/// topic's words have no syllables of their own.
std::string word(std::size_t number) {
  constexpr std::size_t kStride = 95'279;  // Has no factor with kWords.
  std::size_t code = number * kStride % kWords;
  std::string result;
  for (int i = 0; i < 3; ++i) {
    result += kSyllables[code % kSyllables.size()];
    code /= kSyllables.size();
  }
  return result;
}

/// Where each shared word's share of the draws ends.
const std::array<double, kShared>& shared_ends() {
  static const auto ends = [] {
    std::array<double, kShared> result{};
    double sum = 0.0;
    for (std::size_t i = 0; i < kShared; ++i) result[i] = sum += 1.0 / static_cast<double>(i + 1);
    for (double& end : result) end /= sum;
    return result;
  }();
  return ends;
}

std::string table(const SentencesOptions& options, std::int64_t first, std::int64_t count,
                  const std::vector<std::string>& names) {
  std::string text = "text,label\n";
  for (std::int64_t i = first; i < first + count; ++i) {
    text +=
        draw_text(options, i) + "," + names[static_cast<std::size_t>(i % options.topics)] + "\n";
  }
  return text;
}

}  // namespace

std::vector<std::string> topic_names(int topics) {
  std::vector<std::string> names;
  for (int i = 0; i < topics; ++i) names.push_back(word(kWords - 1 - static_cast<std::size_t>(i)));
  return names;
}

std::string draw_text(const SentencesOptions& options, std::int64_t index) {
  const WordRng rng(
      Rng(options.seed, {static_cast<std::uint64_t>(index), 0, 0}, OpId::text_source));
  const auto topic = static_cast<std::size_t>(index % options.topics);
  const std::size_t count = kLeastWords + rng.integer(kMostWords, kMostWords - kLeastWords + 1);
  std::string text;
  for (std::size_t k = 0; k < count; ++k) {
    std::size_t number = 0;
    if (rng.uniform(k) < kOwnShare) {
      number = kShared + topic * kOwn + rng.integer(k, kOwn, 1);
    } else {
      const auto& ends = shared_ends();
      const auto found =
          std::lower_bound(ends.begin(), ends.end() - 1, static_cast<double>(rng.uniform(k, 1)));
      number = static_cast<std::size_t>(found - ends.begin());
    }
    if (k > 0) text += ' ';
    text += word(number);
  }
  return text;
}

void write_sentences(const fs::path& out, const SentencesOptions& options) {
  std::error_code error;
  if (fs::exists(out, error) && !fs::is_empty(out, error)) {
    throw Error(ErrorKind::usage,
                out.string() +
                    ": expected an empty or new folder, got one that holds something; "
                    "choose another");
  }
  fs::create_directories(out, error);
  if (error)
    throw Error(ErrorKind::output, out.string() + ": cannot be created: " + error.message());
  const std::vector<std::string> names = topic_names(options.topics);
  write_file_durably(out / "train.csv", table(options, 0, options.train, names));
  write_file_durably(out / "test.csv", table(options, options.train, options.test, names));
  std::string pieces = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
  const std::size_t words = kShared + static_cast<std::size_t>(options.topics) * kOwn;
  for (std::size_t i = 0; i < words; ++i) pieces += word(i) + "\n";
  write_file_durably(out / "vocab.txt", pieces);
}

}  // namespace clr
