// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace clr {

/// A WordPiece vocabulary and how BERT cuts text by it. Const and thread-safe.
///
/// Memory:  the vocabulary, about 100 bytes a piece.
/// Source:  Schuster and Nakajima 2012; BERT's WordpieceTokenizer. Words of special pieces in a text
///          ("[MASK]") are text, as in BERT's own code: [, mask and ]. Hugging Face's takes them for
///          the piece.
class WordPiece {
 public:
  /// Ids of the pieces that mean something beside text.
  struct Special {
    std::int32_t pad, unknown, begin, end;
    std::int32_t mask;  ///< -1 where the vocabulary has none
  };

  /// `pieces`: one a line, a piece's id is its line; one that goes on with a word begins with "##".
  /// `where` is for messages.
  ///
  /// Throws:  Error{data} naming `where`: [PAD], [UNK], [CLS] or [SEP] missing, a piece twice, one
  ///          empty, not UTF-8.
  WordPiece(std::vector<std::string> pieces, bool lowercase, const std::string& where);
  WordPiece(WordPiece&&) = default;  // No copies: the tables look into pieces_.

  /// Reads a vocabulary file. Throws:  Error{data} naming it: not readable, and as the constructor.
  static WordPiece read(const std::string& path, bool lowercase);

  /// Of such a file's content.
  static WordPiece parse(std::string_view content, bool lowercase, const std::string& where);

  /// The pieces as read() takes them.
  std::string text() const;

  std::int32_t size() const { return static_cast<std::int32_t>(pieces_.size()); }
  const Special& special() const { return special_; }
  bool lowercase() const { return lowercase_; }
  const std::string& piece(std::int32_t id) const { return pieces_[static_cast<std::size_t>(id)]; }

  /// Whether the piece goes on with a word.
  bool goes_on(std::int32_t id) const { return piece(id).starts_with("##"); }

  /// Appends the ids of a text's pieces, without [CLS] and [SEP]; `most` of them, as many as there
  /// are otherwise. A word of more than 100 characters, or one that cannot be put together, is [UNK].
  ///
  /// text:  valid UTF-8 (find_invalid_utf8())
  void encode(std::string_view text, std::vector<std::int32_t>& ids,
              std::size_t most = std::numeric_limits<std::size_t>::max()) const;

  /// The text that pieces stand for: a blank between words, special pieces in brackets.
  std::string decode(const std::vector<std::int32_t>& ids) const;

 private:
  void add_word(std::string_view word, std::vector<std::int32_t>& ids) const;

  std::vector<std::string> pieces_;
  std::unordered_map<std::string_view, std::int32_t> first_;  // Pieces that begin words,
  std::unordered_map<std::string_view, std::int32_t> later_;  // and those that go on, without "##".
  std::size_t longest_ = 0;
  Special special_{};
  bool lowercase_;
};

}  // namespace clr
